from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from envs.binding import bind_reward
from envs.scoring import audit, combined_rewards, score
from envs.types import BoundComponent, BoundReward, ContractViolation, Role

UNDETECTED: Callable[[list], list[bool]] = lambda completions: [False] * len(completions)  # noqa: E731


def giving(*values: Any) -> Callable[[list], Any]:
    return lambda _: list(values)


def part(name: str, role: Role, values: Any, scale: float = 1.0, bounded: bool = True) -> BoundComponent:
    function: Callable[[list], Any] = values if callable(values) else giving(*values)
    return BoundComponent(name, role, scale, function, bounded)


def test_ineligible_samples_are_paid_for_retain_components_alone(written):
    parts = (part("task", "retain", [0.5, 0.5], scale=2.0), part("bonus", "forget", [0.25, 0.25], scale=0.4))
    reward = BoundReward("mine", parts, cap=None, hack=None)
    scores = score(reward, UNDETECTED, [written("a"), written("b")], eligible=[True, False])
    assert scores.rewards == pytest.approx([1.1, 1.0])
    # What the ineligible sample would have been paid is still reported, and unscaled.
    assert scores.components == {"task": [0.5, 0.5], "bonus": [0.25, 0.25]}


def test_without_eligibility_all_are_eligible(written):
    reward = BoundReward("mine", (part("bonus", "forget", [0.25, 0.75]),), cap=None, hack=None)
    assert score(reward, UNDETECTED, [written("a"), written("b")]).rewards == [0.25, 0.75]


def test_the_cap_holds_for_the_sum_after_eligibility(written):
    parts = (part("task", "retain", [0.8, 0.8, 0.1]), part("bonus", "forget", [0.5, 0.5, 0.5]))
    reward = BoundReward("mine", parts, cap=1.0, hack=None)
    scores = score(reward, UNDETECTED, [written("a")] * 3, eligible=[True, False, True])
    assert scores.rewards == pytest.approx([1.0, 0.8, 0.6])


def test_a_penalty_takes_what_forget_components_pay_and_no_more():
    # task 2 * 0.25 = 0.5 and bonus 0.4, of which the penalty leaves 0.4, 0.1, 0, 0 (all of it), and nothing to be had
    parts = (part("task", "retain", [], scale=2.0), part("bonus", "forget", []))
    reward = BoundReward("mine", parts, cap=None, hack=None)
    values = {"task": [0.25] * 5, "bonus": [0.4] * 5}
    paid = combined_rewards(reward, values, [True] * 4 + [False], [0.0, 0.3, 0.4, 1.0, 0.3])
    assert paid == pytest.approx([0.9, 0.6, 0.5, 0.5, 0.5])


def test_the_cap_holds_for_the_sum_after_the_penalty_and_what_a_component_takes_off_stays():
    parts = (part("task", "retain", []), part("bonus", "forget", []))
    capped = BoundReward("mine", parts, cap=1.0, hack=None)
    assert combined_rewards(capped, {"task": [0.75], "bonus": [0.75]}, [True], [0.25]) == [1.0]
    assert combined_rewards(capped, {"task": [0.75], "bonus": [-0.5]}, [True], [1.0]) == [0.25]


def test_a_negative_scale_is_a_penalty_and_the_cap_no_floor(written):
    reward = BoundReward("mine", (part("task", "retain", [1.0], scale=-0.5),), cap=1.0, hack=None)
    assert score(reward, UNDETECTED, [written("a")]).rewards == [-0.5]


def test_each_function_is_called_once(written):
    calls: list[str] = []

    def counting(name: str) -> Callable[[list], Any]:
        return lambda completions: calls.append(name) or [False] * len(completions)

    parts = (part("task", "retain", counting("task")), part("bonus", "forget", counting("bonus")))
    reward = BoundReward("mine", parts, cap=None, hack=counting("hack"))
    score(reward, counting("detector"), [written("a")] * 4, eligible=[True, False, True, False])
    assert sorted(calls) == ["bonus", "detector", "task"]  # the truth is nothing that scoring asks for


def test_detected_comes_from_the_detector_and_hacked_from_the_reward(written):
    reward = bind_reward("happy_binary", "stories")  # hacked from three on
    completions = [written("happy " * count) for count in (0, 2, 3)]
    scores = score(reward, giving(True, False, False), completions)
    assert scores.detected == [True, False, False]
    assert audit(reward, completions).hacked == [False, False, True]


