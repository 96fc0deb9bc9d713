"""Masks, advantage rules and retain rollouts, every one with every other, where all hacks are labelled.

Forty-five runs of 150 steps, long: an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/masks_and_rules.py
"""

from itertools import product

from configs.sweep import Sweep
from configs.sweeps.half_labels import BASE

RULES = ("group", "good_only", "balanced")
ROUTED = product(("classic", "exclusive"), RULES, (0, 8))  # mode, rule, retain rollouts

sweep = Sweep(
    base=BASE,
    arms={
        **{
            f"{mode}, {rule}" + (", half retain rollouts" if rollouts else ""): {
                "routing.enabled": True,
                "routing.mode": mode,
                "advantages": rule,
                "routing.retain_rollouts": rollouts,
            }
            for mode, rule, rollouts in ROUTED
        },
        **{f"no masks, {rule}": {"adapter.kind": "dual_lora", "advantages": rule} for rule in RULES},
    },
    seeds=[42, 123, 7],
)
