"""A tiny policy, samples and gradients for the tests of routed passes, in float64."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grpo.loss import policy_loss
from routing.adapters import adapter_parameters, add_adapters
from routing.modes import BAD, FORGET, GOOD, LORA, RETAIN
from routing.router import MicroBatch, route, routed_backward
from routing.spec import AdapterSpec

N, T, VOCAB, WIDTH = 6, 7, 11, 8
MAX_LENGTH = 9
MIXED = torch.tensor([False, True, False, True, True, False])
LAST_HALF = torch.tensor([False, False, False, True, True, True])
ALL_GOOD, ALL_BAD = torch.zeros(N, dtype=torch.bool), torch.ones(N, dtype=torch.bool)
ONE_BAD = torch.tensor([False, False, True, False, False, False])
MODES = ("classic", "exclusive", "none")  # `filter`, which drops a class, has tests of its own

# Who learns from whom, mode x class x adapter.
LEARNS = {
    ("classic", GOOD, RETAIN): True,
    ("classic", GOOD, FORGET): True,
    ("classic", BAD, RETAIN): False,
    ("classic", BAD, FORGET): True,
    ("exclusive", GOOD, RETAIN): True,
    ("exclusive", GOOD, FORGET): False,
    ("exclusive", BAD, RETAIN): False,
    ("exclusive", BAD, FORGET): True,
    ("none", GOOD, RETAIN): True,
    ("none", GOOD, FORGET): True,
    ("none", BAD, RETAIN): True,
    ("none", BAD, FORGET): True,
}


class TinyPolicy(nn.Module):
    """Next-token log-probabilities from the token before, through two adapted layers."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(nn.ModuleDict({"q_proj": nn.Linear(WIDTH, WIDTH)}) for _ in range(2))
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids[:, :-1])
        for layer in self.layers:
            x = x + torch.tanh(layer["q_proj"](x))
        return self.head(x).log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)


@dataclass(frozen=True)
class Samples:
    ids: Tensor
    mask: Tensor
    old_logprobs: Tensor
    ref_logprobs: Tensor
    advantages: Tensor


@dataclass(frozen=True)
class Loss:
    """The settings of `policy_loss` and the whole batch's denominator, None for each part's own."""

    loss_type: str = "grpo"
    beta: float = 0.1
    denominator: float | None = float(N)


Gradients = dict[str, list[Tensor | None]]


def tiny_policy(ranks: dict[str, int] | None = None) -> TinyPolicy:
    """With adapters as after some training: no B is zero any more."""
    torch.manual_seed(0)
    policy, generator = TinyPolicy().double(), torch.Generator().manual_seed(1)
    ranks = {RETAIN: 2, FORGET: 3} if ranks is None else ranks
    if ranks:
        kind = "lora" if set(ranks) == {LORA} else "dual_lora"
        add_adapters(policy, policy.layers, ["q_proj"], AdapterSpec(kind, ranks, alpha=4.0, stride=1), generator)
        with torch.no_grad():
            for group in adapter_parameters(policy).values():
                for parameter in group.values():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return policy


def samples(policy: TinyPolicy, seed: int = 2) -> Samples:
    """Ratios and KL away from 1 and 0, lengths from 0 to T: sample 2 has no token."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCAB, (N, T + 1), generator=generator)
    lengths = torch.tensor([7, 4, 0, 5, 1, 3])
    with torch.no_grad():
        now = policy(ids)
        noise = torch.randn(2, N, T, generator=generator, dtype=torch.float64)
    advantages = torch.randn(N, generator=generator, dtype=torch.float64)
    return Samples(ids, torch.arange(T) < lengths[:, None], now + 0.1 * noise[0], now + 0.5 * noise[1], advantages)


def part_backward(policy: TinyPolicy, batch: Samples, rows: Tensor, loss: Loss) -> float:
    part = policy_loss(
        policy(batch.ids[rows]),
        batch.old_logprobs[rows],
        batch.ref_logprobs[rows],
        batch.advantages[rows],
        batch.mask[rows],
        loss_type=loss.loss_type,
        beta=loss.beta,
        max_completion_length=MAX_LENGTH,
        denominator=loss.denominator,
    )
    part.loss.backward()
    return part.loss.item()


def one_pass(policy: TinyPolicy, batch: Samples, loss: Loss = Loss()) -> Callable[[MicroBatch], float]:
    return lambda micro_batch: part_backward(policy, batch, micro_batch.rows, loss)


def gradients(policy: TinyPolicy) -> Gradients:
    return {
        name: [None if parameter.grad is None else parameter.grad.clone() for parameter in group.values()]
        for name, group in adapter_parameters(policy).items()
    }


def alone(policy: TinyPolicy, batch: Samples, rows: Tensor, loss: Loss = Loss()) -> dict[str, list[Tensor]]:
    """Gradients of these rows without any router, as a share of the whole batch."""
    policy.zero_grad(set_to_none=True)
    part_backward(policy, batch, rows, loss)
    found = {name: [grad for grad in grads if grad is not None] for name, grads in gradients(policy).items()}
    policy.zero_grad(set_to_none=True)
    return found


def routed(policy: TinyPolicy, batch: Samples, labelled: Tensor, mode: str, loss: Loss = Loss()) -> Gradients:
    policy.zero_grad(set_to_none=True)
    routed_backward(policy, route(labelled, mode), one_pass(policy, batch, loss))
    return gradients(policy)


def rows_of(label: str) -> Tensor:
    return (MIXED if label == BAD else ~MIXED).nonzero().flatten()


def all_equal(some: list, others: list) -> bool:
    """Bit for bit; None equals None."""
    return all(
        one is other is None or (one is not None and other is not None and torch.equal(one, other))
        for one, other in zip(some, others, strict=True)
    )


def all_close(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.allclose(one, other, rtol=1e-12, atol=1e-13) for one, other in zip(some, others, strict=True))


def hooks(policy: TinyPolicy) -> list[str]:
    return [name for name, parameter in policy.named_parameters() if parameter._backward_hooks]
