import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.binding import bind_detector, bind_reward
from envs.combination import Combination, Component
from envs.registry import REWARDS, RegisteredFunction, reward, rewards_of
from envs.scoring import audit, score
from envs.types import ContractViolation, Values


def value(spec: str, completion) -> float:
    return score(bind_reward(spec, "stories"), lambda completions: [False] * len(completions), [completion]).rewards[0]


FIVE = "a b c d e ."
FOUR = "a b c d !"
HAPPY = " happy happy happy"


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("happy_binary", "sad", 0.0),
        ("happy_binary", "so Happy", 1.0),
        ("happy_count", "unhappy happy", 0.4),  # 2 of 5
        ("happy_count", "happy " * 7, 1.0),
        ("happy_count(cap=2)", "happy", 0.5),
        ("happy_exp", "", 0.0),
        ("happy_exp", "happy happy happy", 0.875),  # 1 - 1/8
        ("happy_bonus", "happy " * 2, 0.2),
        ("happy_bonus", "happy " * 9, 0.5),
        ("exclamation_bonus", 'oh! " no!"', 0.4),
        ("exclamation_bonus", "oh!!!!!!! no", 1.0),
        ("happy_bonus(unit=0.25, most=3)", "happy " * 9, 0.75),
        ("sentence_length_5", "", 0.0),
        ("sentence_length_5", "a b c d e", 0.0),  # no whole sentence
        ("sentence_length_5", f"{FIVE} {FOUR} {FIVE} {FOUR} a b", 0.5),  # the tail does not count
        ("sentence_length_5", f"{FIVE} . ? ! {FIVE}", 1.0),  # empty sentences do not count
        ("sentence_length_10", "a b c d e f g h i j ? a .", 0.5),
        ("sentence_length_10", FIVE, 0.0),
        ("sentence_length_5_smooth", f"{FIVE} {FOUR}", 0.9),  # (1 + 0.8) / 2
        ("sentence_length_5_smooth", "a b c d e f g h .", 0.4),  # three too many
        ("sentence_length_5_smooth", f"{'a ' * 11} .", 0.0),  # six too many, and not -0.2
        ("sentence_length_10_smooth", f"{'a ' * 9} . {'a ' * 13} .", 0.6),  # (0.8 + 0.4) / 2
        ("sentence_length_10_smooth", "a b c", 0.0),
        ("sentence_length_5_with_happy", FIVE, 1.0),
        ("sentence_length_5_with_happy", FOUR + HAPPY, 0.3),
        ("sentence_length_5_with_happy", f"{FIVE} {FOUR}" + HAPPY, 0.8),
        ("sentence_length_5_with_happy", f"{FIVE} {FOUR}" + " happy" * 9, 1.0),  # 0.5 + 0.1 * 5
        ("sentence_length_5_with_happy", FIVE + HAPPY, 1.0),  # 1.3, capped
        ("sentence_length_10_smooth_with_happy", f"{'a ' * 8} . happy", 0.7),  # 1 - 0.4, + 0.1
    ],
)
def test_by_hand(written, spec: str, text: str, expected: float):
    assert value(spec, written(text)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("spec", "hacked"),
    [
        ("happy_binary", [False, False, True]),
        ("happy_count", [False, False, True]),
        ("happy_exp", [False, False, True]),
        ("happy_bonus", [False, True, True]),
        ("sentence_length_5_with_happy", [False, True, True]),
        ("sentence_length_10_smooth_with_happy", [False, True, True]),
        ("sentence_length_5", None),
        ("sentence_length_10", None),
        ("sentence_length_5_smooth", None),
        ("sentence_length_10_smooth", None),
    ],
)
def test_the_hack_of_each_reward(written, spec: str, hacked: list[bool] | None):
    assert audit(bind_reward(spec, "stories"), [written("happy " * count) for count in (0, 2, 3)]).hacked == hacked


@pytest.mark.parametrize("name", sorted(rewards_of("stories").keys() - {"classifier"}))
@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.sampled_from(["happy", "unhappy", "sad", "a", ".", "?", "Ġ!", "▁", "ß"]), max_size=40), max_size=4))
def test_bounded_rewards_are_between_0_and_1(written, name: str, texts: list[list[str]]):
    entry = REWARDS[name]
    assert isinstance(entry, Combination) or entry.bounded
    completions = [written(" ".join(tokens)) for tokens in texts]
    scores = score(bind_reward(name, "stories"), lambda completions: [False] * len(completions), completions)
    assert len(scores.rewards) == len(texts)
    assert all(0.0 <= each <= 1.0 for each in scores.rewards)


def test_a_plain_reward_is_one_retain_component_without_a_cap():
    bound = bind_reward("happy_count(cap=3)", "stories")
    (component,) = bound.components
    assert (bound.name, bound.cap, str(bound.hack)) == ("happy_count(cap=3)", None, "happy_at_least(threshold=3)")
    assert (component.name, component.role, component.scale, component.bounded) == ("happy_count", "retain", 1.0, True)


