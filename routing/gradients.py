"""What the adapters' gradients would be without masks, and how those of two classes of samples agree."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from routing.adapters import adapter_parameters
from routing.modes import FORGET, RETAIN

Gradients = dict[nn.Parameter, Tensor]


def retain_and_forget(model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """As `adapter_parameters`; empty for a model that has not both."""
    groups = adapter_parameters(model)
    return groups if {*groups} == {RETAIN, FORGET} else {}


@contextmanager
def unmasked_gradients(model: nn.Module) -> Iterator[Gradients]:
    """Within, adds up the gradients of both adapters as backward passes bring them, before any mask that is set later.

    What reaches the parameters is not changed.
    """
    # A parameter's hooks are called in the order in which they were registered, each with what the one before it returned.
    seen: Gradients = {}

    def see(parameter: nn.Parameter, gradient: Tensor) -> None:
        seen[parameter] = seen[parameter] + gradient if parameter in seen else gradient

    parameters = (parameter for group in retain_and_forget(model).values() for parameter in group.values())
    hooks = [parameter.register_hook(partial(see, parameter)) for parameter in parameters if parameter.requires_grad]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def gradient_cosines(model: nn.Module, one: Gradients, other: Gradients) -> dict[str, float | None]:
    """By adapter, the cosine of the angle between two gradients; None where one is missing, zero or not finite."""
    return {name: _cosine(*(_vector(group, each) for each in (one, other))) for name, group in retain_and_forget(model).items()}


def _vector(group: dict[str, nn.Parameter], gradients: Gradients) -> Tensor | None:
    """All of an adapter's, one after the other, in float64."""
    there = [gradients[parameter].flatten() for parameter in group.values() if parameter in gradients]
    return torch.cat(there).double() if there else None


def _cosine(one: Tensor | None, other: Tensor | None) -> float | None:
    if one is None or other is None:
        return None
    cosine = float(torch.dot(one, other) / (one.norm() * other.norm()))
    return cosine if math.isfinite(cosine) else None
