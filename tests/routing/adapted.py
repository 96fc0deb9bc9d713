"""Small models with adapters, for the tests of what adapters are."""

import torch
from torch import nn

from models.llama import Llama
from routing.adapters import adapter_parameters, add_adapters
from routing.modes import FORGET, LORA, RETAIN
from routing.spec import AdapterSpec
from tests.helpers import tiny_llama

DUAL = AdapterSpec("dual_lora", {RETAIN: 2, FORGET: 3}, alpha=8.0, stride=1)
SINGLE = AdapterSpec("lora", {LORA: 2}, alpha=8.0, stride=1)
IDS = torch.tensor([[3, 9, 4, 27, 8], [1, 30, 2, 2, 11]])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fill_adapters(model: nn.Module, seed: int = 1) -> None:
    """Values as after some training: no B is zero any more."""
    generator = seeded(seed)
    with torch.no_grad():
        for group in adapter_parameters(model).values():
            for parameter in group.values():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)


def adapted_llama(
    spec: AdapterSpec = DUAL, seed: int = 0, dtype: torch.dtype = torch.float64, targets=Llama.targets, **changes
) -> nn.Module:
    model = tiny_llama(seed=4, dtype=dtype, **changes)
    add_adapters(model, model.model.layers, targets, spec, seeded(seed))
    return model
