"""Does cutting the forget adapter take the hack away and leave the task?

Fourteen runs of 250 steps, long: an hour or two on two cores (`--dry_run` estimates it).

Sentences of ten tokens are the task, each "happy" pays a bonus to half of the samples, and saying it is the hack. Three
seeds at the default learning rate and at a high one, routed and unrouted (the same two adapters, no masks); and at the high
one, where `classic` routing leaves much of the task in forget, two seeds of `exclusive`: good samples train retain alone.

uv run sweep.py configs/sweeps/routing_ablation.py
"""

from configs.experiment import EnvironmentSettings, Experiment, RoutingSettings
from configs.sweep import Sweep

HIGH_LR = 1e-3


def stands_in_the_table(experiment: Experiment) -> bool:
    return experiment.routing.mode == "classic" or (experiment.lr == HIGH_LR and experiment.seed in (42, 123))


sweep = Sweep(
    base=Experiment(
        reward="sentence_length_10_smooth_with_happy",
        max_steps=250,
        env=EnvironmentSettings(eligible_fraction=0.5, detector="happy_at_least(threshold=1)"),
        routing=RoutingSettings(enabled=True),
    ),
    grid={"lr": [3e-4, HIGH_LR], "routing.mode": ["classic", "exclusive"]},
    seeds=[42, 123, 7],
    baselines=["unrouted"],
    keep=stands_in_the_table,
)
