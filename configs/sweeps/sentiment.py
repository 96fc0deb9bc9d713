"""Stories that sound happy, and stuffing them with happy words as the way to cheat: does routing keep the stuffing out of retain?

Against the same adapters without masks, under the same advantage rule and under plain GRPO's, against dropping what is detected,
and against the run that is never paid for stuffing. Fifteen runs of 300 steps, long: an hour on two cores
(`--dry_run` estimates it).

uv run sweep.py configs/sweeps/sentiment.py
"""

from configs.experiment import EvaluationSettings, Experiment, RoutingSettings
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(
        reward="sentiment",
        max_steps=300,
        lr=1e-3,
        eval=EvaluationSettings(final_samples=400),
        routing=RoutingSettings(enabled=True),
    ),
    seeds=[42, 123, 7],
    baselines=["unrouted", "unrouted_other_rule", "filter", "unhackable"],
)