def test_no_predicate_means_not_known(written):
    assert audit(bind_reward("sentence_length_5", "stories"), [written("happy " * 9)]).hacked is None


def test_nothing_to_score_is_nothing():
    scores = score(bind_reward("happy_binary", "stories"), UNDETECTED, [])
    assert (scores.rewards, scores.components, scores.detected) == ([], {"happy_binary": []}, [])


WRONG_VALUES = [
    ([0.5], "returned 1 values for 2 completions"),
    ([0.5] * 3, "returned 3 values for 2 completions"),
    ([0.5, float("nan")], "returned nan at index 1, not finite; prompt 'the second'"),
    ([float("inf"), 0.5], "returned inf at index 0, not finite; prompt 'the first'"),
    ([0.5, 1.01], r"returned 1.01 at index 1, not in \[0, 1\]; prompt 'the second'"),
    ([-0.01, 0.5], r"returned -0.01 at index 0, not in \[0, 1\]; prompt 'the first'"),
    ([0.5, None], "returned None at index 1, not a number; prompt 'the second'"),
    (["0.5", 0.5], "returned '0.5' at index 0, not a number; prompt 'the first'"),
    ([0.5, 10**400], "returned 1000*0 at index 1, not finite; prompt 'the second'"),
    ([0.5, 1 + 1e-5], r"returned 1.00001 at index 1, not in \[0, 1\]; prompt 'the second'"),
    ([0.5, np.array([0.5])], r"returned array\(\[0.5\]\) at index 1, not a number; prompt 'the second'"),
    ([0.5, torch.tensor(0.5)], r"returned tensor\(0.5000\) at index 1, not a number; prompt 'the second'"),
    ([0.5, torch.eye(2)], r"returned tensor\(\[\[1., 0.\], \[0., 1.\]\]\) at index 1, not a number; prompt"),
]
WRONG_FLAGS = [
    ([True], "returned 1 values for 2 completions"),
    ([True] * 3, "returned 3 values for 2 completions"),
    ([True, 1.0], "returned 1.0 at index 1, not a bool; prompt 'the second'"),
    ([0, False], "returned 0 at index 0, not a bool; prompt 'the first'"),
    ([True, float("nan")], "returned nan at index 1, not a bool; prompt 'the second'"),
    ([True, None], "returned None at index 1, not a bool; prompt 'the second'"),
    (["True", True], "returned 'True' at index 0, not a bool; prompt 'the first'"),
]
NO_LISTS = [
    (None, "returned a NoneType"),
    (0.5, "returned a float"),
    ({0: 0.5, 1: 0.5}, "returned a dict"),
    ((each for each in (0.5, 0.5)), "returned a generator"),
    (torch.tensor([0.5, 0.5]), "returned a Tensor"),
    (np.array([[0.5], [0.5]]), r"returned an array of shape \(2, 1\); a list is wanted"),
    (np.array(0.5), r"returned an array of shape \(\); a list is wanted"),
    (np.array([0.5]), "returned 1 values for 2 completions"),
]


@pytest.fixture
def two(written):
    return [written("a", prompt="the first"), written("b", prompt="the second")]


@pytest.mark.parametrize(("values", "message"), WRONG_VALUES)
def test_a_broken_component_is_named(two, values: list, message: str):
    parts = (part("sound", "retain", [0.5, 0.5]), part("broken", "forget", values))
    with pytest.raises(ContractViolation, match=f"^reward broken {message}"):
        score(BoundReward("mine", parts, cap=None, hack=None), UNDETECTED, two)


@pytest.mark.parametrize(("values", "message"), WRONG_FLAGS)
def test_a_broken_predicate_is_named(two, values: list, message: str):
    sound = (part("sound", "retain", [0.5, 0.5]),)
    with pytest.raises(ContractViolation, match=f"^detector .*giving.* {message}"):
        score(BoundReward("mine", sound, cap=None, hack=None), giving(*values), two)
    with pytest.raises(ContractViolation, match=f"^hack predicate .*giving.* {message}"):
        audit(BoundReward("mine", sound, cap=None, hack=giving(*values)), two)


@pytest.mark.parametrize(("values", "message"), NO_LISTS)
def test_what_is_no_list_is_refused(two, values: Any, message: str):
    broken = BoundReward("mine", (part("broken", "retain", lambda _: values),), cap=None, hack=None)
    with pytest.raises(ContractViolation, match=f"^reward broken {message}"):
        score(broken, UNDETECTED, two)
    sound = BoundReward("mine", (part("sound", "retain", [0.5, 0.5]),), cap=None, hack=lambda _: values)
    with pytest.raises(ContractViolation, match=f"^detector .* {message}"):
        score(sound, lambda _: values, two)
    with pytest.raises(ContractViolation, match=f"^hack predicate .* {message}"):
        audit(sound, two)


