"""Gradient routing (Cloud et al., arXiv:2410.04332) between a retain and a forget adapter.

A routing rule sees labels only: which samples are labelled bad. It splits a batch into homogeneous micro-batches;
`routed_backward` runs one forward and backward pass on each, masking by hooks the gradients that this class of samples must
not leave in an adapter.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from routing.adapters import adapter_parameters, scaled
from routing.modes import BAD, GOOD, LEARNS, RETAIN, RETAIN_ROLLOUT, RETAIN_SCALES, Learners

PassResult = TypeVar("PassResult")


@dataclass(frozen=True)
class MicroBatch:
    """Samples of one class, all trained in the same way."""

    name: str
    rows: Int[Tensor, " m"]
    learns: Learners  # adapters that learn from them; None: everything trainable does
    scales: dict[str, float] | None = None  # in sampling and in training; None: those that the model has


@dataclass(frozen=True)
class Routes:
    """What is done with each of N samples. Empty micro-batches are left out."""

    labelled: Bool[Tensor, " n"]  # as bad
    micro_batches: tuple[MicroBatch, ...]

    @property
    def routed(self) -> Bool[Tensor, " n"]:
        """The samples that the retain adapter does not learn from."""
        routed = torch.ones_like(self.labelled)
        for micro_batch in self.micro_batches:
            routed[micro_batch.rows] = micro_batch.learns is not None and RETAIN not in micro_batch.learns
        return routed


def route(labelled: Bool[Tensor, " n"], mode: str, retain_rollouts: Bool[Tensor, " n"] | None = None) -> Routes:
    """Good and bad micro-batches by label. Mode `none` splits just the same and masks nothing; `filter` drops bad samples.

    `retain_rollouts` marks samples drawn with the forget adapter ablated. The good ones among them form a third
    micro-batch, trained the same way, from which retain alone learns; the bad ones are dropped, since forget did not take
    part in them and retain must not learn from them. Raises ValueError for an unknown mode.
    """
    if mode not in LEARNS:
        raise ValueError(f"routing mode {mode!r}: accepted are {', '.join(LEARNS)}")
    ablated = torch.zeros_like(labelled) if retain_rollouts is None else retain_rollouts
    classes = (
        MicroBatch(GOOD, (~labelled & ~ablated).nonzero().flatten(), LEARNS[mode][GOOD]),
        MicroBatch(BAD, (labelled & ~ablated).nonzero().flatten(), LEARNS[mode][BAD]),
        MicroBatch(RETAIN_ROLLOUT, (~labelled & ablated).nonzero().flatten(), frozenset({RETAIN}), RETAIN_SCALES),
    )
    trained = tuple(micro_batch for micro_batch in classes if len(micro_batch.rows) and micro_batch.learns != frozenset())
    return Routes(labelled, trained)


@contextmanager
def masked_gradients(model: nn.Module, learns: Learners) -> Iterator[None]:
    """Within, a backward pass leaves zero gradients in the adapters that do not learn. None masks nothing."""
    groups = adapter_parameters(model)
    learning = set(groups) if learns is None else learns
    assert learning <= set(groups), f"adapters {sorted(learning)} are to learn, the model has {sorted(groups)}"
    masked = [parameter for name, group in groups.items() if name not in learning for parameter in group.values()]
    hooks = [parameter.register_hook(torch.zeros_like) for parameter in masked if parameter.requires_grad]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def routed_backward(model: nn.Module, routes: Routes, one_pass: Callable[[MicroBatch], PassResult]) -> dict[str, PassResult]:
    """Accumulates each micro-batch's gradients under its mask; `one_pass` computes a part of the loss and calls backward.

    An adapter that learnt from no micro-batch is left without gradients (None, not zeros), so that the optimizer does
    not touch it: no momentum, no weight decay, no step counted.
    """
    results: dict[str, PassResult] = {}
    for micro_batch in routes.micro_batches:
        with scaled(model, micro_batch.scales), masked_gradients(model, micro_batch.learns):
            results[micro_batch.name] = one_pass(micro_batch)
    for name, group in adapter_parameters(model).items():
        if not any(micro_batch.learns is None or name in micro_batch.learns for micro_batch in routes.micro_batches):
            for parameter in group.values():
                parameter.grad = None
    return results
