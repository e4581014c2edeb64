"""The optional C extension; everything else is in pyproject.toml."""

import importlib.util
import platform
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("unrollbit/kernels/csrc")


def extensions() -> list[Extension]:
    """Products with packed signs for x86-64 and ARM64. Without a compiler, or elsewhere, the pure-JAX path runs."""
    jaxlib = importlib.util.find_spec("jaxlib")
    if platform.machine() not in ("x86_64", "AMD64", "aarch64", "arm64") or jaxlib is None or jaxlib.origin is None:
        return []
    return [
        Extension(
            "unrollbit.kernels._signs",  # a plain shared library, loaded with ctypes
            sources=sorted(str(path) for path in SOURCES.glob("*.c")),
            depends=sorted(str(path) for path in SOURCES.glob("*.[hi]*")),
            include_dirs=[str(Path(jaxlib.origin).parent / "include")],
            libraries=["m"],
            extra_compile_args=["-O3", "-std=c11", "-Wno-psabi"],
            py_limited_api=True,
            optional=True,
        )
    ]


setup(ext_modules=extensions())
