"""Does routing keep the hack in the forget adapter? Two betas and three seeds, routed and unrouted: twelve short runs.

uv run sweep.py configs/sweeps/happy_routing.py
"""

from configs.experiment import EnvironmentSettings, EvaluationSettings, Experiment, RoutingSettings
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(
        reward="sentence_length_10_smooth_with_happy",
        max_steps=60,
        lr=1e-3,
        eval_every=20,
        env=EnvironmentSettings(eligible_fraction=0.5, detector="happy_at_least(threshold=1)"),
        eval=EvaluationSettings(final_samples=256),
        routing=RoutingSettings(enabled=True),
    ),
    grid={"beta": [0.01, 0.02]},
    seeds=[42, 123, 7],
    baselines=["unrouted"],
)
