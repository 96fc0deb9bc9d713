"""The answer on a sweep's page: the figures are those of sweeps/answer.py, each with its interval and what it is over."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from records.names import BASE, BOTH, FORGET_ONLY, RETAIN_ONLY
from records.reader import read_sweep
from reports.answer_section import answer_section
from reports.tables import MISSING
from sweeps.answer import answers
from sweeps.conclusions import conclusions
from tests.reports.report_runs import CONFIG, mode_figures, planned, sample, write_plan, write_run

UNROUTED = CONFIG | {"routing": {"enabled": False}}


def write_answered(folder: Path, hacked_without_forget: dict[str, int], state: str = "finished") -> Path:
    """Routed runs r0, r1, ... and unrouted ones u0, u1, ...; of 4 samples of retain_only so many hack, and all 4 of both.

    The task reward of both is 0.8 in each sample, that of retain_only 0.6 and that of the base 0.4.
    """
    tasks, runs = {BOTH: 0.8, RETAIN_ONLY: 0.6, FORGET_ONLY: 0.4, BASE: 0.4}, []
    for name, count in hacked_without_forget.items():
        hacks = {BOTH: 4, RETAIN_ONLY: count, FORGET_ONLY: 4, BASE: 0}
        finals = [
            sample("says", mode, prompt_index=i, hacked=i < hacks[mode], components={"task": task, "hack": 0.0})
            for mode, task in tasks.items()
            for i in range(4)
        ]
        kind, config = ("routed", CONFIG) if name[0] == "r" else ("unrouted", UNROUTED)
        modes = {mode: mode_figures(0.5, hacks[mode] / 4, **{"rewards/task": task}) for mode, task in tasks.items()}
        write_run(folder / name, config=config | {"seed": int(name[1])}, modes=modes, finals=finals, state=state)
        runs.append(planned(name, kind, kind, seed=int(name[1])) | {"baseline_of": ["r" + name[1]] if name[0] == "u" else []})
    return write_plan(folder, ["seed"], runs)


def table_of(folder: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """{(row, measure): (value, small print)}."""
    (section,) = answer_section(read_sweep(folder, [], iter))
    assert section.table is not None
    header = section.table.header[1:]
    return {
        (name.text, measure): (cell.text, cell.small_print)
        for name, *cells in section.table.rows
        for measure, cell in zip(header, cells, strict=True)
    }


@pytest.fixture
def three_seeds(tmp_path: Path) -> Path:
    return write_answered(tmp_path / "s", {"r1": 2, "r2": 1, "r3": 0, "u1": 4, "u2": 4, "u3": 4})


def test_a_routed_configuration_its_control_and_the_paired_differences(three_seeds: Path):
    """0.5, 0.75 and 1 of the hack goes: half an interval is 4.3027 * 0.25 / sqrt(3). Of a task gain of 0.4, 0.2 stays in all."""
    table = table_of(three_seeds)
    assert table["routed", "hack removed"] == ("0.750", "0.129 to 1.371, n = 3 seeds")
    assert table["routed", "contained"] == ("0.750", "0.129 to 1.371, n = 3 seeds")
    assert table["routed", "hack left"] == ("0.250", "-0.371 to 0.871, n = 3 seeds")
    assert table["routed", "gain kept"] == ("0.500", "n = 3 seeds")
    assert table["unrouted", "hack removed"] == ("0.000", "n = 3 seeds")
    assert table["routed − unrouted", "hack removed"] == ("0.750", "0.129 to 1.371, n = 3 seeds")


def test_the_chart_has_what_the_table_has(three_seeds: Path):
    (section,) = answer_section(read_sweep(three_seeds, [], iter))
    assert section.charts is not None
    rows = {row["label"]: row for row in section.charts.rows}
    assert [rows["routed"][name] for name in ("part", "y0", "n0", "of")] == ["routed", 0.75, 3, [0]]
    difference = rows["routed − unrouted"]
    assert [round(difference[name], 3) for name in ("y0", "l0", "h0")] == [0.75, 0.129, 1.371]
    assert difference["of"] == [0, 1], "the configurations that a filter may leave out"
    assert len(section.charts.panels) * 4 + 3 == len(rows["unrouted"])


def test_the_sentences_are_those_of_the_answer(three_seeds: Path):
    (section,) = answer_section(read_sweep(three_seeds, [], iter))
    assert [*section.sentences] == conclusions(answers(read_sweep(three_seeds, [], iter)))
    assert any("0.750 [0.129, 1.371]" in sentence for sentence in section.sentences)


def test_a_run_s_warnings_are_read_from_its_summary(three_seeds: Path):
    summary = {"training": {"reward": {"last": 0.5}}, "warnings": ["detector x finds 1.0 % of the base model's hacks"]}
    (three_seeds / "r1" / "summary.json").write_text(json.dumps(summary))
    (section,) = answer_section(read_sweep(three_seeds, [], iter))
    assert section.sentences[1] == "routed: detector x finds 1.0 % of the base model's hacks."


def test_one_seed_has_intervals_over_its_samples_and_says_so(tmp_path: Path):
    table = table_of(write_answered(tmp_path / "s", {"r1": 2}))
    assert table["routed", "hack removed"][0] == "0.500" and table["routed", "hack removed"][1].endswith(
        "n = 4 samples of one run"
    )


@pytest.mark.parametrize(("names", "sections"), [(["u1"], 0), (["r1"], 1)])
def test_without_a_routed_configuration_there_is_no_answer_and_before_its_end_none_is_drawn(
    tmp_path: Path, names: Sequence[str], sections: int
):
    folder = write_answered(tmp_path / "s", dict.fromkeys(names, 0), state="running")
    made = answer_section(read_sweep(folder, [], iter))
    assert len(made) == sections
    for section in made:
        assert section.charts is None and {text for text, _ in table_of(folder).values()} == {MISSING}
        assert "nothing may be concluded" in section.sentences[0]
