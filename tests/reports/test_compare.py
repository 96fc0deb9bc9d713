"""Where two runs part, by hand."""

from reports.compare import common_rows, differing, first_difference, flat
from tests.reports.report_runs import sample


def rows(*rewards: float, start: int = 0, **more) -> list[dict]:
    return [{"step": start + i, "reward": value, "kl": 0.1} | more for i, value in enumerate(rewards)]


def test_settings_lie_flat_and_a_reward_stays_whole():
    settings = {"lr": 0.1, "env": {"name": "x", "deep": {"er": 1}}, "reward": {"components": []}}
    assert flat(settings) == {"lr": 0.1, "env.name": "x", "env.deep.er": 1, "reward": {"components": []}}


def test_what_differs_or_is_missing_on_one_side():
    assert differing({"a": 1, "b": 2, "c": 3}, {"c": 4, "b": 2, "d": 5}) == {"a": (1, None), "c": (3, 4), "d": (None, 5)}


def test_the_first_step_is_the_first_with_any_difference():
    difference = first_difference(rows(0.1, 0.2, 0.3, 0.4), rows(0.1, 0.2, 0.30000000000000004, 0.5))
    assert difference is not None
    assert (difference.step, difference.values) == (2, {"reward": (0.3, 0.30000000000000004)})


def test_a_metric_that_one_run_lacks_is_a_difference():
    difference = first_difference(rows(0.1), rows(0.1, extra=None) + rows(0.2, start=1))
    assert difference is None, "null is what a missing one counts as"
    difference = first_difference(rows(0.1), rows(0.1, extra=2.0))
    assert difference is not None and difference.values == {"extra": (None, 2.0)}


def test_steps_are_matched_by_their_number():
    assert first_difference(rows(0.2, 0.3, start=1), rows(0.1, 0.2, 0.3, 0.4)) is None
    assert first_difference(rows(0.1), rows(0.9, start=5)) is None


def test_the_first_sample_is_told_by_step_and_place():
    a = [sample("one", step=0), sample("two", step=0), sample("three", step=10)]
    b = [sample("one", step=0), sample("2", step=0), sample("3", step=10)]
    difference = first_difference(a, b)
    assert difference is not None
    assert (difference.step, difference.number, list(difference.values)) == (0, 1, ["completion"])
    assert (difference.a["completion"], difference.b["completion"]) == ("two", "2")


def test_a_difference_in_score_alone_is_one_but_not_in_text():
    a = [sample("one", step=0, advantage=0.5), sample("two", step=0)]
    b = [sample("one", step=0, advantage=0.25), sample("2", step=0)]
    first, text = first_difference(a, b), first_difference(a, b, ("prompt", "completion"))
    assert first is not None and (first.number, list(first.values)) == (0, ["advantage"])
    assert text is not None and (text.number, list(text.values)) == (1, ["completion"])


def test_runs_that_logged_other_steps_are_compared_where_both_did():
    a = [sample("x", step=step) for step in (0, 5, 10)]
    b = [sample("x", step=step) for step in (0, 10)]
    assert [place for place, _, _ in common_rows(a, b)] == [(0, 0), (10, 0)]
    assert first_difference(a, b) is None
