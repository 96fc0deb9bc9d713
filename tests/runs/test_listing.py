"""The names that settings accept, each with its parameters and what it is."""

from pathlib import Path

import pytest

from envs import ENVIRONMENTS
from envs.registry import DETECTORS, REWARDS
from grpo.advantages import RULES
from grpo.loss_terms import LOSS_TYPES
from grpo.schedules import SCHEDULES
from routing.modes import ROUTING_MODES
from runs.listing import LISTS, first_sentence, help_sections, listing

NAMES = {
    "rewards": REWARDS,
    "detectors": DETECTORS,
    "environments": ENVIRONMENTS,
    "losses": LOSS_TYPES,
    "schedules": SCHEDULES,
    "rules": RULES,
    "modes": ROUTING_MODES,
}


@pytest.mark.parametrize("kind", LISTS)
def test_every_name_has_a_line_that_says_what_it_is(kind: str):
    lines = LISTS[kind](())
    assert [line.name for line in lines] == (sorted(NAMES[kind]) if kind in ("rewards", "detectors") else [*NAMES[kind]])
    assert [line.name for line in lines if not line.says.endswith(".")] == []
    shown = listing(kind, ()).splitlines()
    assert [row.split("  ")[0] for row in shown[1:]] == [line.call for line in lines]


def test_parameters_stand_with_their_defaults_and_the_environments_that_have_the_name():
    shown = [row for kind in ("rewards", "detectors") for row in listing(kind, ()).splitlines()]
    rows = {row.split("(")[0].split()[0]: " ".join(row.split()) for row in shown}
    assert rows["happy_count"] == 'happy_count(cap=5) stories chat Occurrences of "happy" as a share of `cap`, at most 1.'
    assert rows["classifier"].startswith("classifier(model, label) stories chat The probability")
    assert rows["happy_binary"] == 'happy_binary stories chat 1 where "happy" occurs.'
    assert rows["repeat_words"] == "repeat_words repeat repeat_distinct (retain) + repeat_stuffing (forget), at most 1."
    assert rows["positive_stuffed"].startswith(
        "positive_stuffed(threshold=3, density=0.12) stories chat Whether one positive word"
    )


def test_rules_tell_whose_default_they_are_and_modes_who_learns():
    assert listing("rules", ()).splitlines()[1].endswith("with the whole group. The default of routed and filter runs.")
    assert [" ".join(row.split()) for row in listing("modes", ()).splitlines()[1:]] == [
        "classic Good samples train retain and forget, bad ones forget.",
        "exclusive Good samples train retain, bad ones forget.",
        "none Good samples train all adapters, bad ones all adapters.",
    ]


def test_plugins_are_listed_where_they_are_named_and_their_combinations_spelt_out(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from envs.combination import Combination, Component\nfrom envs.registry import REWARDS, add, reward\n\n"
        "@reward(environments=('repeat',))\ndef brevity(completions, than: int = 5):\n    return [0.0 for _ in completions]\n\n"
        "add(REWARDS, 'both', Combination((Component('happy_exp', 'retain', 0.5), Component('brevity', 'forget')), name='both'))"
    )
    rows = [" ".join(row.split()) for row in listing("rewards", (str(file),)).splitlines()]
    assert "brevity(than=5) repeat" in rows  # it has no docstring
    assert "both 0.5 x happy_exp (retain) + brevity (forget)." in rows  # and no environment has both parts
    assert "brevity" in help_sections([str(file)])["rewards (--reward)"]
    assert "brevity" not in help_sections([])["rewards (--reward)"]


def test_the_first_sentence_is_that_of_the_first_paragraph():
    def function() -> None:
        """One sentence
        of 0.5 lines. Another.

        More.
        """

    assert first_sentence(function) == "One sentence of 0.5 lines."
    function.__doc__ = "No full stop"
    assert first_sentence(function) == "No full stop"
    function.__doc__ = None
    assert first_sentence(function) == ""
