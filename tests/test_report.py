"""`report.py` as a user types it, and what is on the pages it writes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import report
from records.rows import read_rows
from reports import write_report
from reports.page import MARK
from tests.report_door import charts, refusal, run_door, text_of, titles
from tests.reports.report_runs import (
    metric_rows,
    mode_figures,
    planned,
    sample,
    write_plan,
    write_rows,
    write_run,
    write_sweep,
)
from tests.reports.test_answer_section import write_answered

ROOT = Path(__file__).parents[1]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep")


def test_a_sweep_gets_its_page_and_the_door_says_where(sweep: Path, capsys):
    assert run_door(capsys, sweep) == f"{sweep / 'report.html'}\n"
    text = text_of(sweep / "report.html")
    assert "6: 4 finished, 1 running, 1 waiting" in text
    assert "betas" in text and "routed beta=0.02 · seed 2" in text
    assert "30 s" in text and "62 s of training and 1,800 tokens in 5 runs" in text
    assert "attempt 1, exit code 137" in text and "<b>killed</b>" in text


def test_nothing_but_the_page_is_written(sweep: Path):
    before = {path: path.stat().st_mtime_ns for path in sweep.rglob("*")}
    page = write_report(sweep)
    after = {path: path.stat().st_mtime_ns for path in sweep.rglob("*") if path != page}
    assert page == sweep / "report.html"
    assert after == before


def test_the_page_fetches_nothing(sweep: Path):
    """No element names an address, the policy forbids what code might ask for, and each library is in it once."""
    page = write_report(sweep).read_text()
    elements = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL)
    assert not re.search(r"""\b(?:src|href)=["'](?!#)""", elements)
    assert "default-src 'none'" in page
    assert page.count("window.vegaEmbed") == page.count("data:text/javascript") == 1


def test_the_curves_on_the_page_are_the_means_and_bands(sweep: Path):
    page = write_report(sweep)
    chart = charts(page, "training")
    rows = [row for row in chart["rows"] if row["c"] == 0 and "s" not in row]
    assert [(row["y0"], row["l0"], row["h0"]) for row in rows] == [
        (0.2, 0.1, 0.3),
        (0.3, 0.2, 0.4),
        (0.4, 0.3, 0.5),
        (0.5, 0.4, 0.6),
    ]
    script = re.search(r'id="runs-of-page">(.*?)</script>', page.read_text())
    assert script is not None
    assert [[*each.values()] for each in json.loads(script[1])["configurations"]] == [
        ["routed beta=0.01", "routed", "0.01"],
        ["routed beta=0.02", "routed", "0.02"],
        ["lora beta=0.01", "lora", "0.01"],
        ["routed beta=0.1", "routed", "0.1"],
    ]
    assert titles(chart) == ["Reward in training", "Hack rate in training", "KL to the reference"]


def test_every_axis_that_varies_has_a_filter(sweep: Path):
    page = write_report(sweep)
    selects = dict(re.findall(r'<select id="(\w+)"[^>]*>(.*?)</select>', page.read_text(), re.DOTALL))
    options = {name: re.findall(r'<option value="([^"]*)">([^<]*)<', body) for name, body in selects.items()}
    assert options["filter0"] == [("", "all"), ("0.01", "0.01"), ("0.02", "0.02"), ("0.1", "0.1")]
    assert options["seed"] == [("", "all, as a band"), ("1", "1"), ("2", "2")]
    assert options["filterkind"] == [("", "all"), ("routed", "routed"), ("lora", "lora")]
    assert [name for name, _ in options["colour"]] == ["configuration", "kind", "beta"]
    assert options["task"] == [("task", "task reward"), ("reward", "whole reward"), ("rewards/task", "task")]
    keys = dict(re.findall(r'<select id="(\w+)" data-state="([^"]*)"', page.read_text()))
    assert keys == {"colour": "colour", "filterkind": "kind", "filter0": "beta", "seed": "seed", "mode": "mode", "task": "task"}


