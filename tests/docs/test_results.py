"""The pages of results: their tables and figures are in the reports, and what they say in words is true of these."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "results").glob("*.md"))
TABLE = re.compile(r"^```{results} (\S+)\n(.*?)^```", re.S | re.M)
FIGURE = re.compile(r"{result}`([^`]+)`")


@pytest.fixture
def results(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return import_module("_ext.results")


@pytest.mark.parametrize("page", [page for page in PAGES if TABLE.search(page.read_text())], ids=lambda page: page.stem)
def test_the_reports_of_a_page_have_its_tables_and_figures(page, results):
    for file, text in TABLE.findall(page.read_text()):
        options = dict(re.findall(r"^:(\w+): *(.+)$", text, flags=re.M))
        options["digits"] = int(options.get("digits", 1))
        headings, body = results.table_of(json.loads((results.DATA / file).read_text()), **options)
        assert body
        assert {len(row) for row in body} == {len(headings)}
    for text in FIGURE.findall(page.read_text()):
        assert results.figure_of(" ".join(text.split())) not in ("", "-")


def test_tables_of_reports_by_hand(results):
    report = {"part": {"rows": [{"a": "x", "b": [1.25, None], "c": 1234}, {"a": "y, z", "b": 0.001, "c": None}]}}
    columns = "a, b = level, c"
    assert results.table_of(report, rows="part.rows", columns=columns) == (
        ["a", "level", "c"],
        [["x", "1.2, -", "1,234"], ["y, z", "0.001", "-"]],
    )
    for where, wanted in (("a = x", ["1.25, -"]), ("a = y, z; c = None", ["0.001"])):
        assert results.table_of(report, rows="part.rows", columns="b:2", where=where)[1] == [wanted]
    assert len(results.table_of(report, rows="part.rows", columns="b", where="a = x | y, z")[1]) == 2
    both = {**report, "others": [{"a": "z", "d": 2}]}
    body = [["x", "1,234", "-"], ["y, z", "-", "-"], ["z", "-", "2"]]
    assert results.table_of(both, rows="part.rows, others", columns="a, c, d")[1] == body
    for options, message in (
        ({"columns": "d"}, "no column 'd'; they have a, b, c"),
        ({"columns": "a", "where": "a = z"}, "where a = z"),
        ({"columns": " = level"}, "columns: expected 'key'"),
    ):
        with pytest.raises(ValueError, match=message):
            results.table_of(report, rows="part.rows", **options)


def test_a_column_is_spread_over_the_values_of_another(results):
    rows = [
        {"matrix": matrix, "batch": batch, "speed": {"up": up}}
        for matrix, batch, up in (("large", 1, 9.0), ("small", 1, 3.0), ("large", 8, 7.5))
    ]
    columns = "matrix, speed.up = {batch} vectors"
    assert results.table_of({"rows": rows}, columns=columns) == (
        ["matrix", "1 vectors", "8 vectors"],
        [["large", "9.0", "7.5"], ["small", "3.0", "-"]],
    )
    with pytest.raises(ValueError, match="two rows for large and 1 vectors"):
        results.table_of({"rows": [*rows, {**rows[0], "speed": {"up": 2.0}}]}, columns=columns)


def test_figures_within_sentences(results, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "DATA", tmp_path)
    rows = [{"name": "a b", "db": -1.25}, {"name": "a b", "db": -3.0}, {"name": "c", "db": None}]
    (tmp_path / "r.json").write_text(json.dumps({"seconds": 61.7, "part": {"ok": True}, "rows": rows}))
    assert results.figure_of("r.json seconds:0") == "62"
    assert results.figure_of("r.json part.ok") == "yes"
    assert results.figure_of("r.json rows[name = a b].db:2") == "-3.00 to -1.25"
    assert results.figure_of("r.json rows[].db:0") == "-3 to -1"
    for text, message in (("r.json", "expected 'file key'"), ("r.json rows[name = c].db", "no 'db'")):
        with pytest.raises(ValueError, match=message):
            results.figure_of(text)


def read(file):
    return json.loads((ROOT / "docs" / "results" / "data" / file).read_text())


def levels(file, key, by, **where):
    """The figures of a report under a key, by the value of another."""
    found = [row for row in read(file)["rows"] if all(row.get(name) == value for name, value in where.items())]
    return {row[by]: row[key] for row in found if row.get(key) is not None}


NETWORKS = {"dense relu", "full precision", "W = A", "one-bit", "one-bit, 2 planes", "A + one-bit, tied"}


def test_what_the_page_of_the_demo_says():
    for problem in ("sparse", "single-pixel"):
        for key in ("nmse_db", "nmse_db_mean_of_db"):
            found = levels("demo.json", key, "method", problem=problem)
            networks = [level for method, level in found.items() if method in NETWORKS]
            assert max(found["omp"], found["amp, true prior"]) < min(networks)
    pixel = levels("demo.json", "nmse_db_mean_of_db", "method", problem="single-pixel")
    assert pixel["one-bit"] <= pixel["full precision"] + 0.05
    blocks = levels("demo.json", "nmse_db_mean_of_db", "method", problem="blocks")
    ahead = {name for name in NETWORKS & set(blocks) if blocks[name] < blocks["fista converged"]}
    assert ahead == {"one-bit, 2 planes"}
    assert min(blocks, key=lambda name: blocks[name]) == "amp, true prior"
    eeg = levels("demo.json", "nmse_db", "method", problem="eeg")
    assert eeg["one-bit"] < min(eeg["linear MMSE"], eeg["total variation"])
    patches = levels("demo.json", "nmse_db", "method", problem="patches")
    rivals = [level for method, level in patches.items() if method not in NETWORKS]
    assert patches["one-bit"] < min(rivals) < patches["one-bit"] + 1


def test_what_the_page_of_theory_says():
    trained = levels("theory.json", "tightness", "theorem", group="trained")
    for everywhere, along_the_supports in (("S1", "S5"), ("N1", "N1path")):
        assert trained[everywhere] < trained[along_the_supports]
    assert max(trained[name] for name in ("S1", "N1", "N2u")) < min(trained[name] for name in ("S3", "S5"))


def test_what_the_page_of_open_l2o_says():
    a, b, c = (levels("open-l2o.json", "nmse_db_mean_of_db", "network", setting=setting) for setting in "abc")
    bits = levels("open-l2o.json", "bits_per_link", "network", setting="a")
    assert bits["2 planes, tied"] == pytest.approx(bits["1 plane, untied"] / 8, rel=0.02)
    for found in (a, b, c):
        assert found["2 planes, tied"] < found["1 plane, untied"]
    assert a["cell, ALISTA's matrix"] < a["A + 2 planes, tied"] < a["A + 1 plane, tied"] < a["cell, W = A"]
    resident = levels("open-l2o.json", "resident_per_entry", "network", setting="a")
    signs = {"single-pixel, W = A", "Rademacher, A + 1 plane, tied"}
    assert {name for name, level in resident.items() if level < 32} == signs
    assert resident["cell, ALISTA's matrix"] == pytest.approx(2 * resident["cell, W = A"], rel=0.01)
    for idle in ("A + 1 plane, tied", "A + 2 planes, tied"):
        assert c[idle] == pytest.approx(c["cell, W = A"], abs=0.01)
    ratios = levels("open-l2o.json", "nmse_db", "network", setting="b")
    bounds = {row["network"]: row["nmse_db"] for row in read("open-l2o.json")["optima"]}
    assert set(bounds) == {"genie bound", "Bayes limit"}
    assert bounds["genie bound"] < ratios.pop("single-pixel, W = A") < bounds["Bayes limit"] < min(ratios.values())
    assert min(ratios, key=lambda name: ratios[name]) == "cell, W = A"
    assert ratios["cell, W = A"] < bounds["Bayes limit"] + 0.2
    for added in ("A + 1 plane, tied", "A + 2 planes, tied"):
        assert ratios[added] < ratios["cell, W = A"] + 1 / 3


def test_what_the_page_of_open_l2o_says_of_hard_signals_and_other_ones():
    rows = {row["network"]: row for row in read("hard-signals.json")["rows"]}
    noiseless = {name for name in rows if re.fullmatch(r"(open-l2o-[acd]|rademacher|single-pixel)(?!.*snr).*", name)}
    noisy = {name for name in rows if re.fullmatch(r"open-l2o-b-.*|single-pixel-snr20|all-signs", name)}
    assert {name for name, row in rows.items() if row["repeated"]["failures"] == 0} == noiseless
    assert all(
        row["repeated"]["nmse_db"] >= row["as_trained"]["nmse_db"] for name, row in rows.items() if name in noisy
    )
    noisier = levels("robustness.json", "nmse_db_mean_of_db", "network", condition="noisier")
    whitened = {name for name in noiseless if name.startswith("open-l2o-c")}
    assert min(noisier[name] for name in whitened) > max(noisier[name] for name in noiseless - whitened)


def of_formats(key, problem):
    return {row["network"]: row[key] for row in read("formats.json")["table"] if row["problem"] == problem}


def test_what_the_page_of_formats_says():
    two, floats = "one-bit, designed signs, 2 planes, tied", {"full precision, tied", "full precision, untied"}
    assert read("formats.json")["seeds"] == 1
    for problem in ("sparse", "blocks"):
        mean, bits = of_formats("mean", problem), of_formats("bits_per_link", problem)
        assert min(mean, key=lambda name: mean[name]) == two
        others = {name: level for name, level in mean.items() if name not in {two, *floats}}
        assert min(others, key=lambda name: others[name]) == "W = A"
        one = {untied: f"one-bit, designed signs, 1 plane, {untied}" for untied in ("tied", "untied")}
        assert mean[two] < mean[one["untied"]] - 10 < mean[one["tied"]] - 10
        signs = "one-bit, sign(A), 2 planes, tied"
        assert mean[signs] < mean["b1.58, tied"] < mean["one-bit, sign(A), tied"] - 10
        assert bits["b1.58, tied"] < bits[signs] < 1.3 * bits["b1.58, tied"]
    ratio = of_formats("nmse_db", "blocks")
    assert ratio[two] > max(ratio["W = A"], ratio["full precision, tied"])
    patches = of_formats("mean", "patches")
    for name in ("one-bit, sign(A), tied", "one-bit, sign(A), untied", "BitNet, tied", "BitNet, untied"):
        assert patches[name] == pytest.approx(patches["W = A"], abs=1e-3)


@pytest.mark.parametrize("problem", ["sparse", "blocks", "patches"])
def test_what_the_page_of_formats_says_of_one_bit_and_of_less(problem):
    mean, bits = of_formats("mean", problem), of_formats("bits_per_link", problem)
    little = {name for name in mean if name.startswith("LittleBit")}
    assert min(mean[name] for name in little) > max(mean[name] for name in mean.keys() - little)
    for name in ("one-bit, sign(A)", "BitNet", "OneBit", "b1.58"):
        assert mean[f"{name}, tied"] < mean[f"{name}, untied"] + 1.5
        assert bits[f"{name}, tied"] < bits[f"{name}, untied"] / 6
    for ties in ("tied", "untied"):
        for name in ("one-bit, sign(A)", "BitNet"):
            assert abs(mean[f"{name}, {ties}"] - mean[f"OneBit, {ties}"]) < 0.5


def test_what_the_page_of_physics_says():
    table = read("physics.json")["table"]
    found = {}
    for line in table:
        found.setdefault(line["problem"], {})[line["method"]] = line["nmse_db"]
    ahead = set()
    for problem, methods in found.items():
        networks = [level for method, level in methods.items() if not method.startswith("classic")]
        assert max(networks) < methods["classic"]
        ahead |= {problem} if methods["classic, converged"] < min(networks) else set()
    assert ahead == {"gaussian blur", "motion blur", "box blur", "tomography", "spikes"}
    camera = {name: beside(name) for name in ("single-pixel-image.json", "one-bit-sensing.json")}
    psnr = camera["single-pixel-image.json"]
    assert max(psnr, key=lambda name: psnr[name]["psnr_db"]) == "network"
    signs = camera["one-bit-sensing.json"]
    assert min(signs, key=lambda name: signs[name]["nmse_db"]) == "biht"


def test_what_the_page_of_physics_says_of_the_claims():
    bits = levels("pibinn.json", "nmse_db", "network", claim="bits")
    assert min(bits, key=lambda name: bits[name]) == "full precision"
    rows = [row for row in read("pibinn.json")["rows"] if row["claim"] == "data"]
    for data in {row["data"] for row in rows}:
        found = levels("pibinn.json", "nmse_db", "network", claim="data", data=data)
        assert abs(found["W = A"] - found["one-bit"]) < 0.5
    assert {row["layers"] for row in read("pibinn.json")["rows"] if row["claim"] == "depth"} == {4, 8, 12, 16}


def test_what_the_page_of_the_denoiser_says():
    rows = {row["method"]: row for row in read("denoiser.json")["rows"]}
    formats = [row for name, row in rows.items() if name in {"b1.58", "OneBit", "LittleBit 2", "BitNet"}]
    priors = [row for row in rows.values() if row["group"] == "learned filter prior"]
    assert len(formats) == 4
    assert len(priors) == 2
    for row in formats:
        assert rows["total variation"]["psnr_db"] < row["psnr_db"] < rows["float, trained on"]["psnr_db"]
        assert 3 * row["bytes"] < rows["float, trained on"]["bytes"]
        smaller = [prior for prior in priors if prior["bytes"] <= row["bytes"]]
        assert smaller
        assert max(prior["psnr_db"] for prior in smaller) > row["psnr_db"] + 1


def beside(file):
    """The rows of a network and what one would use instead, by method."""
    return {row["method"]: row for row in read(file)["baselines"]}


def test_what_the_page_of_language_says():
    """Of every seed: rows of the same seed share teacher and batches."""
    rows = read("language.json")["rows"]
    for seed in {row["seed"] for row in rows}:
        found = {row["network"]: row for row in rows if (row["way"], row["seed"]) == ("teacher", seed)}
        on_text = {row["network"]: row for row in rows if (row["way"], row["seed"]) == ("text", seed)}
        level = {name: row["bits_per_byte"] for name, row in found.items()}
        assert min(found[name]["share"] for name in ("OneBit", "BitNet")) > 0.83
        assert level["b1.58"] < min(level["OneBit"], level["BitNet"]) < max(level["OneBit"], level["BitNet"])
        assert max(level["OneBit"], level["BitNet"]) < level["LittleBit 1"]
        gains = [on_text[f"LittleBit {rate}"]["bits_per_byte"] - level[f"LittleBit {rate}"] for rate in (1, 0.7, 0.3)]
        assert 0 < gains[0] < gains[1] < gains[2]
    sizes = levels("language.json", "file_bytes", "network")
    rest = {name: size - 589_824 for name, size in sizes.items()}
    assert rest["OneBit"] <= rest["float"] / 20


def test_what_the_page_of_depth_says():
    levels_of = {}
    for row in read("depth.json")["rows"]:
        level, training = row["nmse_db_mean_of_db"], row["training"]["nmse_db_mean_of_db"]
        assert abs(level - training) < 0.25
        levels_of.setdefault(row["network"], []).append((row["depth"], level))
    for found in levels_of.values():
        ordered = [level for _, level in sorted(found)]
        assert ordered == sorted(ordered, reverse=True)
    assert min(levels_of["A + 1 plane, tied"])[1] < min(levels_of["W = A"])[1]
    planes = {}
    for row in read("all-signs.json")["rows"]:
        planes.setdefault(row["network"], {})[row["planes"]] = row
    shared = planes.pop("W = A")
    for count, row in shared.items():
        assert row["nmse_db_mean_of_db"] > row["operator_error_db"] - 5
        for others in planes.values():
            assert row["nmse_db_mean_of_db"] < others[count]["nmse_db_mean_of_db"]
            assert row["resident_per_entry"] < others[count]["resident_per_entry"]
    change = {row["network"]: row["change"] for row in read("ablation.json")["table"]}
    of = {}
    for row in read("ablation.json")["table"]:
        of.setdefault(row["ingredient"], []).append(row["change"])
    assert min(change[name] for name in change if name.startswith(("learned from", "two stages"))) > 30
    assert abs(change["designed, not learned"]) < 0.25
    assert max(abs(level) for level in (*of["scale"], *of["surrogate"])) < 0.5
    assert change["2 planes, tied"] < -30
    assert min(of["shrinkage"]) > 10
