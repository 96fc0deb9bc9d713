from typing import Any

import pytest

from envs.binding import bind_reward
from envs.combination import Combination, Component, read_combination
from envs.scoring import audit, score

GOOD: dict[str, Any] = {"name": "happy_binary", "role": "retain"}
FULL: dict[str, Any] = {
    "name": "mine",
    "cap": 0.9,
    "hack": "happy_at_least(threshold=2)",
    "components": [
        {"name": "sentence_length_5", "role": "retain", "scale": 0.5},
        {"name": "happy_count", "role": "forget", "scale": 2, "params": {"cap": 10}},
    ],
}


def test_all_keys_are_read():
    parts = (
        Component("sentence_length_5", "retain", 0.5, {}),
        Component("happy_count", "forget", 2, {"cap": 10}),
    )
    assert read_combination(FULL) == Combination(parts, cap=0.9, hack="happy_at_least(threshold=2)", name="mine")


def test_what_may_be_left_out():
    combination = read_combination({"components": [GOOD, {"name": "happy_exp", "role": "forget"}]})
    parts = (Component("happy_binary", "retain", 1.0, {}), Component("happy_exp", "forget", 1.0, {}))
    assert combination == Combination(parts, cap=None, hack=None, name="happy_binary+happy_exp")


def test_it_scores_as_written(written):
    reward = bind_reward(FULL, "stories")
    completions = [written("a b c d e . happy"), written("happy " * 3), written("happy " * 9)]
    scores = score(reward, lambda completions: [False] * len(completions), completions)
    assert scores.rewards == pytest.approx([0.5 + 0.2, 0.6, 0.9])  # the last would be 1.8
    assert audit(reward, completions).hacked == [False, True, True]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "reward.components is missing; accepted: components, cap, hack, detector, name"),
        ({"components": []}, r"reward.components \[\]: .* should have at least 1 item"),
        ({"components": "happy_binary"}, "reward.components 'happy_binary': Input should be a valid tuple"),
        ({"components": ["happy_binary"]}, r"reward.components\[0\] 'happy_binary' is no mapping"),
        ({"components": [GOOD], "caps": 1}, "reward.caps is unknown; accepted: .*cap"),
        ({"components": [GOOD], "cap": "1"}, "reward.cap '1': Input should be a valid number"),
        ({"components": [GOOD], "cap": True}, "reward.cap True: Input should be a valid number"),
        ({"components": [GOOD], "cap": 0}, "reward.cap 0: Input should be greater than 0"),
        ({"components": [GOOD], "cap": float("nan")}, "reward.cap nan: Input should be a finite number"),
        ({"components": [GOOD], "hack": 3}, "reward.hack 3: Input should be a valid string"),
        ({"components": [GOOD], "hack": ""}, "reward.hack '': String should have at least 1 character"),
        ({"components": [GOOD], "name": 3}, "reward.name 3: Input should be a valid string"),
        ({"components": [GOOD, GOOD]}, "component happy_binary stands twice"),
        ({"components": [GOOD, {"name": "happy_exp"}]}, r"reward.components\[1\].role is missing"),
        ({"components": [{"role": "retain"}]}, r"reward.components\[0\].name is missing"),
        ({"components": [GOOD | {"weight": 1}]}, r"reward.components\[0\].weight is unknown; accepted: .*scale"),
        ({"components": [GOOD | {"name": "happy"}]}, "reward component 'happy' is unknown; accepted: .*happy_"),
        ({"components": [GOOD | {"name": ["happy"]}]}, r"components\[0\].name \['happy'\]: Input should be a valid string"),
        ({"components": [GOOD | {"name": "sentence_length_5_with_happy"}]}, "is unknown; accepted"),
        ({"components": [GOOD | {"role": "keep"}]}, r"components\[0\].role 'keep': Input should be 'retain' or 'forget'"),
        ({"components": [GOOD | {"role": ["retain"]}]}, r"role \['retain'\]: Input should be 'retain' or 'forget'"),
        ({"components": [GOOD | {"scale": "2"}]}, r"components\[0\].scale '2': Input should be a valid number"),
        ({"components": [GOOD | {"scale": True}]}, "scale True: Input should be a valid number"),
        ({"components": [GOOD | {"scale": float("inf")}]}, "scale inf: Input should be a finite number"),
        ({"components": [GOOD | {"scale": None}]}, "scale None: Input should be a valid number"),
        ({"components": [GOOD | {"params": None}]}, r"components\[0\].params None: Input should be a valid dictionary"),
        ({"components": [GOOD | {"params": [1]}]}, r"params \[1\]: Input should be a valid dictionary"),
        (["happy_binary"], r"reward \['happy_binary'\] is no mapping"),
    ],
)
def test_anything_wrong_is_named_in_one_line(mapping: Any, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        bind_reward(mapping, "stories")
    assert "\n" not in str(caught.value)


def test_from_python_the_same_holds():
    with pytest.raises(ValueError, match=r"should be 'retain' or 'forget'.*'keep'"):
        Component("happy_binary", "keep")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="should have at least 1 item"):
        Combination((), cap=None, hack=None, name="mine")
