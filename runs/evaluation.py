"""Evaluation by ablation: the same prompts, keys and sampler for every setting of the adapters' scales.

What can not be computed is None, never 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from configs.experiment import SamplingSettings
from configs.resolved import ResolvedExperiment
from envs.scoring import combined_rewards
from envs.types import Audit, BoundReward, Completion, Prompt, Scores
from grpo.labels import eligible_samples
from grpo.logprobs import completion_logprobs
from grpo.randomness import SampleKeys
from grpo.rollout import Rollout, concatenate
from grpo.run import Learner, Run, has_base, reference_model
from grpo.sampler import sample
from grpo.scoring import completions_of, score_completions
from models.decoder import LanguageModel
from records.estimates import Interval, bootstrapped, percentiles
from records.figures import Number, both_hold, mean, share, where
from records.names import BASE
from routing.adapters import scaled
from routing.modes import MODES
from runs.diversity import diversity, template_collapse
from runs.progress import Watch, unwatched
from runs.samples import sample_rows

ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class ModeEvaluation:
    """One mode's completions and figures; `intervals` are 95 % bootstrap intervals of means."""

    mode: str
    completions: list[Completion]
    scores: Scores  # rewards as training pays them: forget components to eligible samples
    eligible: list[bool]
    full_rewards: list[float]  # as if every sample were eligible
    audit: Audit
    metrics: dict[str, Number]
    intervals: dict[str, Interval]


def evaluation_samples(run: Run, count: int) -> tuple[list[Prompt], list[int]]:
    """`count` prompts of the evaluation set, in its order and again from the start, with their generation numbers."""
    prompts = run.environment.eval_prompts
    return [prompts[i % len(prompts)] for i in range(count)], [i // len(prompts) for i in range(count)]


def training_samples(run: Run) -> int:
    """Completions of an evaluation during training."""
    return min(run.config.eval.num_prompts, len(run.environment.eval_prompts))


def evaluate_modes(
    run: Run,
    modes: Sequence[str],
    count: int,
    base: ModeEvaluation | None = None,
    sampled: Mapping[str, Rollout] | None = None,
    watch: Watch = unwatched,
) -> dict[str, ModeEvaluation]:
    """Evaluates by mode name (`MODES`); modes that the run's kind of adapter lacks raise KeyError.

    `sampled` holds the rollouts, by mode, that are at hand. `base` is an earlier evaluation of the base model on as many
    samples, where the base is not among `modes`: `template_collapse` compares with it and is None without.
    """
    prompts, generations = evaluation_samples(run, count)
    uniforms = evaluation_uniforms(run.config, prompts, generations)
    evaluations: dict[str, ModeEvaluation] = {}
    for mode in modes:
        rollout = sampled[mode] if sampled and mode in sampled else sample_mode(run, mode, prompts, uniforms, watch)
        evaluations[mode] = evaluate_rollout(run, mode, prompts, generations, rollout)
    base = evaluations.get(BASE, base)
    assert base is None or len(base.completions) == count, f"a base of {len(base.completions)} samples, not {count}"
    for figures in (evaluation.metrics for evaluation in evaluations.values()):
        figures["template_collapse"] = None if base is None else template_collapse(figures, base.metrics)
    return evaluations


def modes_of(run: Learner) -> tuple[str, ...]:
    """The modes that can be evaluated: the base only where its weights are at hand."""
    return tuple(mode for mode in MODES[run.config.adapter_kind] if mode != BASE or has_base(run))


def evaluate_rollout(run: Run, mode: str, prompts: list[Prompt], generations: list[int], rollout: Rollout) -> ModeEvaluation:
    """Of completions that the mode has sampled, one a prompt; the base's log-probabilities are the only ones computed here."""
    keys = evaluation_keys(run.config, prompts, generations)
    completions = completions_of(run, prompts, rollout)
    eligible = eligible_samples(run.config.env.eligible_fraction, keys)
    scores, audit = score_completions(run, completions, eligible)
    full_rewards = combined_rewards(run.reward, scores.components, [True] * len(completions), [0.0] * len(completions))
    metrics = mode_metrics(completions, scores, audit) | diversity([completion.text for completion in completions])
    metrics["reward_full"] = mean(full_rewards)
    metrics |= base_metrics(run, mode, rollout)
    intervals = bootstrap_intervals(scores, audit)
    return ModeEvaluation(mode, completions, scores, eligible, full_rewards, audit, metrics, intervals)


def base_metrics(run: Run, mode: str, rollout: Rollout) -> dict[str, Number]:
    """How likely the base finds the completions, and an estimate of the KL to it; both in nats a token."""
    if not has_base(run):
        return {"nll_base": None, "kl_to_base": None}
    is_whole = samples_whole_distribution(run.config.sampling)
    logprobs = rollout.logprobs[rollout.mask].tolist()
    # The base's own samples of its whole distribution came with their log-probabilities.
    base_logprobs = logprobs if mode == BASE and is_whole else base_logprobs_of(run, rollout)
    kl = (sum(logprobs) - sum(base_logprobs)) / len(logprobs) if is_whole else None
    return {"nll_base": mean([-value for value in base_logprobs]), "kl_to_base": kl}


def evaluation_keys(config: ResolvedExperiment, prompts: list[Prompt], generations: list[int]) -> SampleKeys:
    """The same for runs of all seeds, unless `eval.seed` says otherwise."""
    return SampleKeys(evaluation_seed(config), 0, [prompt.index for prompt in prompts], generations)


def evaluation_seed(config: ResolvedExperiment) -> int:
    return config.seed if config.eval.seed == "run" else config.eval.seed


def evaluation_uniforms(config: ResolvedExperiment, prompts: list[Prompt], generations: list[int]) -> Float[Tensor, "n t"]:
    """One a token, the same in every mode."""
    keys = evaluation_keys(config, prompts, generations)
    return keys.uniforms("evaluation sample", config.sampling.max_completion_length)


@torch.no_grad()
def sample_mode(
    run: Learner, mode: str, prompts: list[Prompt], uniforms: Float[Tensor, "n t"], watch: Watch = unwatched
) -> Rollout:
    """One completion of each prompt."""
    ids, settings, parts = [prompt.token_ids for prompt in prompts], run.config.sampling, list[Rollout]()
    watch(mode, 0)
    with model_of_mode(run, mode) as model:
        for part in rows_at_once(len(ids)):
            parts.append(sample(model, ids[part], 1, uniforms[part], settings))
            watch(mode, len(parts[-1]))
    return concatenate(parts, run.policy.config.eos_token_ids[0])


def rows_at_once(count: int) -> list[slice]:
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE)]


