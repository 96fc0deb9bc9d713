"""Advantages in lists of numbers."""

import statistics
from collections.abc import Sequence
from typing import Any

from configs.resolved import ResolvedExperiment

EPSILON = 1e-4


def advantages_of(samples: Sequence[Any], config: ResolvedExperiment, rule: str) -> list[float]:
    """One a sample, in order. Retain rollouts and the other samples are two batches that do not know of one another."""
    advantages = [0.0] * len(samples)
    for side in (False, True):
        rows = [i for i, sample in enumerate(samples) if sample.retain_rollout is side]
        for start in range(0, len(samples), config.num_generations):
            group = [i for i in rows if start <= i < start + config.num_generations]
            rewards, good = [samples[i].reward for i in group], [not samples[i].labelled for i in group]
            everyone = [samples[i].reward for i in rows]
            of_group = group_advantages(rewards, good, everyone, rule, config.grpo.scale_rewards)
            for i, advantage in zip(group, of_group, strict=True):
                advantages[i] = advantage
    return advantages


def group_advantages(rewards: list[float], good: list[bool], everyone: list[float], rule: str, scale: str) -> list[float]:
    """Of one group; `everyone` holds the batch's rewards. A group that earns the same has nothing to learn from."""
    if not rewards or max(rewards) == min(rewards):
        return [0.0] * len(rewards)
    good_rewards = [reward for reward, is_good in zip(rewards, good, strict=True) if is_good]
    advantages = []
    for reward, is_good in zip(rewards, good, strict=True):
        baseline = good_rewards or rewards  # what the reward is compared with
        spread = rewards  # whose standard deviation divides
        if rule == "group" or (rule == "good_only" and not is_good):
            baseline = rewards
        elif rule == "good_only":
            spread = good_rewards
        advantages.append((reward - mean(baseline)) / divisor(spread, everyone, scale))
    return advantages


def divisor(spread: list[float], everyone: list[float], scale: str) -> float:
    if scale == "none":
        return 1.0
    numbers = everyone if scale == "batch" else spread
    return (statistics.stdev(numbers) if len(numbers) > 1 else 0.0) + EPSILON  # stdev is Bessel-corrected


def mean(numbers: list[float]) -> float:
    """Exact where all are equal: `statistics` adds up fractions."""
    return statistics.mean(numbers)
