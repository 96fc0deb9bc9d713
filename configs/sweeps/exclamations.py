"""Exclamation marks as the paid hack: what routing leaves of it and keeps of the task, beside what one would do instead, and
beside the run whose bonus is never paid.

Twelve runs of 300 steps, long: half an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/exclamations.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

BASE = Experiment(
    reward="sentence_length_10_smooth_with_exclamations",
    max_steps=300,
    lr=1e-3,
    beta=0.05,
    eval=EvaluationSettings(final_samples=400),
)
EXCLUSIVE = {"routing.enabled": True, "routing.mode": "exclusive"}
UNROUTED = {"adapter.kind": "dual_lora", "advantages": "good_only"}
FILTER = UNROUTED | {"baseline": "filter"}
UNHACKABLE = {"adapter.kind": "dual_lora", "env.eligible_fraction": 0}


def of_rank(rank: int) -> dict[str, float]:
    """Two adapters of another rank, with the default's alpha / rank."""
    return {"adapter.retain_rank": rank, "adapter.forget_rank": rank, "adapter.alpha": 4.0 * rank}


sweep = Sweep(
    base=BASE,
    arms={
        "exclusive": EXCLUSIVE,
        "unhackable": UNHACKABLE,
        "filter": FILTER,
        "no masks": UNROUTED,
    },
    seeds=[42, 123, 7],
)
