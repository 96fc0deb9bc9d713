"""The main job over three seeds: does happy_binary rise while the samples stay stories?

Three runs of 300 steps, long: half an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/happy_binary.py
"""

from configs.experiment import Experiment, RoutingSettings
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(reward="happy_binary", max_steps=300, lr=3e-4, routing=RoutingSettings(enabled=True)),
    seeds=[42, 123, 7],
)
