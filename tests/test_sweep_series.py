"""`sweep.py` over a series: its sweeps one after the other, how it ends, and what starts none of them."""

from pathlib import Path

import pytest

import sweep
from sweeps.backends.backend import ScheduleOptions
from sweeps.plan import Plan
from sweeps.schedule import Outcome, only_sweep_in
from tests.sweep_door import Scheduler, refusal

SERIES = """
from configs.experiment import Experiment
from configs.sweep import Series, Sweep
rates = {"x": 1e-5, "y": 2e-5, "z": 3e-5}
series = Series({name: Sweep(Experiment(max_steps=9, lr=lr), seeds=[1, 2]) for name, lr in rates.items()})
"""


@pytest.fixture
def series(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """In a directory with series.py, three sweeps of two runs. An outcome of the scheduler's `each` for each sweep."""
    Path("series.py").write_text(SERIES)
    scheduler.each = {"x": Outcome(2, 0, 0, 0), "y": Outcome(2, 0, 0, 0), "z": Outcome(2, 0, 0, 0)}

    def run_plan(plan: Plan, options: ScheduleOptions) -> Outcome:
        scheduler.outcome = scheduler.each[plan.name]
        return scheduler(plan, options)

    monkeypatch.setattr(sweep, "run_plan", run_plan)
    return scheduler


def test_a_series_is_its_sweeps_one_after_the_other(series: Scheduler, capsys: pytest.CaptureFixture[str]):
    assert sweep.main(["series.py", "--jobs", "2", "--batch_size", "16", "--name", "mine"]) == 0
    assert [(plan.name, plan.folder) for plan, _ in series.asked] == [(name, Path("output/mine") / name) for name in "xyz"]
    assert {options.jobs for _, options in series.asked} == {2}
    settings = [
        (run.experiment.lr, run.experiment.batch_size, run.experiment.seed) for plan, _ in series.asked for run in plan.runs
    ]
    assert settings == [(lr, 16, seed) for lr in (1e-5, 2e-5, 3e-5) for seed in (1, 2)]
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["sweep 1 of 3: x", "sweep 2 of 3: y", "sweep 3 of 3: z"]
    pages = {name: Path(f"output/mine/{name}/report.html") for name in "xyz"}
    assert all(page.exists() for page in pages.values())
    assert printed.out.splitlines()[-4:] == [
        "",
        *(f"{name}: 0 of 2 runs finished, 0 failed: {page}" for name, page in pages.items()),
    ]
    assert sweep.main(["series.py"]) == 0
    assert {plan.folder.parent for plan, _ in series.asked[3:]} == {Path("output/series")}


@pytest.mark.parametrize(
    ("outcomes", "code", "run"),
    [
        ({}, 0, "xyz"),
        ({"x": Outcome(1, 0, 1, 0)}, 1, "xyz"),
        ({"x": Outcome(0, 0, 2, 0), "z": Outcome(2, 0, 0, 0)}, 1, "xyz"),
        ({"y": Outcome(1, 0, 0, 1, is_stopped=True)}, 130, "xy"),
        ({"x": Outcome(0, 0, 2, 0), "y": Outcome(0, 0, 0, 2)}, 130, "xy"),
        ({"x": Outcome(2, 0, 0, 0, is_stopped=True)}, 130, "x"),  # stopped when its runs were done
        ({"z": Outcome(2, 0, 0, 0, is_stopped=True)}, 0, "xyz"),
        ({"y": KeyboardInterrupt()}, 130, "xy"),
    ],
)
def test_how_a_series_ends(series: Scheduler, capsys: pytest.CaptureFixture[str], outcomes: dict, code: int, run: str):
    series.each |= outcomes
    assert sweep.main(["series.py"]) == code
    assert [plan.name for plan, _ in series.asked] == [*run]
    told = capsys.readouterr().out.splitlines()[-3:]
    assert [line.partition(":")[0] for line in told] == [*"xyz"]
    assert [line for line in told if line.endswith(": not started")] == [f"{name}: not started" for name in "xyz"[len(run) :]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--max_steps 1 --grpo.warmup_steps 1", "x: seed=1: --grpo.warmup_steps 1: must be below --max_steps 1"),
        ("--grid beta=1,2", "--grid: not over a series, whose sweeps vary what they are about; run the file of one of them"),
        ("--address here", "x: --address here: has no effect without --backend ray"),
        ("--device cpu --per_gpu 2", "--per_gpu 2: has no effect with --device cpu"),
    ],
)
def test_what_is_wrong_with_a_series_creates_nothing(
    series: Scheduler, capsys: pytest.CaptureFixture[str], words: str, message: str
):
    assert refusal(capsys, "series.py", *words.split()) == message
    assert series.asked == []


def test_what_is_wrong_with_the_last_sweep_of_a_series_starts_none(series: Scheduler, capsys: pytest.CaptureFixture[str]):
    Path("series.py").write_text(SERIES + "series.sweeps['z'] = Sweep(Experiment(batch_size=40), seeds=[1])\n")
    said = refusal(capsys, "series.py")
    assert said == "z: seed=1: --batch_size 40: must be a multiple of --num_generations 16"
    Path("series.py").write_text(SERIES + "series.sweeps['z'] = Sweep(Experiment(output_dir='there'))\n")
    assert refusal(capsys, "series.py") == "--output_dir: the sweeps of a series have different ones; say which"
    assert series.asked == []


def test_a_run_of_other_settings_in_the_last_sweep_s_folder_starts_none(series: Scheduler, capsys: pytest.CaptureFixture[str]):
    assert sweep.main(["series.py"]) == 0
    run = series.asked[-1][0].runs[1]
    folder = Path("output/series/z") / run.name
    folder.mkdir()
    (folder / "run.json").write_text('{"config_hash": "other"}')
    capsys.readouterr()
    assert sweep.main(["series.py"]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: z: {folder}: holds a run with other settings (hash other, not {run.config_hash}"
    )
    assert len(series.asked) == 3


def test_one_series_at_a_time_in_a_folder(series: Scheduler, capsys: pytest.CaptureFixture[str]):
    with only_sweep_in(Path("output/series")):
        assert sweep.main(["series.py"]) == 2
    assert capsys.readouterr().err == "error: output/series: another sweep is running there\n"
    assert series.asked == []
