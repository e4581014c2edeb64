"""Pages and README do what they say: their Python runs (in a small form), their commands parse, their files exist."""

import dataclasses
import json
import re
import shlex
from importlib import import_module
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


RESULTS = re.compile(r"^```{results} (\S+)\n(.*?)^```", re.S | re.M)


@pytest.mark.parametrize("page", [page for page in PAGES if RESULTS.search(page.read_text())], ids=name)
def test_the_reports_of_a_page_have_its_tables(page, monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    results = import_module("_ext.results")
    for file, text in RESULTS.findall(page.read_text()):
        options = dict(re.findall(r"^:(\w+): *(.+)$", text, flags=re.M))
        options["digits"] = int(options.get("digits", 1))
        headings, body = results.table_of(json.loads((results.DATA / file).read_text()), **options)
        assert body
        assert {len(row) for row in body} == {len(headings)}


def test_tables_of_reports_by_hand(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    table_of = import_module("_ext.results").table_of
    report = {"part": {"rows": [{"a": "x", "b": [1.25, None], "c": 1234}, {"a": "y", "b": 0.001, "c": None}]}}
    columns = "a, b = level, c"
    assert table_of(report, rows="part.rows", columns=columns) == (
        ["a", "level", "c"],
        [["x", "1.2, -", "1,234"], ["y", "0.001", "-"]],
    )
    assert table_of(report, rows="part.rows", columns="b", where="a = x", digits=2)[1] == [["1.25, -"]]
    for options, message in (
        ({"columns": "d"}, "no column 'd'; they have a, b, c"),
        ({"columns": "a", "where": "a = z"}, "where a = z"),
    ):
        with pytest.raises(ValueError, match=message):
            table_of(report, rows="part.rows", **options)
