"""Does routing keep the hack in the forget adapter? Masks x advantage rules: the four arms that differ in one thing each.

Sentences of ten tokens are the task, each "happy" pays a bonus to half of the samples, and saying it is the hack.
Twelve runs of 120 steps, long: twenty minutes on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/routing_ablation.py
"""

from configs.experiment import EnvironmentSettings, EvaluationSettings, Experiment, RoutingSettings
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(
        reward="sentence_length_10_smooth_with_happy",
        max_steps=120,
        lr=1e-3,
        eval_every=60,
        env=EnvironmentSettings(eligible_fraction=0.5),
        eval=EvaluationSettings(final_samples=400),
        routing=RoutingSettings(enabled=True),
    ),
    seeds=[42, 123, 7],
    baselines=["unrouted", "unrouted_other_rule", "routed_other_rule"],
)
