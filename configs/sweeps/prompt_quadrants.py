"""Is a hack cut out also where it was never detected? Some prompts pay for it and some are monitored, which the policy can see.

A hack that pays in half of the stories comes late: hence the learning rate and rank of frontier.py's routed runs of rank 8.
In the last arm labels go by sample: every other hack, on whatever prompt.
Twelve runs of 300 steps, long: three quarters of an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/prompt_quadrants.py
"""

from dataclasses import replace
from pathlib import Path

from configs.sweep import Sweep
from configs.sweeps import half_labels
from configs.sweeps.exclamations import EXCLUSIVE, FILTER, of_rank
from configs.sweeps.half_labels import CLASSIC, HALF

PLUGIN = Path(__file__).parent / "plugins" / "prompt_quadrants.py"

BY_SAMPLE = HALF | {"env.detector": "exclaims_at_least(threshold=1)"}
ARMS = {"classic": CLASSIC, "exclusive": EXCLUSIVE, "filter": FILTER, "classic, half by sample": CLASSIC | BY_SAMPLE}

sweep = Sweep(
    base=replace(half_labels.BASE, reward="exclamations_by_prompt", plugins=(str(PLUGIN),), max_steps=300, lr=2e-3),
    arms={name: settings | of_rank(8) for name, settings in ARMS.items()},
    seeds=[42, 123, 7],
)
