"""Masks, advantage rules and retain rollouts, every one with every other, where all hacks are labelled.

Forty-five runs of 150 steps, long: an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/masks_and_rules.py
"""

from itertools import product

from configs.sweep import Sweep
from configs.sweeps.exclamations import EXCLUSIVE, UNROUTED
from configs.sweeps.half_labels import BASE, CLASSIC

RULES = ("group", "good_only", "balanced")
MASKS = {"classic": CLASSIC, "exclusive": EXCLUSIVE}
ROLLOUTS = {"": {}, ", half retain rollouts": {"routing.retain_rollouts": 8}}

sweep = Sweep(
    base=BASE,
    arms={
        **{
            f"{masks}, {rule}{rollouts}": MASKS[masks] | {"advantages": rule} | ROLLOUTS[rollouts]
            for masks, rule, rollouts in product(MASKS, RULES, ROLLOUTS)
        },
        **{f"no masks, {rule}": UNROUTED | {"advantages": rule} for rule in RULES},
    },
    seeds=[42, 123, 7],
)
