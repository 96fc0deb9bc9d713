"""Samples as pages show them: side by side, what the reward counts marked, and by step of training."""

import pytest

from configs.errors import UserError
from records.logged import Few, few_logged
from records.reader import RunFiles
from reports.samples import OF_MANY, USUAL, completion_of, cut, samples_of, side_by_side, views_of
from tests.reports.report_runs import sample


def made(**entries) -> RunFiles:
    return RunFiles(**{"name": "r", "kind": "routed", "configuration": "c", "values": {}} | entries)


def texts(samples) -> list[tuple[str, list[str | None]]]:
    return [(prompt, [cell and cell.text for cell in cells]) for prompt, cells in samples.rows]


def test_samples_of_one_prompt_stand_in_one_row_in_the_order_of_modes():
    """The second sample of the same prompt is another row; a mode without it has a gap."""
    rows = [sample("r1", "retain_only"), sample("r9", "retain_only", prompt="a dog"), sample("b1", "both"), sample("b2", "both")]
    result = samples_of(made(samples=rows))
    assert result.columns == ["both", "retain_only"]
    assert texts(result) == [("the cat", ["b1", "r1"]), ("a dog", [None, "r9"]), ("the cat", ["b2", None])]


def test_samples_of_training_say_their_step_and_are_cut():
    rows = [sample("x" * 2000, step=9, hacked=True, reward=None) for _ in range(9)]
    result = samples_of(made(samples=rows))
    assert (list(result.columns), len(result.rows)) == (["training, step 9"], 5)
    (cell,) = result.rows[0][1]
    assert cell is not None and (len(cell.text), cell.text[-1], cell.reward, cell.hacked) == (700, "…", "–", True)
    assert cut("short") == "short"


def test_what_is_marked_stands_apart_and_is_counted():
    each = completion_of(sample("Happy and happy, glad", marks=[[0, 5], [10, 15], [17, 21]]))
    assert each.pieces == [("Happy", True), (" and ", False), ("happy", True), (", ", False), ("glad", True)]
    assert each.counts == "happy × 2, others × 1"


@pytest.mark.parametrize(("marks", "counts"), [(None, ""), ([], ""), ([[0, 1]], "1 marked"), ([[0, 1], [2, 3]], "2 marked")])
def test_what_occurs_once_is_only_counted_and_files_without_marks_have_none(marks: list | None, counts: str):
    each = completion_of(sample("a b", marks=marks))
    assert (each.text, each.counts) == ("a b", counts)


def test_marks_of_what_is_cut_are_left_out_but_counted():
    text = "happy " * 200
    each = completion_of(sample(text, marks=[[6 * i, 6 * i + 5] for i in range(200)]))
    assert len(each.text) == USUAL.characters and each.text == cut(text) and each.counts == "happy × 200"
    assert sum(marked for _, marked in each.pieces) == 116, "the last that ends within 699 characters"


@pytest.mark.parametrize("marks", [[[0, 9]], [[2, 1]], [[1]], ["x"], [[0, 2], [1, 3]], [[0.0, 1.0]]])
def test_damaged_marks_are_one_line(marks: list):
    with pytest.raises(UserError, match=r"marks of a sample: .* is no place in its completion 'a b'"):
        completion_of(sample("a b", marks=marks))


def test_steps_come_before_the_end_and_each_prompt_has_its_completions_beside_one_another():
    logged = [
        sample(f"s{step} {i}", step=step, prompt=prompt, prompt_index=0) for step in (0, 20) for i, prompt in enumerate("aab")
    ]
    views = views_of(made(samples=[sample("x", "both")], logged=logged))
    assert [(view.title, view.step) for view in views] == [
        ("training, step 0", 0), ("training, step 20", 20), ("at the end, by mode", None)]  # fmt: skip
    assert views[1].samples.columns == ["completion 1", "completion 2"]
    assert texts(views[1].samples) == [("a", ["s20 0", "s20 1"]), ("b", ["s20 2", None])]
    assert side_by_side(logged[:1]).columns == ["completion 1"]


def test_a_run_without_its_end_shows_its_last_step():
    logged = [sample("x", step=step) for step in (0, 20)]
    assert [view.step for view in views_of(made(samples=logged[1:], logged=logged))] == [0, 20]


def test_of_a_run_among_many_less_is_shown():
    rows = [sample("happy " * 200, mode) for mode in ("both", "base") for _ in range(5)]
    logged = [sample("x", step=step) for step in range(0, 90, 10) for _ in range(2)]
    views = views_of(made(samples=rows, logged=logged), OF_MANY)
    assert [view.step for view in views] == [0, 40, 80, None]
    assert len(views[-1].samples.rows) == 2 and len(views[0].samples.columns) == 1
    (cell, _) = views[-1].samples.rows[0][1]
    assert cell is not None and len(cell.text) == 300


def test_few_steps_are_far_apart_and_of_each_the_first_prompts_and_completions_are_kept():
    rows = [{"step": s, "prompt_index": p, "prompt": "x", "i": i} for s in range(0, 100, 10) for p in range(3) for i in range(4)]
    few = few_logged(rows, Few(4, 2, 3))
    assert [*dict.fromkeys(row["step"] for row in few)] == [0, 30, 60, 90]
    assert [(row["prompt_index"], row["i"]) for row in few if row["step"] == 30] == [(p, i) for p in (0, 1) for i in (0, 1, 2)]
    assert few_logged([], Few(4, 2, 3)) == []
    assert {row["step"] for row in few_logged(rows[:24], Few(4, 1, 1))} == {0, 10}
