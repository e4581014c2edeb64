"""How the site is built: `make docs`. Warnings are errors; nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the extensions of this folder

import unrollbit  # noqa: E402

project = "unrollbit"
author = "the unrollbit developers"
copyright = "the unrollbit developers"
release = version = unrollbit.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.extlinks",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_nb",
    "_ext.docstrings",
    "_ext.results",
    "_ext.theorems",
]
exclude_patterns = ["_build", "_ext"]
nitpicky = False

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks carry their outputs; `make notebooks` runs them
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

extlinks = {
    "jax": ("https://docs.jax.dev/en/latest/%s", None),
    "flax": ("https://flax.readthedocs.io/en/latest/%s", None),
    "optax": ("https://optax.readthedocs.io/en/latest/%s", None),
    "arxiv": ("https://arxiv.org/abs/%s", "arXiv %s"),
}

html_theme = "furo"
html_title = f"unrollbit {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True, "sidebar_hide_name": False}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
