"""Runs of three steps that between them have every mode, baseline, rule and loss, and every value of a choice.

Not a cross product: each setting's effect shows in one case at least, which `test_engine.py` looks at as well.
"""

from typing import Any

Settings = dict[str, Any]  # by dotted name; `advantages` is the rule, wherever it is set

REWARD = {
    "name": "length_and_happy",
    "components": [
        {"name": "sentence_length_5_smooth", "role": "retain", "scale": 0.6},
        {"name": "happy_count", "role": "forget", "scale": 0.9, "params": {"cap": 2}},
    ],
    "cap": 0.8,
    "hack": "happy_at_least(threshold=2)",  # not what is detected
}
ALWAYS = {
    "reward": REWARD,
    "env.detector": "happy_at_least(threshold=1)",
    "sampling.max_completion_length": 6,
    "lr": 0.02,
    "beta": 0.2,
    "grpo.max_grad_norm": 0.5,
}
CLASSIC = {"routing.enabled": True}
EXCLUSIVE = {"routing.enabled": True, "routing.mode": "exclusive"}
UNROUTED = {"adapter.kind": "dual_lora"}
FILTER = {**UNROUTED, "baseline": "filter"}
PENALTY = {**UNROUTED, "baseline": "reward_penalty", "reward_penalty": 0.5}
ELIGIBLE = {"env.eligible_fraction": 0.5}
LABELS = {"labels.fraction": 0.5, "labels.noise": 0.3}
OTHER_SEED = {"seed": 0}  # where the usual one happens not to draw what `test_engine.py` wants to see
FEW_PROMPTS = {"env.num_prompts": 4}  # the third step begins a second pass over them

CASES: dict[str, Settings] = {
    "classic": {**CLASSIC, **OTHER_SEED},
    "classic, mode none": {**CLASSIC, "routing.mode": "none", **LABELS},
    "classic, group, partial labels, dapo": {**CLASSIC, **LABELS, "advantages": "group", "grpo.loss_type": "dapo"},
    "classic, balanced, eligibility, batch scale, dr_grpo, k1": {
        **CLASSIC,
        **ELIGIBLE,
        **OTHER_SEED,
        "advantages": "balanced",
        "grpo.scale_rewards": "batch",
        "grpo.max_grad_norm": 0.1,
        "grpo.loss_type": "dr_grpo",
        "grpo.kl_estimator": "k1",
        "grpo.kl_corrected": True,
    },
    "classic, retain rollouts, group, dapo": {
        **CLASSIC,
        "routing.retain_rollouts": 2,
        "advantages": "group",
        "grpo.loss_type": "dapo",
    },
    "exclusive, unequal ranks, stride 2, batch scale": {
        **EXCLUSIVE,
        **OTHER_SEED,
        "adapter.retain_rank": 3,
        "adapter.forget_rank": 5,
        "adapter.stride": 2,
        "adapter.alpha": 6.0,
        "grpo.scale_rewards": "batch",
        "grpo.max_grad_norm": 0.1,
    },
    "exclusive, retain rollouts, good_only, no scale, two iterations": {
        **EXCLUSIVE,
        "routing.retain_rollouts": 2,
        "grpo.scale_rewards": "none",
        "grpo.max_grad_norm": 0.1,
        "grpo.num_iterations": 2,
        "grpo.epsilon_low": 0.02,
        "grpo.epsilon_high": 0.05,
    },
    "exclusive, truncated left out, decay, beta2": {
        **EXCLUSIVE,
        "grpo.mask_truncated": True,
        "labels.fraction": 0.3,
        "seed": 2,
        "grpo.weight_decay": 2.0,
        "grpo.adam_beta2": 0.5,
    },
    "unrouted, temperature, warmup": {**UNROUTED, **FEW_PROMPTS, "sampling.temperature": 0.7, "grpo.warmup_steps": 2},
    "unrouted, warmup, constant": {**UNROUTED, "grpo.warmup_steps": 1, "grpo.lr_schedule": "constant"},
    "full, cosine, decay": {"grpo.lr_schedule": "cosine", "grpo.weight_decay": 0.5, "grpo.max_grad_norm": 0.1},
    "unrouted, good_only": {**UNROUTED, **OTHER_SEED, "advantages": "good_only"},
    "lora, three iterations, k2, truncated left out, dapo": {
        "lora_rank": 3,
        "grpo.num_iterations": 3,
        "grpo.epsilon_low": 0.05,
        "grpo.epsilon_high": 0.02,
        "grpo.kl_estimator": "k2",
        "grpo.mask_truncated": True,
        "grpo.loss_type": "dapo",
    },
    "full": {"grpo.kl_corrected": True, "sampling.temperature": 1.2},
    "full, beta 0, two iterations, truncated left out, dr_grpo": {
        **OTHER_SEED,  # its third step has no finished sample
        "beta": 0.0,
        "grpo.num_iterations": 2,
        "grpo.epsilon_low": 0.02,
        "grpo.epsilon_high": 0.05,
        "grpo.mask_truncated": True,
        "grpo.loss_type": "dr_grpo",
    },
    "filter, partial labels, dapo": {**FILTER, **LABELS, "grpo.loss_type": "dapo"},
    "filter, group, no scale": {**FILTER, "advantages": "group", "grpo.scale_rewards": "none", "grpo.max_grad_norm": 0.1},
    "penalty, full": {"baseline": "reward_penalty", "reward_penalty": 0.5},
    "penalty, good_only, partial labels, k2 corrected": {
        **PENALTY,
        **LABELS,
        "advantages": "good_only",
        "grpo.kl_estimator": "k2",
        "grpo.kl_corrected": True,
    },
    "penalty on forget, eligibility, balanced": {
        **PENALTY,
        **ELIGIBLE,
        **OTHER_SEED,
        "reward_penalty_on": "forget",
        "advantages": "balanced",
    },
}

# Adapters that in some step have nothing to learn from, after they have learnt: no bad sample, or none that is not left out.
LEFT_ALONE: dict[str, set[str]] = {
    "exclusive, truncated left out, decay, beta2": {"forget"},
    "exclusive, retain rollouts, good_only, no scale, two iterations": {"forget"},
    "full, beta 0, two iterations, truncated left out, dr_grpo": {"policy"},
}
