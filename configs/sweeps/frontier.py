"""Routing against all that one would do instead: hack left against the share of the ceiling's task gain, over five seeds.

Forty-five runs, all but five of 300 steps, long: two hours on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/frontier.py
"""

from dataclasses import replace

from configs.sweep import Sweep
from configs.sweeps.exclamations import BASE, EXCLUSIVE, FILTER, UNHACKABLE, UNROUTED, of_rank

SINGLE = {"adapter.kind": "lora", "adapter.rank": 8, "adapter.alpha": 32.0}  # the ranks of both, and their alpha / rank
ROUTED = EXCLUSIVE | {"routing.retain_rollouts": 12}
# Then retain, which is deployed alone, is as large as the two adapters that the filter and the ceiling are deployed with.
RANKS_OF_EIGHT = of_rank(8)

sweep = Sweep(
    base=replace(BASE, lr=2e-3, beta=0.03),
    arms={
        "exclusive, 12 of 16 retain rollouts": ROUTED,
        "exclusive, 12 of 16 retain rollouts, rank 8": ROUTED | RANKS_OF_EIGHT,
        "unhackable": UNHACKABLE,
        "filter": FILTER,
        "no masks": UNROUTED,
        "no masks, rank 8": UNROUTED | RANKS_OF_EIGHT,
        "single LoRA": SINGLE,
        "single LoRA, beta 0.3": SINGLE | {"beta": 0.3},
        "single LoRA, stopped early": SINGLE | {"max_steps": 40, "grpo.lr_schedule": "constant"},
    },
    seeds=[11, 12, 13, 14, 15],
)
