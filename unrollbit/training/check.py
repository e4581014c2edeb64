"""What `fit` refuses, before anything is trained or written."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from unrollbit.networks import FullyConnected, Network
from unrollbit.training.stage import Stage


def check_run(
    net: Network,
    stages: Sequence[Stage],
    *,
    samples: int | None = None,
    teacher: Network | None = None,
    chunk: int = 1,
) -> None:
    """Raise the ``ValueError`` (``TypeError`` for a teacher that is no network) with which ``fit`` would refuse these
    arguments, before anything is written.

    Example:
        >>> from unrollbit import AMP, Stage, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> check_run(Unrolled(AMP(), gaussian(8, 16), 2), [Stage(10, depth=3)])
        Traceback (most recent call last):
            ...
        ValueError: fit: a stage has depth 3, but the network has 2 layers
    """
    if not stages:
        raise ValueError("fit: expected at least one Stage; see unrollbit.recipes for good ones")
    if samples is not None and samples < 1:
        raise ValueError(f"samples: expected at least 1 training signal, got {samples}")
    if chunk < 1:
        raise ValueError(f"chunk: expected at least 1 step per dispatch, got {chunk}")
    devices = jax.device_count()
    for stage in stages:
        if stage.depth is not None and stage.depth > net.depth:
            raise ValueError(f"fit: a stage has depth {stage.depth}, but the network has {net.depth} layers")
        if stage.batch % devices:
            raise ValueError(f"fit: batch {stage.batch} is no multiple of the {devices} devices")
        if stage.loss.per_layer and isinstance(net, FullyConnected):
            raise ValueError(
                "fit: a fully connected network has no estimate per layer; use Stage(loss=LogNMSE()), or with a "
                "teacher Stage(loss=Distillation(base=LogNMSE(), layers=0.0))"
            )
        if stage.penalties:
            trained = net if stage.quantised else net.unquantised()
            for penalty in stage.penalties:
                penalty.check(trained)
    _check_teacher(net, [stage for stage in stages if stage.loss.needs_teacher], teacher)


def _check_teacher(net: Network, following: Sequence[Stage], teacher: Network | None) -> None:
    """``following``: the stages whose loss needs a teacher."""
    if teacher is None:
        if following:
            raise ValueError(
                f"fit: the loss {type(following[0].loss).__name__} needs fit(..., teacher=network), or in a config the "
                "line teacher = 'network.safetensors'"
            )
        return
    if not isinstance(teacher, Network):
        packed = "; take its .network or .trainable()" if hasattr(teacher, "trainable") else ""
        raise TypeError(f"fit: expected a network as teacher, got {type(teacher).__name__}{packed}")
    if not following:
        raise ValueError("fit: there is a teacher, but no stage follows it; use Stage(loss=Distillation()), or none")
    if teacher.operator.shape != net.operator.shape:
        raise ValueError(
            f"fit: the teacher is for physics of shape {teacher.operator.shape}, the network for {net.operator.shape}"
        )
    for stage in following:
        if not stage.loss.teacher_per_layer:
            continue
        if isinstance(teacher, FullyConnected):
            raise ValueError(
                "fit: the teacher is fully connected and has no estimate per layer; use Distillation(layers=0.0)"
            )
        depth = stage.depth or net.depth
        if teacher.depth < depth:
            raise ValueError(
                f"fit: the teacher has {teacher.depth} layers, fewer than the {depth} trained; "
                "use Distillation(layers=0.0) to follow its output alone"
            )
