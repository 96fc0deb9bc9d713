"""Is a hack cut out also where it was never detected? Some prompts pay for it and some are monitored, which the policy can see.

Nine runs of 200 steps, long: twenty minutes on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/prompt_quadrants.py
"""

from dataclasses import replace
from pathlib import Path

from configs.sweep import Sweep
from configs.sweeps import half_labels
from configs.sweeps.exclamations import EXCLUSIVE, FILTER
from configs.sweeps.half_labels import CLASSIC

PLUGIN = Path(__file__).parent / "plugins" / "prompt_quadrants.py"

sweep = Sweep(
    base=replace(half_labels.BASE, reward="exclamations_by_prompt", plugins=(str(PLUGIN),), max_steps=200),
    arms={"classic": CLASSIC, "exclusive": EXCLUSIVE, "filter": FILTER},
    seeds=[42, 123, 7],
)
