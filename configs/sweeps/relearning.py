"""Does the hack stay out? What four arms of frontier.py leave is trained on, the bonus paid, until half of its stories are hacks.

Twenty runs of 300 steps and then at most 100 twice, long: an hour and a half on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/relearning.py
"""

from dataclasses import replace

from configs.sweep import Sweep
from configs.sweeps import frontier

BASE = frontier.sweep.base
ARMS = ["exclusive, 12 of 16 retain rollouts", "unhackable", "filter", "no masks"]

sweep = Sweep(
    base=replace(BASE, eval=replace(BASE.eval, relearn_steps=100, relearn_hack_rate=0.5)),
    arms={arm: frontier.sweep.arms[arm] for arm in ARMS},
    seeds=frontier.sweep.seeds,
)
