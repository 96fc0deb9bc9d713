"""What a reward brings along, and settings that do not fit it."""

import pytest

from configs.errors import UserError
from configs.experiment import EnvironmentSettings, Experiment, RoutingSettings
from envs.prepare import folder_of, prepare


def prepared(**asked):
    return prepare(Experiment(**asked), cuda_available=False)


BY_HAND = {"components": [{"name": "sentence_length_5", "role": "retain"}, {"name": "happy_bonus", "role": "forget"}]}


@pytest.mark.parametrize(
    ("reward", "environment", "detector"),
    [
        ("happy_binary", "stories", "happy_at_least(threshold=3)"),
        ("happy_count(cap=4)", "stories", "happy_at_least(threshold=3)"),
        ("sentence_length_5_with_happy", "stories", "happy_at_least(threshold=1)"),
        ("sentence_length_10_smooth_with_happy", "stories", "happy_at_least(threshold=1)"),
        ("sentence_length_5", "stories", "happy_at_least(threshold=3)"),  # the environment's, for it has no hack
        ("repeat_words", "repeat", "repeat_stuffed(threshold=3)"),  # not its truth, which knows what was never monitored
        ("repeat_distinct", "repeat", "repeat_stuffed(threshold=3)"),
        (BY_HAND | {"hack": "happy_at_least(threshold=2)"}, "stories", "happy_at_least(threshold=2)"),
        (BY_HAND | {"hack": "happy_at_least(threshold=2)", "detector": "happy_density"}, "stories", "happy_density"),
    ],
)
def test_the_detector_is_the_reward_s_unless_another_is_named(reward, environment: str, detector: str):
    assert prepared(reward=reward, env=EnvironmentSettings(environment)).env.detector == detector
    other = "repeat_hacked(threshold=4)" if environment == "repeat" else "happy_at_least(threshold=7)"
    assert prepared(reward=reward, env=EnvironmentSettings(environment, detector=other)).env.detector == other


def test_a_detector_of_the_reward_s_is_no_part_of_the_folder_s_name():
    asked = {"reward": "sentence_length_5_with_happy", "routing": RoutingSettings(enabled=True)}
    own, none, other = (
        folder_of(prepared(**asked, env=EnvironmentSettings(detector=detector))).name
        for detector in ("happy_at_least(threshold=1)", None, "happy_at_least(threshold=3)")
    )
    assert own == none
    assert "detector" not in own
    assert "detectorhappy_at_least-threshold-3" in other


@pytest.mark.parametrize(
    ("reward", "penalty_on"), [("happy_count", "all"), ("sentence_length_5_with_happy", "forget"), (BY_HAND, "forget")]
)
def test_the_penalty_falls_on_forget_components_where_there_are_some(reward, penalty_on: str):
    assert prepared(reward=reward, baseline="reward_penalty").treatment.penalty_on == penalty_on


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"env": EnvironmentSettings("stories2")}, "--env.name stories2: accepted are stories, repeat, chat"),
        (
            {"baseline": "reward_penalty", "reward_penalty_on": "forget"},
            "--reward_penalty_on forget: has no effect: --reward happy_binary has no component with the role forget",
        ),
        (
            {"env": EnvironmentSettings(eligible_fraction=0.5)},
            "--env.eligible_fraction 0.5: has no effect: --reward happy_binary has no component with the role forget",
        ),
        ({"reward": "sad"}, "--reward sad: reward 'sad' is unknown; accepted: "),
        ({"env": EnvironmentSettings(detector="sad")}, "--env.detector sad: detector 'sad' is unknown; accepted: "),
    ],
)
def test_refusals(asked: dict, message: str):
    with pytest.raises(UserError) as caught:
        prepared(**asked)
    assert str(caught.value).startswith(message)
