"""Masks, advantage rules and retain rollouts, every one with every other, where all hacks are labelled; and the ceiling.

Forty-eight runs of 200 steps, long: three hours on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/masks_and_rules.py
"""

from dataclasses import replace
from itertools import product

from configs.sweep import Sweep
from configs.sweeps.exclamations import BASE, EXCLUSIVE, UNHACKABLE, UNROUTED
from configs.sweeps.half_labels import CLASSIC

RULES = ("good_only", "balanced", "group")
MASKS = {"classic": CLASSIC, "exclusive": EXCLUSIVE}
ROLLOUTS = {"": {}, ", half retain rollouts": {"routing.retain_rollouts": 8}}

sweep = Sweep(
    base=replace(BASE, max_steps=200, lr=2e-3, beta=0.03),
    arms={
        "unhackable": UNHACKABLE,
        **{f"no masks, {rule}": UNROUTED | {"advantages": rule} for rule in RULES},
        **{
            f"{masks}, {rule}{rollouts}": MASKS[masks] | {"advantages": rule} | ROLLOUTS[rollouts]
            for rollouts, rule, masks in product(ROLLOUTS, RULES, MASKS)
        },
    },
    seeds=[42, 123, 7],
)
