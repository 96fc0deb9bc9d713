"""One row of metrics.jsonl: every number of a step, under the names that users of TRL know."""

from grpo.rollout import Rollout
from grpo.step import StepRecord
from records.figures import Number, correlation, mean, share, std, where


def step_metrics(record: StepRecord, group_size: int, tokens_before: int) -> dict[str, Number]:
    """`tokens_before` counts prompt and completion tokens of the steps so far, for `num_tokens`."""
    tokens = int(record.rollout.prompt_lengths.sum()) + int(record.rollout.mask.sum())
    return (
        {"step": record.step, "num_tokens": tokens_before + tokens}
        | record.update
        | reward_metrics(record, group_size)
        | length_metrics(record.rollout)
        | routing_metrics(record)
    )


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
        true_positives = sum(h and d for h, d in zip(hacked, detected, strict=True))
        metrics["detector/precision"] = true_positives / sum(detected) if any(detected) else None
        metrics["detector/recall"] = true_positives / sum(hacked) if any(hacked) else None
    return metrics
