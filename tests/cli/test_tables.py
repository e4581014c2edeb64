"""Tables as text, Markdown and LaTeX: the same entries, nothing that the form reads as its own marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from unrollbit import FISTA, Unrolled, pack
from unrollbit.cli import main
from unrollbit.cli.tables import choose_form, print_table
from unrollbit.problems import SparseRecovery

COLUMNS, ROWS = ("kept_entry", "share (%)"), [("a|b & c_d", 12.346), (r"x\y^2 [bold]", None)]


@pytest.fixture(autouse=True)
def text_again():
    yield
    choose_form("text")


def printed(form: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    choose_form(form)
    print_table("first_try", COLUMNS, ROWS, ["one note"])
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_markdown(capsys: pytest.CaptureFixture[str]):
    assert printed("md", capsys) == [
        "**first_try**",
        "| kept_entry | share (%) |",
        "| --- | ---: |",
        r"| a\|b & c_d | 12.35 |",
        r"| x\y^2 [bold] | - |",
        "one note",
    ]


def test_latex(capsys: pytest.CaptureFixture[str]):
    lines = printed("tex", capsys)
    assert lines[:4] == [r"\begin{table}", r"\centering", r"\caption{first\_try. one note}", r"\begin{tabular}{lr}"]
    assert lines[4:9] == [
        r"\toprule",
        r"kept\_entry & share (\%) \\",
        r"\midrule",
        r"a|b \& c\_d & 12.35 \\",
        r"x\textbackslash{}y\textasciicircum{}2 [bold] & - \\",
    ]
    assert lines[9:] == [r"\bottomrule", r"\end{tabular}", r"\end{table}"]


def test_text(capsys: pytest.CaptureFixture[str]):
    body = "\n".join(printed("text", capsys))
    assert all(entry in body for entry in ("first_try", *COLUMNS, "a|b & c_d", r"x\y^2 [bold]", "12.35", "one note"))


def test_commands_take_the_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, problem = tmp_path / "net.safetensors", SparseRecovery(8, 16)
    pack(Unrolled(FISTA(), problem, 2), problem=problem).save(file)
    assert main(["bits", str(file), "--table", "md"]) == 0
    assert "| figure | value | definition |" in capsys.readouterr().out
    assert main(["bits", str(file)]) == 0  # the form of one call is not that of the next
    assert "| figure |" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["bits", str(file), "--table", "html"])
    assert "invalid choice: 'html'" in capsys.readouterr().err
