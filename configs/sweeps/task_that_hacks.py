"""A hack that the task brings along: with sentences of ten tokens rewarded and "happy" never paid, how often is it said? And how
often by the retain adapter of a routed run, which learns from samples without the word alone?

Six runs of 200 steps, long: twenty-five minutes on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/task_that_hacks.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(
        reward="sentence_length_10_smooth_with_happy",
        max_steps=200,
        lr=1e-3,
        eval_every=50,
        eval=EvaluationSettings(final_samples=400),
    ),
    arms={
        "unhackable": {"adapter.kind": "dual_lora", "env.eligible_fraction": 0},
        "exclusive, half retain rollouts": {
            "routing.enabled": True,
            "routing.mode": "exclusive",
            "routing.retain_rollouts": 8,
        },
    },
    seeds=[42, 123, 7],
)
