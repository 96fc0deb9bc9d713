"""Which part of a reward is the task, by hand."""

import pytest

from records.figures import task_components, task_reward


def made_of(*roles: str) -> dict:
    """The roles of components part0, part1, ..."""
    return {"config_hash": "0123456789ab", "components": {f"part{i}": role for i, role in enumerate(roles)}}


@pytest.mark.parametrize(
    ("roles", "names"),
    [
        (("retain",), ["part0"]),
        (("forget", "retain"), ["part1"]),
        (("retain", "forget", "retain"), ["part0", "part2"]),
        (("forget",), []),
    ],
)
def test_the_task_is_what_is_to_be_retained(roles: tuple[str, ...], names: list[str]):
    assert task_components(made_of(*roles)) == names


@pytest.mark.parametrize(
    ("roles", "figures", "expected"),
    [
        (("retain",), {"rewards/part0": 0.4, "rewards/part0/interval": [0.3, 0.5]}, 0.4),
        (("retain", "forget"), {"rewards/part0": 0.25, "rewards/part1": 0.9}, 0.25),
        (("retain", "retain", "forget"), {"rewards/part0": 0.25, "rewards/part1": 0.75, "rewards/part2": 0.1}, 0.5),
        (("retain", "retain"), {"rewards/part0": 0.25, "rewards/part1": None}, None),
        (("retain",), {}, None),
        (("forget",), {"rewards/part0": 0.2}, None),
    ],
)
def test_its_reward_is_the_mean_of_its_components_and_not_the_whole_reward(
    roles: tuple[str, ...], figures: dict, expected: float | None
):
    assert task_reward(made_of(*roles), figures | {"reward": 0.7}) == expected