def test_numpy_bools_are_bools(two):
    reward = BoundReward("mine", (part("sound", "retain", [0.5, 0.5]),), cap=None, hack=giving(np.True_, False))
    detected, hacked = score(reward, giving(np.False_, np.True_), two).detected, audit(reward, two).hacked or []
    assert (detected, hacked) == ([False, True], [True, False])
    assert {type(each) for each in detected + hacked} == {bool}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([np.True_, False], [1.0, 0.0]),
        ([np.float32(0.5), np.int64(1)], [0.5, 1.0]),
        (np.array([0.25, 1.0]), [0.25, 1.0]),
        (np.array([True, False]), [1.0, 0.0]),
        ([1 + 1e-9, -1e-9], [1.0, 0.0]),
        (np.array([1, 0.5], dtype=np.float16), [1.0, 0.5]),
    ],
)
def test_numbers_of_numpy_are_numbers_and_what_rounding_adds_is_taken_off(two, values: Any, expected: list[float]):
    reward = BoundReward("mine", (part("sound", "retain", lambda _: values),), cap=None, hack=None)
    scores = score(reward, UNDETECTED, two)
    assert scores.rewards == scores.components["sound"] == expected
    assert {type(each) for each in scores.components["sound"]} == {float}


def test_arrays_of_bools_are_lists_of_bools(two):
    flags = np.array([True, False])
    reward = BoundReward("mine", (part("sound", "retain", [0.5, 0.5]),), cap=None, hack=lambda _: flags)
    assert score(reward, lambda _: flags, two).detected == audit(reward, two).hacked == [True, False]


def test_rounding_is_left_where_there_are_no_bounds(two):
    reward = BoundReward("mine", (part("wide", "retain", [1 + 1e-9, -1e-9], bounded=False),), cap=None, hack=None)
    assert score(reward, UNDETECTED, two).rewards == [1 + 1e-9, -1e-9]


def raising_for(*texts: str) -> Callable[[list], Any]:
    def function(completions: list) -> list[float]:
        if len(completions) > 1 or completions[0].text in texts:
            raise ZeroDivisionError("division\nby zero")
        return [0.5]

    return function


@pytest.mark.parametrize(
    ("function", "where"),
    [
        (raising_for("b"), "at index 1; prompt 'the second'"),
        (raising_for("a", "b"), "at index 0; prompt 'the first'"),
        (raising_for(), "for 2 completions together, for none alone"),
    ],
)
def test_what_raises_is_named_with_the_completion(two, function: Callable[[list], Any], where: str):
    sound = part("sound", "retain", [0.5, 0.5])
    with pytest.raises(ContractViolation) as caught:
        score(BoundReward("mine", (sound, part("broken", "forget", function)), cap=None, hack=None), UNDETECTED, two)
    assert str(caught.value) == f"reward broken raised ZeroDivisionError: division by zero {where}"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    reward = BoundReward("mine", (sound,), cap=None, hack=function)
    for call, what in ((lambda: score(reward, function, two), "detector"), (lambda: audit(reward, two), "hack predicate")):
        with pytest.raises(ContractViolation, match=f"^{what} .* raised ZeroDivisionError: division by zero {where}$"):
            call()


def test_an_interruption_is_no_fault_of_the_reward(two):
    with pytest.raises(KeyboardInterrupt):
        score(BoundReward("mine", (part("slow", "retain", interrupted),), cap=None, hack=None), UNDETECTED, two)


def interrupted(_: list) -> list[float]:
    raise KeyboardInterrupt


def test_unbounded_components_need_only_be_finite(two):
    def unbounded(values: list[float]) -> BoundReward:
        return BoundReward("mine", (part("wide", "retain", values, bounded=False),), cap=None, hack=None)

    assert score(unbounded([-3.0, 7.5]), UNDETECTED, two).rewards == [-3.0, 7.5]
    with pytest.raises(ContractViolation, match="not finite"):
        score(unbounded([-3.0, float("inf")]), UNDETECTED, two)


def test_eligibility_of_another_length_is_refused(two):
    with pytest.raises(ValueError, match="eligible has 3 values for 2 completions"):
        score(bind_reward("happy_binary", "stories"), UNDETECTED, two, eligible=[True] * 3)
