"""One row of metrics.jsonl: every number of a step, under the names that users of TRL know."""

import math
from collections.abc import Callable, Sequence

import torch

from grpo.rollout import Rollout
from grpo.step import StepRecord
from grpo.update import Pass, Update
from records.figures import Number, mean, share, std, where


def step_metrics(record: StepRecord, group_size: int, tokens_before: int) -> dict[str, Number]:
    """`tokens_before` counts prompt and completion tokens of the steps so far, for `num_tokens`."""
    tokens = int(record.rollout.prompt_lengths.sum()) + int(record.rollout.mask.sum())
    return (
        {"step": record.step, "num_tokens": tokens_before + tokens}
        | update_metrics(record.update)
        | reward_metrics(record, group_size)
        | length_metrics(record.rollout)
        | routing_metrics(record)
    )


def sampled_mean(passes: Sequence[Pass], name: str) -> float:
    """Over all sampled tokens, of a figure that is a sum over them."""
    return sum(getattr(each, name) for each in passes) / sum(each.tokens for each in passes)


def loss_mean(passes: Sequence[Pass], name: str) -> float:
    """Of a figure of the ratios, over the tokens in the loss; 0 when there are none."""
    total = sum(getattr(each.ratios, name) * each.ratios.tokens for each in passes)
    return total / max(sum(each.ratios.tokens for each in passes), 1)


# Figures of all passes of one iteration together.
Figure = Callable[[Sequence[Pass]], float]
SAMPLING_FIGURES: dict[str, Figure] = {  # of the first iteration, whose policy is the one that sampled
    "entropy": lambda passes: sampled_mean(passes, "entropy_sum"),
    "sampling/sampling_logp_difference/mean": lambda passes: sampled_mean(passes, "logp_difference_sum"),
    "sampling/sampling_logp_difference/max": lambda passes: max(each.logp_difference_max for each in passes),
}
LOSS_FIGURES: dict[str, Figure] = {  # of the last iteration
    "loss": lambda passes: sum(each.loss for each in passes),
    "loss/policy": lambda passes: sum(each.policy for each in passes),
    "kl": lambda passes: sum(each.kl for each in passes),
    "clip_ratio/low_mean": lambda passes: loss_mean(passes, "clip_low"),
    "clip_ratio/high_mean": lambda passes: loss_mean(passes, "clip_high"),
    "clip_ratio/region_mean": lambda passes: loss_mean(passes, "clip_low") + loss_mean(passes, "clip_high"),
    "ratio/mean": lambda passes: loss_mean(passes, "ratio_mean"),
    "ratio/min": lambda passes: min((each.ratios.ratio_min for each in passes if each.ratios.tokens), default=0.0),
    "ratio/max": lambda passes: max((each.ratios.ratio_max for each in passes if each.ratios.tokens), default=0.0),
}


def update_metrics(update: Update) -> dict[str, Number]:
    """None where every sample was dropped, so that nothing was updated."""
    if not update.iterations:
        return dict.fromkeys((*SAMPLING_FIGURES, *LOSS_FIGURES, "grad_norm")) | {"learning_rate": update.learning_rate}
    first, last = list(update.iterations[0].passes.values()), update.iterations[-1]
    passes, norms = list(last.passes.values()), last.grad_norms
    metrics: dict[str, Number] = {name: figure(first) for name, figure in SAMPLING_FIGURES.items()}
    metrics |= {name: figure(passes) for name, figure in LOSS_FIGURES.items()}
    for part, each in last.passes.items():
        metrics |= {f"grad_norm/{part}/{adapter}": norm for adapter, norm in each.grad_norms.items()}
    metrics["grad_norm"] = math.sqrt(sum(norm**2 for norm in norms.values()))
    return metrics | {f"grad_norm/{adapter}": norm for adapter, norm in norms.items()} | {"learning_rate": update.learning_rate}


def reward_metrics(record: StepRecord, group_size: int) -> dict[str, Number]:
    rewards = record.scores.rewards
    metrics: dict[str, Number] = {
        "reward": mean(rewards),
        "reward_std": float(record.advantages.std.mean()),
        "frac_reward_zero_std": record.advantages.constant_share,
    }
    for name, values in record.scores.components.items():
        groups = [values[i : i + group_size] for i in range(0, len(values), group_size)]
        metrics[f"rewards/{name}/mean"] = mean(values)
        metrics[f"rewards/{name}/std"] = std(values)
        metrics[f"rewards/{name}/within_group_variance"] = mean([(std(group) or 0.0) ** 2 for group in groups])
    return metrics


def length_metrics(rollout: Rollout) -> dict[str, Number]:
    """Lengths count EOS."""
    lengths, finished = rollout.mask.sum(1).tolist(), rollout.finished.tolist()
    terminated = where(lengths, finished)
    return {
        "completions/mean_length": mean(lengths),
        "completions/min_length": min(lengths),
        "completions/max_length": max(lengths),
        "completions/clipped_ratio": share([not flag for flag in finished]),
        "completions/mean_terminated_length": mean(terminated),
        "completions/min_terminated_length": min(terminated, default=None),
        "completions/max_terminated_length": max(terminated, default=None),
    }


def routing_metrics(record: StepRecord) -> dict[str, Number]:
    detected, labelled, hacked = record.scores.detected, record.routes.labelled.tolist(), record.audit.hacked
    advantages = record.advantages.advantages.tolist()
    metrics: dict[str, Number] = {
        "routing/eligible": share(record.eligible),
        "routing/detected": share(detected),
        "routing/labelled": share(labelled),
        "routing/routed": share(record.routes.routed.tolist()),
        "routing/hacked": None if hacked is None else share(hacked),
        "routing/hacked_undetected": None if hacked is None else share(where(hacked, detected, wanted=False)),
        "advantage/good": mean(where(advantages, labelled, wanted=False)),
        "advantage/bad": mean(where(advantages, labelled)),
        "advantage/hack_correlation": None if hacked is None else correlation(advantages, [float(flag) for flag in hacked]),
    }
    if hacked is not None:
        metrics |= {"detector/precision": share(where(hacked, detected)), "detector/recall": share(where(detected, hacked))}
    return metrics


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's; None when either is constant."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    return float(torch.corrcoef(torch.tensor([x, y], dtype=torch.float64))[0, 1])
