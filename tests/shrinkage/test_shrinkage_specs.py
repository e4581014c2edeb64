"""Specs: written, read, refused; and the documented examples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import pytest

from unrollbit.shrinkage import Box, Firm, Grouped, Shrinkage, Soft
from unrollbit.specs import Specified


def test_round_trip_through_json(shrinkage):
    spec = json.loads(json.dumps(shrinkage.to_spec(), allow_nan=False))
    assert Shrinkage.from_spec(spec) == shrinkage


def test_infinite_sides_survive_json():
    box = Box(float("-inf"), float("inf"))
    text = json.dumps(box.to_spec(), allow_nan=False)
    assert Shrinkage.from_spec(json.loads(text)) == box


def test_defaults_and_integers_may_be_given():
    assert Shrinkage.from_spec({"kind": "Box", "upper": 2}) == Box(0.0, 2.0)
    assert Shrinkage.from_spec({"kind": "Soft"}) == Soft()
    assert Soft.from_spec({"kind": "Soft"}) == Soft()


def test_nested_specs_are_objects():
    spec = {"kind": "Grouped", "shrinkage": {"kind": "Firm", "relative_width": 2.0}, "groups": [0, 1]}
    assert Shrinkage.from_spec(spec) == Grouped(Firm(2.0), (0, 1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "Sotf"}, "unknown kind of Shrinkage 'Sotf'; expected one of: BernoulliGaussian, Box"),
        ({"kind": ["Soft"]}, "unknown kind of Shrinkage"),
        ({"kind": "Shrinkage"}, "unknown kind of Shrinkage 'Shrinkage'"),
        ({"upper": 1.0}, "a table with the key 'kind'"),
        (3, "a table with the key 'kind', got 3"),
        ({"kind": "Box", "uper": 1.0}, "Box has no field 'uper'; its fields: lower, upper"),
        ({"kind": "Soft", "threshold": 1.0}, "Soft has no field 'threshold'; its fields: none"),
        ({"kind": "GroupSoft"}, "GroupSoft spec needs the field 'group_size'"),
        ({"kind": "GroupSoft", "group_size": 2.5}, "GroupSoft.group_size: expected int, got 2.5"),
        ({"kind": "GroupSoft", "group_size": True}, "expected int, got True"),
        ({"kind": "Box", "upper": "high"}, "Box.upper: expected float, got 'high'"),
        ({"kind": "Box", "upper": "nan"}, "Box.upper: expected float, got 'nan'"),
        ({"kind": "Grouped", "shrinkage": {"kind": "Soft"}, "groups": 3}, "Grouped.groups: expected a list, got 3"),
        ({"kind": "Grouped", "shrinkage": {"kind": "Soft"}, "groups": [0, "a"]}, r"Grouped.groups\[1\]: expected int"),
        ({"kind": "Grouped", "shrinkage": {"kind": "None"}, "groups": [0]}, "unknown kind of Shrinkage 'None'"),
        (
            {"kind": "Grouped", "shrinkage": {"kind": "Soft"}, "groups": [0], "initial": [["threshold"]]},
            r"Grouped.initial\[0\]: expected a list of 2",
        ),
    ],
)
def test_wrong_specs_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        Shrinkage.from_spec(spec)


def test_a_kind_of_another_branch_is_refused():
    with pytest.raises(ValueError, match="unknown kind of Soft 'Box'; expected one of: Soft"):
        Soft.from_spec({"kind": "Box"})


class Food(Specified):
    """A family of its own, so that the tests leave no kind in the library's."""


@dataclass(frozen=True)
class Bread(Food):
    shape: Literal["round", "long"] = "round"
    grams: int | None = None
    slices: tuple[float, ...] | float = 1.0
    filling: Soft | None = None


@pytest.mark.parametrize("bread", [Bread(), Bread("long", 500, (1.0, 2.0), Soft())])
def test_unions_and_literals(bread):
    assert Food.from_spec(json.loads(json.dumps(bread.to_spec()))) == bread


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("shape", "flat", "expected one of 'round', 'long', got 'flat'"),
        ("grams", "many", "Bread.grams: expected int, got 'many'"),
        ("slices", "many", "expected a list, got 'many'; or Bread.slices: expected float"),
    ],
)
def test_unions_and_literals_refuse(field, value, message):
    with pytest.raises(ValueError, match=message):
        Food.from_spec({"kind": "Bread", field: value})


def test_constructors_look_at_the_types_of_fields():
    with pytest.raises(ValueError, match=r"^grams: expected an int or None, got 1j$"):
        Bread(grams=1j)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^filling: expected a Soft or None, got the class Soft; write Soft\(\)$"):
        Bread(filling=Soft)  # pyright: ignore[reportArgumentType]


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match=r"Bread.slices: a complex cannot be written as JSON"):
        Bread(slices=1j).to_spec()  # pyright: ignore[reportArgumentType]


def test_families_do_not_mix_and_names_are_unique():
    assert "Bread" not in Shrinkage.kinds
    with pytest.raises(TypeError, match="already has a kind 'Bread'"):
        type("Bread", (Food,), {"__module__": "elsewhere"})


def test_long_runs_of_groups_are_written_as_runs():
    runs = Grouped(Soft(), ((0, 1000), (1, 2), (0, 500)))
    assert runs == Grouped(Soft(), (0,) * 1000 + (1, 1) + (0,) * 500)
    spec = json.loads(json.dumps(runs.to_spec()))
    assert spec["groups"] == [[0, 1000], [1, 2], [0, 500]]
    assert Shrinkage.from_spec(spec) == runs
    assert Grouped(Soft(), (0, 1, 0, 1)).to_spec()["groups"] == [0, 1, 0, 1]
    for wrong in ([[0, 10**12]], [[0, -1]], [[0, 1, 2]], [[0, 3], 1]):
        with pytest.raises(ValueError, match=r"Grouped"):
            Shrinkage.from_spec({**spec, "groups": wrong})
