"""Tables of a config: physics that a network holds, weights anchored at A, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import Unrolled
from unrollbit.algorithms import AMP, FISTA
from unrollbit.cli.config import build_run
from unrollbit.cli.network_table import build_physics, build_weights
from unrollbit.formats import Anchored, Designed, Format, FullPrecision, Normalised, OneBit, Place
from unrollbit.operators import Preconditioned, gaussian
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.problems import SparseRecovery
from unrollbit.shrinkage import Grouped, Soft

PROBLEM = {"kind": "SparseRecovery", "m": 8, "n": 16}
DESIGNED = {"kind": "Designed", "inner": {"kind": "OneBit", "scale": "global"}, "noise": 0.1, "steps": 3}
STAGES = [{"steps": 2, "batch": 4}]


def run_of(**tables: Any):
    if "network" in tables:
        tables = {"stages": STAGES, **tables}
    return build_run({"problem": dict(PROBLEM), **tables}, Path())


def test_a_preconditioned_table() -> None:
    problem = SparseRecovery(8, 16)
    held = build_physics({"form": "preconditioned", "delta": 0.25}, problem)
    assert isinstance(held, Preconditioned)
    assert held.delta == 0.25
    np.testing.assert_array_equal(held.dense(), Preconditioned.of(problem.operator, 0.25).dense())
    named = build_physics("preconditioned", problem)
    assert isinstance(named, Preconditioned)
    assert named.delta == 0.0


def test_a_sign_planes_table() -> None:
    held = build_physics({"form": "sign-planes", "planes": 3}, SparseRecovery(8, 16))
    assert isinstance(held, PackedSigns)
    assert (held.planes, held.shape) == (3, (8, 16))


@pytest.mark.long
@pytest.mark.parametrize("tables", [{"network": {"depth": 2}}, {"recipe": {"name": "designed_signs", "depth": 2}}])
def test_networks_and_recipes_hold_the_form_and_the_problem_keeps_its_physics(tables: dict[str, Any]) -> None:
    ((name, table),) = tables.items()
    run = run_of(**{name: {**table, "physics": {"form": "preconditioned", "delta": 0.1}}})
    assert isinstance(run.network.operator, Preconditioned)
    assert run.network.operator.delta == 0.1
    np.testing.assert_array_equal(run.problem.operator.dense(), gaussian(8, 16).dense())
    plain = run_of(**tables)
    np.testing.assert_array_equal(plain.network.operator.dense(), gaussian(8, 16).dense())


BAD_PHYSICS = {
    "unknown form": (
        {"form": "whitened"},
        r"physics: expected form = 'preconditioned' or 'sign-planes', got 'whitened'",
    ),
    "unknown name": ("dense", "got 'dense'"),
    "no form": ({"delta": 0.1}, "got None"),
    "option of the other": (
        {"form": "preconditioned", "planes": 2},
        r"\[physics\] preconditioned: unknown 'planes'; it takes delta",
    ),
    "unknown option": ({"form": "sign-planes", "planes": 2, "scale": "row"}, r"unknown 'scale'; it takes planes"),
    "missing option": ({"form": "sign-planes"}, r"\[physics\] sign-planes: missing 'planes'; it takes planes"),
    "wrong value": ({"form": "preconditioned", "delta": -1.0}, "delta: expected a number >= 0, got -1.0"),
    "wrong type": ({"form": "sign-planes", "planes": "many"}, "planes: expected an int, got 'many'"),
}


@pytest.mark.parametrize("case", BAD_PHYSICS)
def test_wrong_physics_tables_are_refused(case: str) -> None:
    table, message = BAD_PHYSICS[case]
    with pytest.raises(ValueError, match=message):
        build_physics(table, SparseRecovery(8, 16))
    with pytest.raises(ValueError, match=message):
        run_of(network={"depth": 2, "physics": table})
    with pytest.raises(ValueError, match=message):
        run_of(recipe={"name": "two_stage", "depth": 2, "physics": table})


def test_fully_connected_networks_hold_no_physics() -> None:
    with pytest.raises(ValueError, match=r"\[network\]: .*'physics'"):
        run_of(network={"kind": "FullyConnected", "depth": 2, "physics": {"form": "preconditioned"}})


@pytest.mark.parametrize(
    ("table", "inner"),
    [
        ({"kind": "OneBit"}, OneBit()),
        (DESIGNED, Designed(OneBit(scale="global"), noise=0.1, steps=3)),
        ({"kind": "FullPrecision"}, FullPrecision()),
    ],
)
def test_anchored_weights(table: dict[str, Any], inner: Format) -> None:
    A = gaussian(8, 16)
    place = Place(AMP().maps(A)["W"], A, 2)
    format = build_weights({"kind": "Anchored", "inner": table})
    assert format == Anchored(inner)
    weights = format.build(place)
    np.testing.assert_allclose(weights.dense() - A.dense(), weights.leaf.dense(), atol=1e-6)
    wrapped = build_weights({"kind": "Normalised", "inner": {"kind": "Anchored", "inner": table}})
    assert wrapped == Normalised(Anchored(inner))
    np.testing.assert_allclose(jnp.sum(wrapped.build(place).dense() * A.dense(), axis=1), 1.0, rtol=1e-4)
    assert build_weights(table) == inner
    assert build_weights(table["kind"]) == type(inner)()


def test_anchored_designed_weights_are_designed_around_the_physics() -> None:
    A = gaussian(8, 16)
    table = {"kind": "Designed", "inner": {"kind": "OneBit", "scale": "global"}, "steps": 3}
    around = build_weights({"kind": "Anchored", "inner": table}).build(Place(AMP().maps(A)["W"], A)).leaf
    alone = build_weights(table).build(Place(AMP().maps(A)["W"], A))
    assert not np.array_equal(np.sign(around.dense()), np.sign(alone.dense()))
    correction, whole = (np.linalg.norm(weights.dense()) for weights in (around, alone))
    assert 0 < correction < 0.8 * whole  # of both, the columns meet those of A in a product of about 1


def test_wrong_anchored_tables_are_refused() -> None:
    A = gaussian(8, 16)
    with pytest.raises(ValueError, match="around the physics need scales; use scale='global'"):
        build_weights({"kind": "Anchored", "inner": {"kind": "Designed"}}).build(Place(AMP().maps(A)["W"], A))
    with pytest.raises(ValueError, match="FullPrecision has no field 'noise'; its fields: none"):
        build_weights({"kind": "Anchored", "inner": {"kind": "FullPrecision", "noise": 0.1}})
    with pytest.raises(ValueError, match="OneBit has no field 'anchor'; its fields: planes, scale, surrogate"):
        build_weights({"kind": "OneBit", "anchor": True})
    with pytest.raises(ValueError, match=r"a Format spec is a table with the key 'kind', got {'scale': 'row'}"):
        build_weights({"scale": "row"})
    with pytest.raises(ValueError, match="a Anchored spec needs the field 'inner'"):
        build_weights("Anchored")
    with pytest.raises(ValueError, match="unknown kind of Format 'Wrapper'"):
        build_weights("Wrapper")
    with pytest.raises(ValueError, match=r"noise >= 0, got 1, 400 and -1\.0"):
        run_of(recipe={"name": "designed_signs", "depth": 2, "noise": -1.0})


def test_recipe_tables_name_their_new_options() -> None:
    recipe = {"name": "designed_signs", "depth": 2, "anchored": True, "noise": 0.1}
    weights = run_of(recipe=recipe).network.maps["W"]
    assert weights.format == Normalised(Anchored(Designed(OneBit(scale="global"), noise=0.1)))
    with pytest.raises(ValueError, match=r"unknown 'anchor' \(did you mean 'anchored'\?\); it takes depth, .*physics"):
        run_of(recipe={"name": "designed_signs", "depth": 2, "anchor": True})


def test_thresholds_take_the_bands_of_the_problem() -> None:
    shrinkage = {"kind": "Grouped", "shrinkage": {"kind": "Soft"}, "groups": "bands"}
    table = {"kind": "FISTA", "regularisation": 0.1, "shrinkage": shrinkage}
    image = {"kind": "Inpainting", "size": 16, "transform": "dct"}
    tables: list[dict[str, Any]] = [
        {"recipe": {"name": "full_precision", "depth": 2, "algorithm": table}},
        {"network": {"depth": 2, "algorithm": table}},
    ]
    for given in tables:
        run = run_of(problem=image, **given)
        assert isinstance(run.network, Unrolled)
        assert run.network.algorithm == FISTA(Grouped(Soft(), run.problem.prior().groups), 0.1)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="groups = 'bands' is for signals with bands; SparseRecovery has none"):
        run_of(network={"depth": 2, "algorithm": table})
    assert shrinkage["groups"] == "bands"  # the config stays as it was read
