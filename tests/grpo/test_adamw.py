"""The optimizer against torch.optim.AdamW, bit for bit."""

import torch
from torch.nn import Parameter

from grpo.adamw import AdamW

SETTINGS = {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1}


def test_five_steps_are_torch_s() -> None:
    """Two groups; a learning rate that changes; a parameter without a gradient in some steps, one without any at all."""
    draws = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (4,), (2, 2), (5,)]
    first = [torch.randn(shape, generator=draws) for shape in shapes]
    ours, theirs = ([Parameter(value.clone()) for value in first] for _ in range(2))
    optimizers = [
        make([{"params": weights[:2]} | SETTINGS, {"params": weights[2:]} | SETTINGS])
        for make, weights in ((AdamW, ours), (torch.optim.AdamW, theirs))
    ]
    for step in range(5):
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            gradient = torch.randn(shapes[i], generator=draws)
            for parameter in pair:
                parameter.grad = None if i == 3 or (i == 1 and step % 2) else gradient.clone()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 0.01 / (step + 1)
            optimizer.step()
            optimizer.zero_grad()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert all(parameter.grad is None for parameter in ours)
    for a, b in zip(ours[:3], theirs[:3], strict=True):
        state, expected = optimizers[0].state[a], optimizers[1].state[b]
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in state)
    assert torch.equal(ours[3], first[3])
    assert ours[3] not in optimizers[0].state
