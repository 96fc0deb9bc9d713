"""Routing against all that one would do instead: hack left against the share of the ceiling's task gain, over five seeds.

Thirty-five runs, all but five of 300 steps, long: an hour and a quarter on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/frontier.py
"""

from dataclasses import replace

from configs.sweep import Sweep
from configs.sweeps.exclamations import BASE, EXCLUSIVE, FILTER, UNHACKABLE, UNROUTED

SINGLE = {"adapter.kind": "lora", "adapter.rank": 8, "adapter.alpha": 32.0}  # the ranks of both, and their alpha / rank

sweep = Sweep(
    base=replace(BASE, lr=2e-3, beta=0.03),
    arms={
        "exclusive, 12 of 16 retain rollouts": EXCLUSIVE | {"routing.retain_rollouts": 12},
        "unhackable": UNHACKABLE,
        "filter": FILTER,
        "no masks": UNROUTED,
        "single LoRA": SINGLE,
        "single LoRA, beta 0.3": SINGLE | {"beta": 0.3},
        "single LoRA, stopped early": SINGLE | {"max_steps": 40, "grpo.lr_schedule": "constant"},
    },
    seeds=[11, 12, 13, 14, 15],
)