def test_what_was_not_computed_is_said_and_not_drawn(tmp_path: Path):
    run = write_run(tmp_path / "run", metric_rows([0.1, 0.2], hacked=None, kl=0.0))
    page = write_report(run)
    text = text_of(page)
    assert "not in the runs' files, so not drawn: routing/hacked" in text
    assert "no evaluation during training" in text and "no evaluation yet" in text and "no samples yet" in text
    assert titles(charts(page, "training")) == ["Reward in training", "KL to the reference"]


def test_a_sweep_before_its_first_step_says_so(tmp_path: Path):
    text = text_of(write_report(write_plan(tmp_path / "s", ["seed"], [planned("r", "c", kind="lora", seed=1)])))
    for missing in ("no run has trained a step", "no evaluation during training", "no final evaluation with a hack rate"):
        assert missing in text
    assert "no samples yet" in text and "no step was timed" in text and "1 waiting" in text


def test_a_run_in_progress_shows_how_far_it_is(tmp_path: Path, capsys):
    evaluations = [
        {"step": 0, "mode": "base"} | mode_figures(0.25, 0.5) | {"reward/interval": [0.2, 0.3], "hacked/interval": [0.4, 0.6]}
    ]
    run = write_run(tmp_path / "run", metric_rows([0.1, 0.2, 0.3]), state="running", step=0, config={"max_steps": 250},
                    times=[2.0, 4.0, 6.0], evaluations=evaluations, samples=[sample("says so", step=2)])  # fmt: skip
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "re')
    run_door(capsys, run)
    text = text_of(run / "report.html")
    assert "state running step 3 of 250" in text and "training time 12 s" in text and "s / step 4.000" in text
    assert "Modes at the last evaluation" in text and "0.250 0.200 to 0.300" in text
    assert "training, step 2" in text and "says so" in text


def test_the_final_evaluation_takes_its_intervals_from_the_rows_of_the_same_samples(tmp_path: Path):
    interval = {"reward/interval": [0.7, 0.8]}
    evaluations = [
        {"step": 4, "mode": "both"} | mode_figures(0.75, 0.5) | interval,
        {"step": 2, "mode": "base"} | mode_figures(0.1, 0.2) | interval,
    ]
    modes = {"both": mode_figures(0.75, 0.5), "base": mode_figures(0.125, 0.2)}
    text = text_of(write_report(write_run(tmp_path / "r", metric_rows([0.1] * 4), evaluations=evaluations, modes=modes)))
    assert "0.750 0.700 to 0.800" in text
    assert "0.125 0.7" not in text


def test_a_run_opens_with_its_modes_the_base_among_them_and_the_four_measures(tmp_path: Path):
    """Of 4 samples all of both and 2 of retain_only hack: half of what was learnt is left; of a task gain of 0.4, 0.2 is kept."""
    run = write_answered(tmp_path / "s", {"r1": 2}) / "r1"
    text = text_of(write_report(run))
    assert text.index("Modes at the end") < text.index("hack removed 0.500") < text.index("Training")
    assert (
        "base 0 10 0.400 0.000" in text and "gain kept 0.500" in text and "hack left 0.500" in text and "contained 0.500" in text
    )
    assert "over 4 samples, which say nothing of other seeds" in text


def test_of_a_run_whose_reward_has_no_detector_the_page_says_what_is_known(tmp_path: Path):
    run = write_answered(tmp_path / "s", {"r1": 2}) / "r1"
    file = run / "evaluation_samples.jsonl"
    write_rows(file, [row | {"hacked": None} for row in read_rows(run, file.name)])
    text = text_of(write_report(run))
    assert "hack removed – " in text and "gain kept 0.500" in text and "contained – " in text
    assert "over 4 samples, which say nothing of other seeds" in text


def test_what_its_user_says_of_a_run_stands_on_its_page(tmp_path: Path):
    words = {"name": "first", "tags": ["try", "two"], "notes": "to see <whether>"}
    run = write_run(tmp_path / "r", metric_rows([0.1]), state="running", phase="evaluating", config=words)
    text = text_of(write_report(run))
    assert "state evaluating step 1 of 4" in text
    assert "name first tags try, two notes to see <whether>" in text


