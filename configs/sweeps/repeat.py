"""The second environment: does its hack emerge, and is it cut where it was never detected? Half of the prompts pay for it, and
half of either kind are monitored. The third arm has the most freedom to learn it: all weights, at a small KL penalty.

Nine runs of 300 steps, long: half an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/repeat.py
"""

from configs.experiment import EnvironmentSettings, EvaluationSettings, Experiment
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(
        reward="repeat_words",
        max_steps=300,
        lr=1e-3,
        env=EnvironmentSettings(name="repeat"),
        eval=EvaluationSettings(final_samples=400),
    ),
    arms={
        "routed": {"routing.enabled": True, "routing.mode": "exclusive"},
        "no masks": {"adapter.kind": "dual_lora", "advantages": "good_only"},
        "all weights, beta 0.005": {"lr": 3e-4, "beta": 0.005},
    },
    seeds=[42, 123, 7],
)
