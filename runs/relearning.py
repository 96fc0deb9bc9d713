"""Does the hack stay out? A finished run's policy is trained on, the bonus paid, until it hacks again (docs/method.md).

Each start is a run of its own around a copy of the weights: nothing of the finished run changes, and nothing of its optimizer
or its adapters goes on.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from configs.baselines import lora
from configs.experiment import AdapterSettings, Experiment, LabelSettings
from configs.resolve import LR_ADAPTERS, resolve_adapter
from configs.resolved import ResolvedExperiment, Treatment, as_settings
from grpo.randomness import torch_generator
from grpo.run import Run, build_optimizer
from grpo.step import train_step
from models.decoder import LanguageModel
from models.weights import fingerprint
from records.figures import task_reward
from records.measures import Outcomes
from records.names import BASE, POLICY, RETAIN_ONLY
from records.relearning import EVERY, MOST_SAMPLES, NOT_TRIED, Figures, figures_of, half_way
from records.rows import Row
from routing.adapters import add_adapters
from routing.spec import AdapterSpec
from runs.evaluation import evaluate_modes, training_samples
from runs.export import merged
from runs.progress import Display


@dataclass(frozen=True)
class Relearning:
    rows: list[Row]  # of relearning.jsonl
    figures: dict[str, Figures]  # by start


def relearn(run: Run, steps: int, threshold: float | None, outcomes: Outcomes, display: Display) -> Relearning:
    """From every start at most so many steps, until it hacks at the threshold: by default half way between the base's and the
    policy's rates of `outcomes`, samples of the run's final evaluation."""
    threshold = half_way(outcomes) if threshold is None else threshold
    if threshold is None:
        return Relearning([], dict.fromkeys(starts_of(run.config), NOT_TRIED))
    rows, figures = list[Row](), dict[str, Figures]()
    for start in starts_of(run.config):
        with display.relearning(start, steps, threshold) as watch:
            course = [*course_from(fresh_run(run, start, steps), start, threshold, watch)]
        rows += course
        figures[start] = figures_of(course, threshold, steps)
    return Relearning(rows, figures)


def starts_of(config: ResolvedExperiment) -> tuple[str, str]:
    return BASE, RETAIN_ONLY if config.adapter_kind == "dual_lora" else POLICY


def course_from(run: Run, start: str, threshold: float, watch: Callable[[int, float], None]) -> Iterator[Row]:
    """Measured before the first step, every EVERY steps and after the last; the threshold ends it."""
    while True:
        row = measurement(run, start)
        yield row
        watch(run.step, row["hacked"])
        if row["hacked"] >= threshold or run.step == run.config.max_steps:
            return
        for _ in range(min(EVERY, run.config.max_steps - run.step)):
            train_step(run)
            watch(run.step, row["hacked"])


def measurement(run: Run, start: str) -> Row:
    """On the prompts and draws of every evaluation; the KL is to the start."""
    count = min(MOST_SAMPLES, run.config.eval.final_samples or training_samples(run))
    figures = evaluate_modes(run, [POLICY], count)[POLICY].metrics
    named: Mapping[str, Any] = {"components": {component.name: component.role for component in run.reward.components}}
    rates = {"hacked": figures["hacked"], "reward": figures["reward"], "task_reward": task_reward(named, figures)}
    return {"start": start, "step": run.step, **rates, "kl_to_start": figures["kl_to_base"], "samples": figures["samples"]}


# A run that begins anew


def fresh_run(run: Run, start: str, steps: int) -> Run:
    """At step 0, with a fresh adapter around the start's weights, which are its base and so its reference."""
    config, policy = relearning_config(run.config, steps), start_model(run, start)
    assert config.adapter is not None, "it is a single LoRA"
    digest = fingerprint(policy.state_dict())
    add_adapters(policy, policy.layers, policy.targets, config.adapter, torch_generator(config.seed, "adapters"))
    policy.to(run.device)
    optimizer = build_optimizer(policy, config.grpo)
    return replace(run, config=config, policy=policy, reference=None, optimizer=optimizer, fingerprint=digest, step=0, notes=())


def start_model(run: Run, start: str) -> LanguageModel:
    """A copy without adapters, on the CPU in float32."""
    if start == BASE and run.config.adapter is None:
        assert run.reference is not None, "full fine-tuning with beta 0 keeps no base, so it is refused before"
        return copy.deepcopy(run.reference).cpu()
    return merged(run, start)


def relearning_config(config: ResolvedExperiment, steps: int) -> ResolvedExperiment:
    """Plain GRPO on one adapter; reward, prompts, seed, batch, beta, sampling and peak learning rate are the run's."""
    eligible = config.env.eligible_fraction or 1.0  # where the bonus was never paid, it is now
    return replace(
        config,
        max_steps=steps,
        model_dtype="float32",  # merged weights are not rounded again
        treatment=Treatment("unrouted", mode="none"),
        advantages="group",
        labels=LabelSettings(),
        adapter=fresh_adapter(config),
        lr=LR_ADAPTERS if config.adapter is None else config.lr,
        grpo=replace(config.grpo, lr_schedule="constant", warmup_steps=0),
        env=replace(config.env, eligible_fraction=eligible),
    )


def fresh_adapter(config: ResolvedExperiment) -> AdapterSpec | None:
    """A single LoRA's own kind, of two adapters that of their control `lora`, of full fine-tuning that of two by default."""
    if config.adapter_kind == "lora":
        return config.adapter
    settings = AdapterSettings(kind="dual_lora") if config.adapter is None else as_settings(config).adapter
    return resolve_adapter(lora(Experiment(adapter=settings)).adapter)
