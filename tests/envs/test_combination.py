from typing import Any

import pytest

from envs.rewards import Combination, Component, bind, combination_from_mapping
from envs.scoring import audit, score

GOOD: dict[str, Any] = {"name": "happy_binary", "role": "retain"}
FULL: dict[str, Any] = {
    "name": "mine",
    "cap": 0.9,
    "hack": "happy_count(threshold=2)",
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
    assert combination_from_mapping(FULL) == Combination(parts, cap=0.9, hack="happy_count(threshold=2)", name="mine")


def test_what_may_be_left_out():
    combination = combination_from_mapping({"components": [GOOD, {"name": "happy_exp", "role": "forget"}]})
    parts = (Component("happy_binary", "retain", 1.0, {}), Component("happy_exp", "forget", 1.0, {}))
    assert combination == Combination(parts, cap=None, hack=None, name="happy_binary+happy_exp")


def test_it_scores_as_written(written):
    reward = bind(combination_from_mapping(FULL), "stories")
    completions = [written("a b c d e . happy"), written("happy " * 3), written("happy " * 9)]
    scores = score(reward, lambda completions: [0.0] * len(completions), completions)
    assert scores.rewards == pytest.approx([0.5 + 0.2, 0.6, 0.9])  # the last would be 1.8
    assert audit(reward, completions).hacked == [False, True, True]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "reward.components is missing; accepted: components, and if wanted cap, hack, name"),
        ({"components": []}, r"reward.components \[\]; accepted: a list of one or more components"),
        ({"components": "happy_binary"}, "reward.components 'happy_binary'; accepted: a list"),
        ({"components": ["happy_binary"]}, r"reward.components\[0\] 'happy_binary' is no mapping"),
        ({"components": [GOOD], "caps": 1}, "reward.caps is unknown; accepted: .*cap"),
        ({"components": [GOOD], "cap": "1"}, "cap '1'; accepted: a number above 0"),
        ({"components": [GOOD], "cap": True}, "cap True; accepted: a number above 0"),
        ({"components": [GOOD], "cap": 0}, "cap 0; accepted: a number above 0"),
        ({"components": [GOOD], "cap": float("nan")}, "cap nan; accepted: a number above 0"),
        ({"components": [GOOD], "hack": 3}, "reward.hack 3; accepted: a string"),
        ({"components": [GOOD], "hack": ""}, "reward.hack ''; accepted: a string"),
        ({"components": [GOOD], "name": 3}, "reward.name 3; accepted: a string"),
        ({"components": [GOOD, GOOD]}, "component happy_binary stands twice"),
        ({"components": [GOOD, {"name": "happy_exp"}]}, r"reward.components\[1\].role is missing"),
        ({"components": [{"role": "retain"}]}, r"reward.components\[0\].name is missing"),
        ({"components": [GOOD | {"weight": 1}]}, r"reward.components\[0\].weight is unknown; accepted: .*scale"),
        (
            {"components": [GOOD | {"name": "happy"}]},
            r"components\[0\]: reward component 'happy' is unknown; accepted: happy_",
        ),
        ({"components": [GOOD | {"name": ["happy"]}]}, r"reward component \['happy'\] is unknown"),
        ({"components": [GOOD | {"name": "sentence_length_5_with_happy"}]}, "is unknown; accepted"),
        ({"components": [GOOD | {"role": "keep"}]}, "role 'keep'; accepted: retain, forget"),
        ({"components": [GOOD | {"role": ["retain"]}]}, r"role \['retain'\]; accepted: retain, forget"),
        ({"components": [GOOD | {"scale": "2"}]}, "scale '2'; accepted: a finite number"),
        ({"components": [GOOD | {"scale": True}]}, "scale True; accepted: a finite number"),
        ({"components": [GOOD | {"scale": float("inf")}]}, "scale inf; accepted: a finite number"),
        ({"components": [GOOD | {"scale": None}]}, "scale None; accepted: a finite number"),
        ({"components": [GOOD | {"params": None}]}, "params None; accepted: a mapping"),
        ({"components": [GOOD | {"params": [1]}]}, r"params \[1\]; accepted: a mapping"),
        (["happy_binary"], r"reward \['happy_binary'\] is no mapping"),
    ],
)
def test_anything_wrong_is_named_in_one_line(mapping: Any, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        combination_from_mapping(mapping)
    assert "\n" not in str(caught.value)


def test_from_python_the_same_holds():
    with pytest.raises(ValueError, match="role 'keep'"):
        Component("happy_binary", "keep")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="components is empty"):
        Combination((), cap=None, hack=None, name="mine")
