"""Pages and README do what they say: their Python runs (in a small form), their commands parse, their files exist."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

import unrollbit
from unrollbit.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.S | re.M)


def blocks(page, language):
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def quick_fit(monkeypatch):
    """Two steps of the last stage: what is shown is whether the code runs."""
    whole = unrollbit.fit

    def fit(network, problem, stages, **options):
        short = [dataclasses.replace(stage, steps=min(stage.steps, 2)) for stage in list(stages)[-1:]]
        return whole(network, problem, short, **{"progress": False, **options})

    monkeypatch.setattr(unrollbit, "fit", fit)


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
@pytest.mark.filterwarnings("ignore")  # two steps are rightly said to be no better than nothing
@pytest.mark.usefixtures("quick_fit")
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, name(page), "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=name)
def test_the_commands_of_a_page_parse(page):
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0].endswith("unrollbit") and "--help" not in words:
                build_parser().parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_files_that_a_page_names_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    targets = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text)
    missing = [target for target in targets if not (page.parent / target).exists()]
    named = re.findall(r"`((?:examples|tests|unrollbit|docs)/[\w./-]+\.\w+)`", text)
    missing += [target for target in named if not (ROOT / target).exists()]
    assert not missing