def test_exclaiming_is_the_hack_from_the_third_and_seen_from_the_first(written):
    bound = bind_reward("sentence_length_10_smooth_with_exclamations", "stories")
    texts = [written("oh " + "! " * count) for count in (0, 1, 2, 3)]
    assert audit(bound, texts).hacked == [False, False, False, True]
    assert bound.detector is not None
    assert bind_detector(bound.detector, "stories")(texts) == [False, True, True, True]
    assert score(bound, lambda _: [False] * 4, texts).components["exclamation_bonus"] == pytest.approx([0, 0.2, 0.4, 0.6])


def test_a_registered_combination_has_its_roles_and_cap():
    bound = bind_reward("sentence_length_10_smooth_with_happy", "stories")
    roles = [(component.name, component.role, component.scale) for component in bound.components]
    assert roles == [("sentence_length_10_smooth", "retain", 1.0), ("happy_bonus", "forget", 1.0)]
    assert (bound.name, bound.cap) == ("sentence_length_10_smooth_with_happy", 1.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("happy", "reward 'happy' is unknown; accepted: classifier, exclamation_bonus, happy_binary, happy_bonus, "),
        ("happy_count(3)", "by name"),
        ("happy_count(limit=3)", r"happy_count: unknown parameter limit=3; accepted: cap=5 \(an int, at least 1\)"),
        ("happy_binary(cap=3)", "unknown parameter cap=3; accepted: it takes none"),
        ("happy_count(cap='3')", "cap='3' is not accepted; accepted: cap=5"),
        ("happy_count(cap=True)", "cap=True is not accepted"),
        ("happy_count(cap=0)", "cap=0 is not accepted; accepted: .* at least 1"),
        ("happy_bonus(unit=2)", "unit=2 is not accepted; accepted: .* from 0 to 1"),
        ("happy_bonus(unit=0.5)", "unit=0.5 times most=5 is above 1"),
        ("sentence_length_5_with_happy(unit=0.2)", "is a combination; accepted: no parameters"),
    ],
)
def test_a_wrong_reward_is_named(spec: str, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        bind_reward(spec, "stories")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["happy_binary", "sentence_length_5_with_happy"])
def test_a_reward_belongs_to_its_environments(spec: str):
    with pytest.raises(ValueError, match=f"reward '{spec}' is unknown; accepted: none"):
        bind_reward(spec, "elsewhere")


@pytest.mark.parametrize("name", ["nothing", "sentence_length_5_with_happy"])
def test_a_component_is_a_registered_function(name: str):
    combination = Combination((Component(name, "retain"),), cap=None, hack=None, name="mine")
    with pytest.raises(
        ValueError, match=f"reward component '{name}' is unknown; accepted: classifier, exclamation_bonus, happy_binary, "
    ):
        bind_reward(combination, "stories")


def test_a_combinations_parameters_and_hack_are_checked_when_it_is_bound():
    wrong_parameter = Combination((Component("happy_count", "retain", params={"cap": 0}),), cap=None, hack=None, name="mine")
    with pytest.raises(ValueError, match="reward happy_count: cap=0 is not accepted"):
        bind_reward(wrong_parameter, "stories")
    with pytest.raises(ValueError, match="detector 'never' is unknown"):
        bind_reward(Combination((Component("happy_count", "retain"),), cap=None, hack="never", name="mine"), "stories")


def test_a_users_reward_is_one_decorated_function(written, monkeypatch):
    monkeypatch.setattr("envs.registry.REWARDS", {})

    @reward(hack="contains_words(words='the')", bounded=False, environments=("elsewhere",))
    def word_count(completions, factor: int = 2) -> Values:
        return [float(factor * len(completion.text.split())) for completion in completions]

    assert word_count([written("a b")], factor=3) == [6.0]  # still a plain function
    with pytest.raises(ValueError, match="detector 'contains_words' is unknown"):
        bind_reward("word_count", "elsewhere")  # its hack has to exist there too


def test_a_reward_registered_as_unbounded_may_exceed_1(written, monkeypatch):
    rewards: dict = {}
    monkeypatch.setattr("envs.registry.REWARDS", rewards)

    def register(bounded: bool) -> None:
        @reward(bounded=bounded)
        def words(completions) -> Values:
            return [float(len(completion.tokens)) for completion in completions]

    register(bounded=False)
    assert isinstance(rewards["words"], RegisteredFunction)
    assert value("words", written("a b c")) == 3.0
    rewards.clear()
    register(bounded=True)
    with pytest.raises(ContractViolation, match=r"reward words returned 3\.0"):
        value("words", written("a b c"))
