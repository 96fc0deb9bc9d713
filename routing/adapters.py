"""Low-rank adapters on linear layers: one (LoRA), or a retain and a forget one side by side (DualLoRA).

    y = W x + g (alpha / r_g) B_g A_g x + b (alpha / r_b) B_b A_b x

with the scales g (retain) and b (forget) set for a whole model by `set_scales`. It is computed as one product with the merged
matrix W + g (alpha / r_g) B_g A_g + ...: the same for sampling, scoring and training, and as fast as without adapters. An
adapter whose scale is 0 is not merged, so that scales (0, 0) give the base model exactly. Works on any module with linear
layers.
"""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from routing.modes import FORGET, RETAIN
from routing.spec import AdapterSpec


class LoRALinear(nn.Module):
    """A frozen linear layer with named low-rank adapters; `scales` holds each adapter's current scale."""

    def __init__(self, base: nn.Linear, ranks: dict[str, int], alpha: float):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.gains = {name: alpha / rank for name, rank in ranks.items()}
        self.scales = dict.fromkeys(ranks, 1.0)
        new = base.weight.new_empty
        self.A = nn.ParameterDict({name: nn.Parameter(new(rank, base.in_features)) for name, rank in ranks.items()})
        self.B = nn.ParameterDict({name: nn.Parameter(new(base.out_features, rank)) for name, rank in ranks.items()})

    @property
    def factors(self) -> tuple[Float[Tensor, "ranks inputs"], Float[Tensor, "outputs ranks"]] | None:
        """The adapters whose scale is not 0, side by side as one of all their ranks, scales in it; None where there are none."""
        active = [name for name, scale in self.scales.items() if scale]
        if not active:
            return None
        up = torch.cat([self.B[name] * (self.scales[name] * self.gains[name]) for name in active], dim=1)
        return torch.cat([self.A[name] for name in active]), up

    @property
    def weight(self) -> Float[Tensor, "outputs inputs"]:
        """The matrix with its adapters merged into it; differentiable in A and B."""
        factors = self.factors
        base = self.base.weight.to(self.dtype)
        if factors is None:
            return base
        down, up = factors
        return torch.addmm(base, up, down)

    @property
    def dtype(self) -> torch.dtype:
        """Of the adapters and of what is computed; the base's matrix may be stored in another."""
        return next(iter(self.A.values())).dtype

    @property
    def bias(self) -> Float[Tensor, " outputs"] | None:
        return self.base.bias

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        return F.linear(x, self.weight, self.bias)


class DualLoRALinear(LoRALinear):
    """A frozen linear layer with a retain and a forget adapter."""

    def __init__(self, base: nn.Linear, retain_rank: int = 4, forget_rank: int = 4, alpha: float = 16.0):
        super().__init__(base, {RETAIN: retain_rank, FORGET: forget_rank}, alpha)


def add_adapters(
    model: nn.Module, layers: nn.ModuleList, targets: Collection[str], spec: AdapterSpec, generator: torch.Generator
) -> None:
    """Freezes `model` and wraps the linears called one of `targets` in every `stride`-th of `layers`, in place.

    A is drawn kaiming-uniform(sqrt 5), i.e. uniform within 1/sqrt(in_features), B is zero: the model's function is
    unchanged at first. Draws are made on the CPU from `generator`, layer by layer and adapter by adapter.
    Raises ValueError when a rank or the stride is below 1 or nothing in `layers` is a target.
    """
    if spec.stride < 1 or min(spec.ranks.values()) < 1:
        raise ValueError(f"adapter ranks {spec.ranks} and stride {spec.stride} must be at least 1")
    model.requires_grad_(False)
    adapted_count = 0
    for layer in layers[:: spec.stride]:
        for parent in list(layer.modules()):
            for name, child in list(parent.named_children()):
                if name in targets and isinstance(child, nn.Linear):
                    setattr(parent, name, adapted_layer(child, spec, generator))
                    adapted_count += 1
    if not adapted_count:
        raise ValueError(f"no linear layer named {', '.join(targets)} to adapt")


@torch.no_grad()
def adapted_layer(base: nn.Linear, spec: AdapterSpec, generator: torch.Generator) -> LoRALinear:
    if spec.kind == "dual_lora":
        layer = DualLoRALinear(base, spec.ranks[RETAIN], spec.ranks[FORGET], spec.alpha)
    else:
        layer = LoRALinear(base, spec.ranks, spec.alpha)
    for name, a in layer.A.items():
        bound = 1 / math.sqrt(a.shape[1])
        a.copy_(torch.empty(a.shape, dtype=a.dtype).uniform_(-bound, bound, generator=generator))
        layer.B[name].zero_()
    return layer


def keep_bases_in(model: nn.Module, dtype: torch.dtype) -> None:
    """Stores the frozen matrices under the adapters in another dtype, rounded. What is computed stays in the adapters' dtype.

    The other weights are copied, so that none of them holds on to the file that all were read from.
    """
    matrices = {id(layer.base.weight) for layer in adapted_layers(model)}
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype) if id(parameter) in matrices else parameter.data.clone()


def merge_adapters(model: nn.Module, scales: dict[str, float]) -> None:
    """Replaces, in place, every adapted layer by a plain one that computes the same with these scales, in the adapters' dtype."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoRALinear):
                weight = child.base.weight.data
                merged = weight.double()
                for key, scale in scales.items():
                    merged = merged + scale * child.gains[key] * (child.B[key].data.double() @ child.A[key].data.double())
                child.base.weight.data = merged.to(child.dtype)
                setattr(parent, name, child.base)


def adapted_layers(model: nn.Module) -> Iterator[LoRALinear]:
    return (module for module in model.modules() if isinstance(module, LoRALinear))


def set_scales(model: nn.Module, retain: float, forget: float) -> None:
    """Scales of the retain and the forget adapter everywhere; (1, 1) trains, (1, 0) is forget ablated, (0, 0) the base."""
    set_adapter_scales(model, {RETAIN: retain, FORGET: forget})


def set_adapter_scales(model: nn.Module, scales: dict[str, float]) -> None:
    """Raises ValueError when the model has no adapters, or others than those named."""
    layers = list(adapted_layers(model))
    if not layers or any(set(layer.scales) != set(scales) for layer in layers):
        held = sorted(layers[0].scales) if layers else "none"
        raise ValueError(f"scales for {sorted(scales)} do not fit the model's adapters: {held}")
    for layer in layers:
        layer.scales = dict(scales)


def get_scales(model: nn.Module) -> dict[str, float]:
    """The scales that all adapted layers share. Raises ValueError when they differ or there are none."""
    scales = [layer.scales for layer in adapted_layers(model)]
    if not scales or any(other != scales[0] for other in scales):
        raise ValueError("the model has no adapters, or its layers have different scales")
    return dict(scales[0])


@contextmanager
def scaled(model: nn.Module, scales: dict[str, float] | None) -> Iterator[None]:
    """The model with other adapter scales, within; those before come back even after an error. None changes nothing."""
    if scales is None:
        yield
        return
    before = get_scales(model)
    set_adapter_scales(model, scales)
    try:
        yield
    finally:
        set_adapter_scales(model, before)


def adapter_parameters(model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """{adapter name: {parameter name: parameter}}; empty without adapters."""
    groups: dict[str, dict[str, nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        *_, matrix, adapter = ["", *name.split(".")]
        if matrix in ("A", "B"):
            groups.setdefault(adapter, {})[name] = parameter
    return groups
