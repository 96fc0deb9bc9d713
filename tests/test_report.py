"""`report.py` as a user types it, and what is on the pages it writes."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import report
from reports import write_comparison, write_report
from reports.page import MARK
from tests.reports.report_runs import (
    MADE_OF,
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
from tests.reports.test_run_charts import unpacked

ROOT = Path(__file__).parents[1]


class Text(HTMLParser):
    """What a reader sees: text outside scripts and styles."""

    def __init__(self, page: str):
        super().__init__()
        self.hidden, self.parts = False, []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:  # noqa: ARG002
        self.hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self.hidden = False

    def handle_data(self, data: str) -> None:
        self.parts += [] if self.hidden else [data]


def text_of(path: Path) -> str:
    return " ".join(" ".join(Text(path.read_text()).parts).split())


def charts(path: Path, name: str) -> dict[str, Any]:
    """What the page's script is given of a section, its rows unpacked."""
    script = re.search(rf'data-charts="{name}">(.*?)</script>', path.read_text(), re.DOTALL)
    assert script, name
    section = json.loads(script[1])
    return section | {"rows": unpacked(section["lines"])}


def titles(section: dict[str, Any]) -> list[str]:
    return [panel["title"] for panel in section["panels"]]


def run_door(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    assert report.main([*map(str, words)]) == 0
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    assert report.main([*map(str, words)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    return printed.err.removeprefix("error: ").strip()


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


# Two runs


def two_runs(folder: Path) -> tuple[Path, Path]:
    """Equal until step 2, where the reward differs; the first sample of step 1 is scored differently, the second says else."""
    a = [sample("same", step=0), sample("same", step=1, advantage=0.5), sample("A says <b>", step=1)]
    b = [sample("same", step=0), sample("same", step=1), sample("B says", step=1, prompt="the dog")]
    first = write_run(folder / "a", metric_rows([0.1, 0.2, 0.3, 0.4]), samples=a)
    return first, write_run(folder / "b", metric_rows([0.1, 0.2, 0.35, 0.5]), samples=b, config={"beta": 0.5, "lr": 1})


def test_two_runs_are_compared(tmp_path: Path, capsys):
    a, b = two_runs(tmp_path)
    assert run_door(capsys, a, b) == f"{tmp_path / 'report_compare.html'}\n"
    text = text_of(tmp_path / "report_compare.html")
    assert "beta 0.01 0.5 lr – 1" in text and "max_steps" not in text
    assert "The first step that differs: 2" in text and "reward 0.3 0.35 0.05" in text
    assert "1 of 5 metrics differ there" in text
    assert "Step 1, sample 0 of that step (from 0). It differs in: advantage." in text
    assert "Step 1, sample 1 of that step (from 0). It differs in: prompt, completion." in text
    assert "A says <b>" in text and "B says" in text and "the dog" in text


def test_their_curves_and_differences(tmp_path: Path):
    page = write_comparison(two_runs(tmp_path), tmp_path / "out.html")
    rows = charts(page, "training")["rows"]
    assert [row["y0"] for row in rows if row.get("r") == "B"] == [0.1, 0.2, 0.35, 0.5]
    assert [round(row["d0"], 9) for row in rows if "r" not in row] == [0, 0, 0.05, 0.1]
    assert page == tmp_path / "out.html"


def test_equal_runs_are_said_to_be_equal(tmp_path: Path):
    a, _ = two_runs(tmp_path)
    text = text_of(write_comparison([a, shutil.copytree(a, tmp_path / "c")], tmp_path / "out.html"))
    assert "all 4 steps that both have are equal in every metric" in text
    assert "all 3 logged samples that both have are equal" in text
    assert "Settings that differ none" in text


def test_runs_that_share_nothing_are_said_to_share_nothing(tmp_path: Path):
    text = text_of(write_comparison([write_run(tmp_path / "a"), write_run(tmp_path / "b")], tmp_path / "out.html"))
    assert "no step that both have" in text and "no logged sample that both have" in text
    assert "neither has trained a step" in text


def evaluated_run(folder: Path, hacks: int, **more: Any) -> Path:
    """Of 4 samples so many hack; each has a task reward of 0.5 or, where it hacks, of 1."""
    rewards = [1.0 if i < hacks else 0.5 for i in range(4)]
    finals = [
        sample(f"s{i}", "both", prompt_index=i, hacked=i < hacks, components={"task": r, "hack": 0.0})
        for i, r in enumerate(rewards)
    ]
    modes = {"both": mode_figures(0.25, hacks / 4, **{"rewards/task": sum(rewards) / 4}), "base": mode_figures(0.125, 0.0)}
    made_of = MADE_OF | {"eval_prompts_fingerprint": "abcdef0123456789", **more.pop("made_of", {})}
    return write_run(folder, metric_rows([0.1]), finals=finals, modes=modes, made_of=made_of, **more)


def test_two_runs_show_their_final_evaluations_by_mode_with_differences_that_are_paired(tmp_path: Path):
    config = {"eval": {"seed": 0}}
    a, b = evaluated_run(tmp_path / "a", 1, config=config), evaluated_run(tmp_path / "b", 3, config=config)
    text = text_of(write_comparison([a, b]))
    assert "task reward hack rate reward" in text
    row = text[text.index("both 0.625") :]
    assert re.match(r"both 0\.625 0\.875 0\.250 0\.000 to 0\.500 0\.250 0\.750 0\.500 0\.000 to 1\.000 0\.250 0\.250 0\.000", row)
    assert "base – – – 0.000 0.000 0.000 0.125 0.125 0.000" in text
    assert "A: a (routed, finished)" in text and "B: b (routed, finished)" in text, "samples of both"


def test_an_evaluation_of_one_alone_is_said_to_be_alone(tmp_path: Path):
    text = text_of(write_comparison([evaluated_run(tmp_path / "a", 1), write_run(tmp_path / "b", state="running")]))
    assert "Only one of them has been evaluated." in text and "both 0.625 – –" in text


def test_runs_on_other_prompts_are_not_paired(tmp_path: Path):
    config = {"eval": {"seed": 0}}
    other = {"eval_prompts_fingerprint": "fedcba9876543210"}
    a, b = evaluated_run(tmp_path / "a", 1, config=config), evaluated_run(tmp_path / "b", 3, config=config, made_of=other)
    text = text_of(write_comparison([a, b]))
    assert "Their samples are not paired." in text and "both 0.625 0.875 0.250 0.250 0.750 0.500" in text


def test_digests_differ_in_words(tmp_path: Path):
    first = {"config_hash": "a" * 12, "base_fingerprint": "b" * 64, "threads": 1, "git": {"commit": "c" * 40, "clean": True}}
    second = {"config_hash": "d" * 12, "base_fingerprint": "e" * 64, "threads": 2, "git": {"commit": "f" * 40, "clean": True}}
    runs = [
        evaluated_run(tmp_path / digit, 1, made_of=made_of, config={"plugins": [f"mine.py@{digit * 64}"]})
        for digit, made_of in (("1", first), ("2", second))
    ]
    text = text_of(write_comparison(runs))
    assert not re.search("[0-9a-f]{12,}", text)
    assert "Not the same in all: the weights of the base model." in text and "Not the same in all: the code." in text
    assert "threads: 1 (A), 2 (B)." in text


# Many runs


def loose_runs(folder: Path) -> list[Path]:
    """Three of one configuration, one with another beta, and a LoRA."""
    beta = [{"seed": 1}, {"seed": 2}, {"seed": 3}, {"seed": 1, "beta": 0.5}]
    lora = {"routing": {"enabled": False}, "adapter": {"kind": "lora"}}
    return [evaluated_run(folder / f"r{i}", i % 3, config=config) for i, config in enumerate([*beta, lora])]


def test_a_folder_of_runs_is_compared_as_a_sweep_is(tmp_path: Path, capsys):
    loose_runs(tmp_path / "runs")
    assert run_door(capsys, tmp_path / "runs") == f"{tmp_path / 'runs' / 'report_compare.html'}\n"
    text = text_of(tmp_path / "runs" / "report_compare.html")
    assert "Comparison of 5 runs" in text
    assert "routed beta=0.01 3 of 3 0.625" in text and "routed beta=0.5 1 of 1" in text and "lora beta=0.01 1 of 1" in text
    assert "Settings that differ" in text and "A against B" not in text
    assert "configurations 3 seeds 1, 2, 3 varied beta (2)" in text


def test_any_number_of_runs_is_compared_each_once(tmp_path: Path, capsys):
    runs = loose_runs(tmp_path / "runs")
    assert run_door(capsys, *runs[:3], tmp_path / "runs", runs[0]) == f"{tmp_path / 'runs' / 'report_compare.html'}\n"
    assert "Comparison of 5 runs" in text_of(tmp_path / "runs" / "report_compare.html")
    run_door(capsys, *runs[:3], "--out", tmp_path / "three.html")
    text = text_of(tmp_path / "three.html")
    assert "Comparison of 3 runs" in text and "none but the seed" in text


def test_a_folder_of_one_run_has_its_page_and_one_of_two_compares_them(tmp_path: Path, capsys):
    runs = loose_runs(tmp_path / "runs")
    for run in runs[2:]:
        shutil.rmtree(run)
    run_door(capsys, tmp_path / "runs")
    assert "A against B" in text_of(tmp_path / "runs" / "report_compare.html")
    shutil.rmtree(runs[1])
    assert run_door(capsys, tmp_path / "runs") == f"{runs[0] / 'report.html'}\n"


def test_runs_of_sweeps_may_be_compared_with_others(sweep: Path, tmp_path: Path, capsys):
    run_door(capsys, sweep, evaluated_run(tmp_path / "x", 2), "--out", tmp_path / "out.html")
    assert "Comparison of 6 runs" in text_of(tmp_path / "out.html")


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


def test_damaged_samples_of_a_comparison_are_named(tmp_path: Path, capsys):
    a, b = two_runs(tmp_path)
    write_rows(b / "samples.jsonl", [{"step": 0, "prompt": "x"}])
    assert refusal(capsys, a, b) == f"{b / 'samples.jsonl'}:1: completion is null, not a text"


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
