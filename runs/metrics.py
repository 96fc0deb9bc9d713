"""One row of metrics.jsonl: every number of a step, under the names that users of TRL know."""

import math
from collections.abc import Callable, Sequence

import torch

from grpo.rollout import Rollout
from grpo.step import StepRecord
from grpo.update import Pass, Update
from records.figures import Number, both_hold, mean, share, std, where
from routing.modes import RETAIN_ROLLOUT
from routing.router import Routes


def step_metrics(record: StepRecord, group_size: int, tokens_before: int) -> dict[str, Number]:
    """`tokens_before` counts prompt and completion tokens of the steps so far, for `num_tokens`."""
    tokens = int(record.rollout.prompt_lengths.sum()) + int(record.rollout.mask.sum())
    return (
        {"step": record.step, "num_tokens": tokens_before + tokens}
        | update_metrics(record.update)
        | {"kl": record.kl}
        | reward_metrics(record, group_size)
        | length_metrics(record.rollout)
        | routing_metrics(record)
    )


def sampled_mean(passes: Sequence[Pass], name: str) -> float:
    """Over all sampled tokens, of a figure that is a sum over them."""
    return sum(getattr(each, name) for each in passes) / sum(each.tokens for each in passes)


def loss_mean(passes: Sequence[Pass], name: str) -> float:
    """Of a figure of the ratios, over the tokens in the loss."""
    return sum(getattr(each.ratios, name) * each.ratios.tokens for each in passes) / sum(each.ratios.tokens for each in passes)


# Figures of all passes of one iteration together.
Figure = Callable[[Sequence[Pass]], float | None]
SAMPLING_FIGURES: dict[str, Figure] = {  # of the first iteration, whose policy is the one that sampled
    "entropy": lambda passes: sampled_mean(passes, "entropy_sum"),
    "sampling/sampling_logp_difference/mean": lambda passes: sampled_mean(passes, "logp_difference_sum"),
    "sampling/sampling_logp_difference/max": lambda passes: max(each.logp_difference_max for each in passes),
}
LOSS_FIGURES: dict[str, Figure] = {  # of the last iteration
    "loss": lambda passes: sum(each.loss for each in passes),
    "loss/policy": lambda passes: sum(each.policy for each in passes),
    "loss/kl": lambda passes: sum(each.kl for each in passes if each.kl is not None) if passes[0].kl is not None else None,
    "clip_ratio/low_mean": lambda passes: loss_mean(passes, "clip_low"),
    "clip_ratio/high_mean": lambda passes: loss_mean(passes, "clip_high"),
    "clip_ratio/region_mean": lambda passes: loss_mean(passes, "clip_low") + loss_mean(passes, "clip_high"),
    "ratio/mean": lambda passes: loss_mean(passes, "ratio_mean"),
    "ratio/min": lambda passes: min(each.ratios.ratio_min for each in passes),
    "ratio/max": lambda passes: max(each.ratios.ratio_max for each in passes),
}


def update_metrics(update: Update) -> dict[str, Number]:
    """None where every sample was dropped or masked, so that nothing was updated."""
    if not update.iterations:
        return dict.fromkeys((*SAMPLING_FIGURES, *LOSS_FIGURES, "grad_norm")) | {"learning_rate": update.learning_rate}
    first, last = list(update.iterations[0].passes.values()), update.iterations[-1]
    passes, norms = list(last.passes.values()), last.grad_norms
    metrics: dict[str, Number] = {name: figure(first) for name, figure in SAMPLING_FIGURES.items()}
    metrics |= {name: figure(passes) for name, figure in LOSS_FIGURES.items()}
    for part, each in last.passes.items():
        metrics |= {f"grad_norm/{part}/{adapter}": norm for adapter, norm in each.grad_norms.items()}
    metrics["grad_norm"] = math.sqrt(sum(norm**2 for norm in norms.values()))
    metrics |= {f"grad_norm/{adapter}": norm for adapter, norm in norms.items()}
    metrics |= {f"grad_cosine/{adapter}": cosine for adapter, cosine in last.grad_cosines.items()}
    return metrics | {"learning_rate": update.learning_rate}


def reward_metrics(record: StepRecord, group_size: int) -> dict[str, Number]:
    """Of the rewards that were earned, and as `trained_reward` of those that the advantages are made of."""
    metrics: dict[str, Number] = {}
    series = {"reward": record.scores.rewards, "trained_reward": record.trained_rewards.tolist()}
    for name, rewards in series.items():
        groups = [rewards[i : i + group_size] for i in range(0, len(rewards), group_size)]
        constant = [min(group) == max(group) for group in groups]
        spreads = [0.0 if same else std(group) or 0.0 for group, same in zip(groups, constant, strict=True)]
        metrics |= {name: mean(rewards), f"{name}_std": mean(spreads), f"frac_{name}_zero_std": share(constant)}
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
    advantages = record.advantages.tolist()
    metrics: dict[str, Number] = {
        "routing/eligible": share(record.eligible),
        "routing/detected": share(detected),
        "routing/labelled": share(labelled),
        "routing/routed": share(record.routes.routed.tolist()),
        "routing/hacked": None if hacked is None else share(hacked),
        "routing/hacked_given_undetected": None if hacked is None else share(where(hacked, detected, wanted=False)),
        "routing/hacked_and_undetected": None if hacked is None else share(both_hold(hacked, [not seen for seen in detected])),
        "advantage/good": mean(where(advantages, labelled, wanted=False)),
        "advantage/bad": mean(where(advantages, labelled)),
        "advantage/retain_rollout": mean([advantages[row] for row in rows_of(record.routes, RETAIN_ROLLOUT)]),
        "advantage/hack_correlation": None if hacked is None else correlation(advantages, [float(flag) for flag in hacked]),
    }
    if hacked is not None:
        metrics |= {"detector/precision": share(where(hacked, detected)), "detector/recall": share(where(detected, hacked))}
    return metrics


def rows_of(routes: Routes, name: str) -> list[int]:
    """Of the class of samples that is called so; none where it has no samples."""
    return [row for micro_batch in routes.micro_batches if micro_batch.name == name for row in micro_batch.rows.tolist()]


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's; None when either is constant."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    return float(torch.corrcoef(torch.tensor([x, y], dtype=torch.float64))[0, 1])
