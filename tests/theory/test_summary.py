"""Summaries of many reports, worked by hand."""

import json

import pytest

from unrollbit.theory.registry import theorems
from unrollbit.theory.report import Report, lower_bound, not_applicable, upper_bound
from unrollbit.theory.summary import summarise


def test_upper_and_lower_bounds():
    report = upper_bound("S1", 2.0, 1.0, 1.5, {"met": True}, bounds=[1.0, 2.0], measurements=[0.5, 1.0])
    assert (report.status, report.tightness, report.vacuous) == ("holds", 0.5, True)
    assert (report.bounds, report.measurements) == ((1.0, 2.0), (0.5, 1.0))
    assert upper_bound("S1", 1.0, 1.0 + 1e-8, 9.0).status == "violated"
    assert upper_bound("S1", 1.0, 1.0 + 1e-10, 9.0).status == "holds"
    assert upper_bound("C2", 3.0, 1.0, 9.0, bounds=[1.0, 3.0], measurements=[1.1, 1.0]).status == "violated"
    assert upper_bound("S1", float("nan"), 1.0, 9.0).status == "violated"
    assert upper_bound("S1", 1.0, float("nan"), 9.0).status == "violated"
    assert upper_bound("S1", 0.0, 0.0, 1.0).tightness is None
    low = lower_bound("S2", 1.0, 4.0, 0.0)
    assert (low.status, low.tightness, low.vacuous) == ("holds", 0.25, False)
    assert lower_bound("S2", 4.1, 4.0, 0.0).status == "violated"
    assert lower_bound("S2", 4.1, 4.0, 0.0, {"unmet": False}).status == "not applicable"


def test_a_summary_counts_and_takes_medians():
    reports = [upper_bound("C2", bound, 1.0, 3.0, {"a": True}) for bound in (2.0, 4.0, 5.0)]
    reports += [not_applicable("C2", {"a": False}), upper_bound("S1", 1.0, 2.0, 9.0)]
    first, second = summarise(reports)
    assert (first.theorem, first.status, first.family) == ("S1", "violated", "stability")
    assert (second.instances, second.applicable, second.vacuous_instances, second.violated_instances) == (4, 3, 2, 0)
    assert (second.bound, second.measured, second.tightness, second.largest_tightness) == (4.0, 1.0, 0.25, 0.5)
    assert second.vacuous
    assert (first.informative, second.informative) == (1.0, pytest.approx(1 / 3))
    assert second.assumptions == {"a": False}
    assert second.unmet == "a (1 of 4)"
    row = json.loads(json.dumps(second.row()))
    assert {"theorem", "status", "bound", "measured", "tightness", "vacuous", "informative", "assumptions"} <= set(row)


def test_nothing_applicable_is_never_a_pass():
    (summary,) = summarise([not_applicable("C1", {"x is sparse": False})])
    assert summary.informative is None
    assert (summary.status, summary.bound, summary.vacuous, summary.unmet) == (
        "not applicable",
        None,
        False,
        "x is sparse",
    )


def test_a_bound_that_nothing_was_compared_with_is_never_a_pass():
    alone = upper_bound("N2u", 2.0, None, 9.0)
    assert (alone.status, alone.bound, alone.tightness) == ("not measured", 2.0, None)
    assert lower_bound("S2", 2.0, None, 0.0).status == "not measured"
    assert upper_bound("C2", 3.0, None, 9.0, bounds=[1.0], measurements=[0.5]).status == "holds"
    (summary,) = summarise([alone, not_applicable("N2u", {"a": False}), alone])
    assert (summary.status, summary.applies, summary.bound) == ("not measured", "2 / 3", 2.0)
    compared = upper_bound("N2u", 2.0, 1.0, 9.0)
    assert summarise([alone, compared])[0].status == "holds"
    assert summarise([alone, compared, upper_bound("N2u", 2.0, 3.0, 9.0)])[0].status == "violated"


def test_rounding_is_relative_to_what_was_subtracted():
    for unit in (1e-12, 1.0, 1e12):
        assert upper_bound("S1", unit, 1.01 * unit, 9.0, size=unit).status == "violated"
        assert upper_bound("S1", 0.0, 1e-12 * unit, 9.0, size=unit).status == "holds"
        assert upper_bound("S1", 0.0, 1e-10 * unit, 9.0, size=unit).status == "violated"
        assert upper_bound("S1", 0.0, 1e-12 * unit, 9.0).status == "violated"
    layers = upper_bound("C2", 1.0, 1.0, 9.0, size=[1.0, 1e6], bounds=[0.0, 1.0], measurements=[1e-9, 1.0])
    assert layers.status == "violated"  # the size of a later layer excuses no earlier one


def test_layers_are_medians_and_unknown_theorems_are_refused():
    reports = [upper_bound("C2", b, 0.1, 9.0, bounds=[b, 2 * b], measurements=[0.1, 0.1]) for b in (1.0, 2.0, 6.0)]
    assert summarise(reports)[0].bounds == (2.0, 4.0)
    with pytest.raises(ValueError, match="unknown theorem 'X9'"):
        summarise([Report("X9", "holds", 1.0, 1.0, 1.0, {}, False)])


def test_every_statement_has_a_family():
    letters = {
        "S": "stability",
        "N": "sensitivity",
        "C": "convergence",
        "G": "generalization",
        "E": "prediction",
        "H": "prediction",
        "O": "prediction",
    }
    elsewhere = {"E2": "sensitivity", "H3": "stability", "H4": "sensitivity", "H5": "convergence"}
    found = {name: statement.family for name, statement in theorems().items()}
    assert found == {name: elsewhere.get(name, letters[name[0]]) for name in found}