def test_a_failed_run_says_why(tmp_path: Path):
    run = write_run(tmp_path / "run", metric_rows([0.1]), state="failed", error="StepError: loss is <nan>")
    assert "StepError: loss is <nan>" in text_of(write_report(run))


def test_text_of_runs_stays_text(tmp_path: Path):
    hostile = "</script><script>alert(1)</script>&amp;<!-- \u2028"
    run = write_run(
        tmp_path / "run", metric_rows([0.1]), samples=[sample(hostile, step=0, prompt=hostile)], config={"reward": hostile}
    )
    page = write_report(run)
    assert "<script>alert" not in page.read_text()
    assert text_of(page).count("</script><script>alert(1)</script>&amp;<!--") == 3, "a prompt, a completion and a setting"


# Refusals


def test_a_report_replaces_a_report_and_nothing_else(sweep: Path, tmp_path: Path, capsys):
    for _ in range(2):
        assert write_report(sweep).read_text().find(MARK) < 1000
    mine = tmp_path / "notes.html"
    mine.write_text("<p>mine</p>")
    expected = f"{mine}: exists and is no report, so it stays; --out FILE writes elsewhere"
    assert refusal(capsys, sweep, "--out", mine) == expected
    assert refusal(capsys, sweep / "a1", sweep / "a2", "--out", mine) == expected
    assert (
        refusal(capsys, sweep, "--out", tmp_path)
        == f"{tmp_path}: exists and is no report, so it stays; --out FILE writes elsewhere"
    )
    assert mine.read_text() == "<p>mine</p>"


def test_slips_get_one_line(sweep: Path, tmp_path: Path, capsys):
    neither = "neither a run's folder (config.yaml) nor a sweep's (sweep.json)"
    assert refusal(capsys, tmp_path) == f"{tmp_path}: {neither}"
    assert refusal(capsys, tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: {neither}"
    expected = f"{tmp_path}: neither a run's folder (config.yaml) nor one of runs, nor a sweep's (sweep.json)"
    assert refusal(capsys, sweep / "a1", tmp_path) == expected
    assert refusal(capsys) == "FOLDER: none is given; accepted: a sweep's or a run's, or several to compare"
    assert refusal(capsys, sweep, "--oot", "x") == "--oot: no such option (did you mean --out?); --help lists them"
    assert (
        refusal(capsys, sweep, "--out", tmp_path / "no" / "x.html") == f"{tmp_path}/no/x.html: there is no folder {tmp_path}/no"
    )


def test_damage_is_one_line_with_file_and_line(sweep: Path, capsys):
    file = sweep / "a1" / "metrics.jsonl"
    file.write_text(file.read_text() + "{torn")
    assert refusal(capsys, sweep).startswith(f"{file}:5: not a JSON row")
    assert not (sweep / "report.html").exists()
    record = sweep / "a2" / "run.json"
    record.write_text("{}")
    assert refusal(capsys, sweep / "a2") == f"{record}: components is null, not an object"


def test_help_names_what_it_takes(capsys):
    with pytest.raises(SystemExit) as stop:
        report.main(["--help"])
    help_text = capsys.readouterr().out
    assert stop.value.code == 0 and "--out" in help_text and "FOLDER" in help_text


def test_a_real_run_of_the_engine_is_reported(finished_run, tmp_path: Path):
    """Three steps of a routed run: the files are those that training writes."""
    page = write_report(finished_run("routed"), tmp_path / "page.html")
    text = text_of(page)
    assert "state finished step 3 of 3" in text and "retain_only" in text and "Modes at the end" in text
    assert {row["m"] for row in charts(page, "ablation")["rows"]} == {"base", "both", "retain_only", "forget_only"}


def test_reports_need_no_torch():
    code = "import sys, reports; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