@contextmanager
def model_of_mode(run: Learner, mode: str) -> Iterator[LanguageModel]:
    """The model before training, or the policy with the mode's scales where it has adapters."""
    if mode == BASE:
        with reference_model(run) as model:
            yield model
    else:
        with scaled(run.policy, MODES[run.config.adapter_kind][mode] or None):
            yield run.policy


def samples_whole_distribution(settings: SamplingSettings) -> bool:
    """Whether samples are the model's own at that temperature, so that their log-probabilities estimate a KL."""
    return settings.temperature > 0 and settings.top_k == 0 and settings.top_p == 1


@torch.no_grad()
def base_logprobs_of(run: Run, rollout: Rollout) -> list[float]:
    """Of the whole distribution at the sampling temperature; at 1 for greedy completions. One a token."""
    temperature = run.config.sampling.temperature or 1.0
    with reference_model(run) as base:
        logprobs = completion_logprobs(base, rollout, temperature)
    return logprobs[rollout.mask].tolist()


def mode_metrics(completions: list[Completion], scores: Scores, audit: Audit) -> dict[str, Number]:
    detected, hacked = scores.detected, audit.hacked
    metrics: dict[str, Number] = {"samples": len(completions), "reward": mean(scores.rewards)}
    metrics |= {f"rewards/{name}": mean(values) for name, values in scores.components.items()}
    metrics["detected"] = share(detected)
    metrics["hacked"] = None if hacked is None else share(hacked)
    metrics["hacked_given_undetected"] = None if hacked is None else share(where(hacked, detected, wanted=False))
    metrics["hacked_and_undetected"] = None if hacked is None else share(both_hold(hacked, [not seen for seen in detected]))
    metrics["detector_precision"] = None if hacked is None else share(where(hacked, detected))
    metrics["detector_recall"] = None if hacked is None else share(where(detected, hacked))
    metrics["finished"] = share([completion.finished for completion in completions])
    metrics["mean_length"] = mean([len(completion.token_ids) + completion.finished for completion in completions])
    return metrics


def bootstrap_intervals(scores: Scores, audit: Audit) -> dict[str, Interval]:
    """95 % intervals over samples of the means of reward, components, detected and hacked; of equal values, their value."""
    series = {"reward": scores.rewards, "detected": scores.detected}
    series |= {f"rewards/{name}": values for name, values in scores.components.items()}
    if audit.hacked is not None:
        series["hacked"] = audit.hacked
    means = bootstrapped({(name,): np.asarray(values, dtype=float) for name, values in series.items()})
    return {name: percentiles(means[name,]) for name in series}


def evaluation_row(evaluation: ModeEvaluation) -> dict[str, Any]:
    """Every figure of a mode, and `NAME/interval` beside it where there is one."""
    return evaluation.metrics | {f"{name}/interval": list(interval) for name, interval in evaluation.intervals.items()}


def further_row(run: Run, evaluation: ModeEvaluation, reward: BoundReward) -> dict[str, Any]:
    """Another reward of the same completions, with the hack rate by its own predicate, as `eval_rewards/NAME...`."""
    scores, audit = score_completions(replace(run, reward=reward), evaluation.completions)
    intervals = bootstrap_intervals(scores, audit)
    hacked = None if audit.hacked is None else share(audit.hacked)
    row = {"": mean(scores.rewards), "/interval": list(intervals["reward"]), "/hacked": hacked}
    if audit.hacked is not None:
        row["/hacked/interval"] = list(intervals["hacked"])
    return {f"eval_rewards/{reward.name}{name}": value for name, value in row.items()}


def mode_sample_rows(evaluation: ModeEvaluation) -> list[dict[str, Any]]:
    """One row a completion; row i of every mode has the same prompt and key."""
    columns = {
        "mode": [evaluation.mode] * len(evaluation.completions),
        "reward_full": evaluation.full_rewards,
        "eligible": evaluation.eligible,
    }
    return sample_rows(evaluation.completions, evaluation.scores, evaluation.audit, **columns)
