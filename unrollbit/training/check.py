"""What `fit` takes and what it refuses, before anything is trained or written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import jax
from flax import nnx

from unrollbit.arguments import choice, instance, integer
from unrollbit.networks import Network
from unrollbit.training.placement import Placement
from unrollbit.training.program import LONGEST_CHUNK
from unrollbit.training.recipe import Recipe
from unrollbit.training.run import Keep
from unrollbit.training.stage import Stage


def network_and_stages(
    net: Network | Recipe, stages: Sequence[Stage] | Stage | None
) -> tuple[Network, tuple[Stage, ...]]:
    """A network and its stages, from what ``fit`` was given: both, or a recipe, which has them.

    Raises ``TypeError`` for anything else, ``ValueError`` for no stages.
    """
    own = getattr(net, "stages", None)
    if own is not None:
        if stages is not None:
            raise TypeError(
                "fit: expected a recipe alone, which has stages of its own, or a network and stages; got a recipe and "
                "stages: use fit(recipe.network, problem, stages)"
            )
        net, stages = net.network, own  # pyright: ignore[reportAttributeAccessIssue]
    elif hasattr(stages, "network"):
        raise TypeError(
            "fit: expected a Stage or several, got a recipe, which has a network of its own: use fit(recipe, problem), "
            "or fit(net, problem, recipe.stages)"
        )
    if not isinstance(net, Network):
        packed = "; take its .trainable()" if hasattr(net, "trainable") else ""
        raise TypeError(f"fit: expected a network (or a recipe) to train, got {_name(net)}{packed}")
    if isinstance(stages, Stage):  # one alone may stand for a list of one
        stages = (stages,)
    entries = tuple(stages) if isinstance(stages, list | tuple) else None
    if entries == () or stages is None:
        raise ValueError("fit: expected at least one Stage, such as Stage(1000); see unrollbit.recipes for good ones")
    for entry in (stages,) if entries is None else entries:
        instance("fit: stages", entry, Stage, "Stage(1000), or several of them")
    return net, entries or ()


def check_run(
    net: Network,
    problem: Any,
    stages: Sequence[Stage],
    *,
    samples: int | None = None,
    teacher: Network | None = None,
    chunk: int = 1,
    keep: str = "best",
    model_parallel: int = 1,
) -> None:
    """Raise the ``ValueError`` or ``TypeError`` with which ``fit`` would refuse these arguments.

    Example:
        >>> from unrollbit import AMP, Stage, Unrolled
        >>> from unrollbit.problems import SparseRecovery
        >>> problem = SparseRecovery(8, 16)
        >>> check_run(Unrolled(AMP(), problem, 2), problem, [Stage(10, depth=3)])
        Traceback (most recent call last):
            ...
        ValueError: fit: a stage has depth 3, but the network has 2 layers
    """
    _check_problem(net, problem)
    if samples is not None:
        integer("samples", samples, 1)
    integer("chunk", chunk, 1, LONGEST_CHUNK)
    choice("keep", keep, get_args(Keep))
    batches = Placement(integer("model_parallel", model_parallel, 1)).batches
    _check_teacher(net, [stage for stage in stages if stage.loss.needs_teacher], teacher)
    trained = {stage.quantised: net if stage.quantised else net.unquantised() for stage in stages}
    for stage in stages:
        _check_stage(stage, trained[stage.quantised], batches)


def _check_problem(net: Network, problem: Any) -> None:
    if isinstance(problem, type) or not all(callable(getattr(problem, name, None)) for name in ("sample", "split")):
        raise TypeError(
            f"fit: expected a problem to draw signals from, with sample(key, batch) and split(name), got "
            f"{_name(problem)}; for signals of your own use unrollbit.problems.Problem.from_arrays(A, x, y)"
        )
    operator = getattr(problem, "operator", None)
    if operator is not None and operator.shape != net.operator.shape:
        raise ValueError(
            f"fit: the problem has physics of shape {operator.shape}, the network is for {net.operator.shape}"
        )


def _check_stage(stage: Stage, net: Network, batches: int) -> None:
    """``net``: what the stage trains; ``batches``: parts of a batch."""
    if stage.depth is not None and stage.depth > net.depth:
        raise ValueError(f"fit: a stage has depth {stage.depth}, but the network has {net.depth} layers")
    if stage.batch % batches:
        raise ValueError(f"fit: batch {stage.batch} is no multiple of the {batches} devices that share it")
    if stage.loss.per_layer and not net.estimates_per_layer:
        raise ValueError(
            f"fit: {_name(net)} has no estimate per layer; use Stage(loss=LogNMSE()), or with a teacher "
            "Stage(loss=Distillation(base=LogNMSE(), layers=0.0))"
        )
    if not jax.tree.leaves(nnx.state(net, stage.types())):
        raise ValueError(f"Stage rates {sorted(stage.kinds)}: the network has no such variables to train")
    names = sorted(getattr(net, "scalars", {}))
    if missing := sorted(set(stage.held) - set(names)):
        raise ValueError(f"Stage held: the network has no scalars {', '.join(missing)}; it has {', '.join(names)}")
    for penalty in stage.penalties:
        penalty.check(net)


def _check_teacher(net: Network, following: Sequence[Stage], teacher: Network | None) -> None:
    """``following``: the stages whose loss needs a teacher."""
    if teacher is None:
        if following:
            raise ValueError(
                f"fit: the loss {_name(following[0].loss)} needs fit(..., teacher=network), or in a config the "
                "line teacher = 'network.safetensors'"
            )
        return
    if not isinstance(teacher, Network):
        packed = "; take its .network or .trainable()" if hasattr(teacher, "trainable") else ""
        raise TypeError(f"fit: expected a network as teacher, got {_name(teacher)}{packed}")
    if not following:
        raise ValueError("fit: there is a teacher, but no stage follows it; use Stage(loss=Distillation()), or none")
    if teacher.operator.shape != net.operator.shape:
        raise ValueError(
            f"fit: the teacher is for physics of shape {teacher.operator.shape}, the network for {net.operator.shape}"
        )
    for stage in following:
        if not stage.loss.teacher_per_layer:
            continue
        if not teacher.estimates_per_layer:
            raise ValueError(
                f"fit: the teacher, {_name(teacher)}, has no estimate per layer; use Distillation(layers=0.0)"
            )
        depth = stage.depth or net.depth
        if teacher.depth < depth:
            raise ValueError(
                f"fit: the teacher has {teacher.depth} layers, fewer than the {depth} trained; "
                "use Distillation(layers=0.0) to follow its output alone"
            )


def _name(thing: Any) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__
