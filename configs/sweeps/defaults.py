"""Which learning rate and which masks suit a first routed run? Two rates in classic mode, and exclusive mode at the higher one,
for a reward with a paid hack and one whose hack is stuffing; all else is as by default.

Eighteen runs of 300 steps, long: three quarters of an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/defaults.py
"""

from configs.experiment import EvaluationSettings, Experiment, RoutingSettings
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(max_steps=300, eval=EvaluationSettings(final_samples=400), routing=RoutingSettings(enabled=True)),
    grid={
        "reward": ["sentence_length_10_smooth_with_exclamations", "sentiment"],
        "routing.mode": ["classic", "exclusive"],
        "lr": [3e-4, 1e-3],
    },
    seeds=[42, 123, 7],
    keep=lambda experiment: (experiment.routing.mode, experiment.lr) != ("exclusive", 3e-4),
)
