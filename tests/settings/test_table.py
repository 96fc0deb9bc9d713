"""Every setting of an experiment that can change training or evaluation, with the check that it does what it says.

Most are set in a case of the plain engine of `tests/reference`, which has to take the same steps and to end elsewhere than
without the setting. What that engine takes over from the real one is checked by hand in `by_hand.py`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from configs.experiment import Experiment
from configs.resolve import flatten
from grpo.step import train_step
from tests.reference import engine
from tests.reference.cases import CLASSIC, FILTER, PENALTY, UNROUTED, Settings
from tests.reference.comparison import MakeExperiment, experiment_of, float64_run, step_of_both
from tests.settings import by_hand

Check = Callable[[MakeExperiment, str, Path], None]
LORA = {"lora_rank": 3}
TWICE = {**UNROUTED, "grpo.num_iterations": 3, "grpo.epsilon_low": 0.02, "grpo.epsilon_high": 0.02}


def trained(value: Any, among: Settings, steps: int = 1) -> Check:
    """Checks that a step is the plain engine's and is another one than without the setting."""

    def check(make: MakeExperiment, name: str, _: Path) -> None:
        run, other = (float64_run(experiment_of(make, case)) for case in (among | {name: value}, among))
        model = engine.model_of(run)
        for _ in range(steps):
            step_of_both(run, model)
            train_step(other)
        weights, others = dict(run.policy.named_parameters()), dict(other.policy.named_parameters())
        assert shapes(weights) != shapes(others) or any((weights[key] - others[key]).abs().max() > 1e-6 for key in weights)

    return check


def shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}


# Of one setting, or of several that one check sets.
SETTINGS: dict[str, Check] = {
    "reward": by_hand.reward,
    "plugins": by_hand.plugins,
    "model_dtype": by_hand.rounded_base,
    "require_eos": by_hand.without_eos,
    "dataset text_column eval_split": by_hand.dataset_and_column,
    "env.prompt_length env.num_prompts env.num_eval_prompts": by_hand.prompts,
    "logging_steps save_steps eval_every eval.num_prompts eval.final_samples": by_hand.what_a_run_writes,
    "stop_rule": by_hand.stop_rule,
    "model": by_hand.model,
    "threads": by_hand.threads,
    "env.bos": by_hand.bos,
    "seed": trained(7, UNROUTED),
    "max_steps": trained(5, UNROUTED, steps=2),
    "batch_size": trained(4, UNROUTED),
    "num_generations": trained(2, UNROUTED),
    "lr": trained(0.01, UNROUTED),
    "beta": trained(0.5, UNROUTED),
    "log_all_samples": by_hand.all_samples,
    "advantages": trained("balanced", UNROUTED),
    "baseline": trained("filter", UNROUTED),
    "reward_penalty": trained(0.2, PENALTY),
    "reward_penalty_on": trained("all", PENALTY),
    "continue_from": by_hand.continue_from,
    "lora_rank": trained(3, UNROUTED | {"adapter.kind": None}),
    "env.name": by_hand.environment,
    "env.detector": by_hand.detector,
    "env.eligible_fraction": trained(0.5, UNROUTED),
    "labels.fraction": trained(0.5, CLASSIC),
    "labels.noise": trained(0.3, CLASSIC),
    "routing.enabled": trained(True, UNROUTED | {"advantages": "group"}),
    "routing.mode": trained("exclusive", CLASSIC),
    "routing.retain_rollouts": trained(2, CLASSIC),
    "adapter.kind": trained("dual_lora", {}),
    "adapter.rank": trained(3, {"adapter.kind": "lora"}),
    "adapter.retain_rank": trained(3, CLASSIC),
    "adapter.forget_rank": trained(3, CLASSIC),
    "adapter.alpha": trained(6.0, CLASSIC),
    "adapter.stride": trained(2, CLASSIC),
    "adapter.preset": by_hand.preset,
    "sampling.temperature": trained(0.7, UNROUTED),
    "sampling.max_completion_length": trained(4, UNROUTED),
    "sampling.top_k": by_hand.truncated_sampling,
    "sampling.top_p": by_hand.truncated_sampling,
    "grpo.loss_type": trained("dapo", FILTER),
    "grpo.scale_rewards": trained("none", UNROUTED),
    "grpo.epsilon_low": trained(0.1, TWICE),
    "grpo.epsilon_high": trained(0.1, TWICE),
    "grpo.kl_estimator": trained("k2", UNROUTED),
    "grpo.kl_corrected": trained(True, UNROUTED),
    "grpo.num_iterations": trained(2, UNROUTED),
    "grpo.mask_truncated": trained(True, UNROUTED),
    "grpo.max_grad_norm": trained(0.02, UNROUTED, steps=2),
    "grpo.warmup_steps": trained(2, UNROUTED),
    "grpo.lr_schedule": trained("cosine", UNROUTED, steps=2),
    "grpo.weight_decay": trained(0.5, UNROUTED, steps=2),
    "grpo.adam_beta2": trained(0.5, UNROUTED, steps=2),
    "eval.seed": by_hand.evaluation_seed,
    "eval.relearn_steps eval.relearn_hack_rate": by_hand.relearning,
}
# Where a run is computed, kept and shown.
ELSEWHERE = {"device", "name", "tags", "notes", "output_dir", "overwrite", "wandb.mode", "wandb.project", "wandb.group"}


@pytest.mark.parametrize("names", SETTINGS)
def test_a_setting_has_the_effect_that_it_names(tiny: MakeExperiment, tmp_path: Path, names: str):
    defaults, given = flatten(Experiment()), set()

    def make(**settings: Any) -> Experiment:
        given.update(name for name, value in settings.items() if value != defaults[name])
        return tiny(**settings)

    SETTINGS[names](make, names, tmp_path)
    assert {*names.split()} <= given, "the check does not set it"


def test_every_setting_has_a_check():
    checked = {name for names in SETTINGS for name in names.split()}
    assert checked | ELSEWHERE == {*flatten(Experiment())}
    assert not checked & ELSEWHERE
