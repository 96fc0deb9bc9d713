"""What a reward's task is, apart from its hack: the components that run.json says are to be retained."""

from collections.abc import Mapping
from typing import Any


def task_components(made_of: Mapping[str, Any]) -> list[str]:
    """Names of the reward's components with the role retain, from what run.json holds."""
    return [name for name, role in made_of["components"].items() if role == "retain"]


def task_reward(made_of: Mapping[str, Any], figures: Mapping[str, Any]) -> float | None:
    """Mean of the task's components (unscaled, so in [0, 1]) of one mode's figures; None where one was not computed."""
    values = [figures.get(f"rewards/{name}") for name in task_components(made_of)]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
