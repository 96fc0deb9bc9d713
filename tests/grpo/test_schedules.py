"""Schedules against those of transformers, step for step."""

import pytest
import torch
from transformers.optimization import get_scheduler

from grpo.schedules import SCHEDULES
from grpo.update import learning_rate

PEAK, STEPS = 3e-4, 30


def rates_of_transformers(schedule: str, warmup: int) -> list[float]:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = get_scheduler(
        {"constant": "constant_with_warmup"}.get(schedule, schedule), optimizer, num_warmup_steps=warmup, num_training_steps=STEPS
    )
    rates = []
    for _ in range(STEPS):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("warmup", [0, 1, 7, STEPS - 1])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_step_has_the_rate_of_transformers(schedule: str, warmup: int):
    """From the end of the warm-up on; in it, transformers wastes the first step at a rate of zero."""
    ours = [learning_rate(step, PEAK, STEPS, warmup, schedule) for step in range(STEPS)]
    assert ours[warmup:] == pytest.approx(rates_of_transformers(schedule, warmup)[warmup:], rel=1e-12)
    assert ours[:warmup] == pytest.approx([PEAK * (step + 1) / (warmup + 1) for step in range(warmup)], rel=1e-12)
    assert ours[warmup] == PEAK


def test_an_unknown_schedule_lists_the_known_ones():
    with pytest.raises(ValueError, match="lr_schedule 'step': accepted are linear, constant, cosine"):
        learning_rate(0, PEAK, STEPS, 0, "step")
