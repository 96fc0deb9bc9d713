"""`sweep.py`: what its user types, sees and finds; how it ends; and one line for everything that is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sweep
from configs.errors import UserError
from records.rows import read_rows
from sweeps.backends import devices
from sweeps.backends.backend import ScheduleOptions
from sweeps.costs import Costs
from sweeps.plan import Plan
from sweeps.schedule import Outcome, only_sweep_in

ROOT = Path(sweep.__file__).parent
GRID = ["--grid", "seed=42,123,7", "beta=0.01,0.02"]
AS_WRITTEN = [
    *["--reward", "sentence_length_5", *GRID],
    *["--fixed", "lr=1e-5", "batch_size=32", "num_generations=16", "max_steps=2000", "--per_gpu", "12"],
]
CEILING = """
from configs.experiment import Experiment, RoutingSettings
from configs.sweep import Sweep

routed = Experiment(reward="sentence_length_5_with_happy", routing=RoutingSettings(enabled=True))
sweep = Sweep(base=routed, seeds=[1], baselines=["unhackable"])
"""
NAME = "sweep_sentence_length_5_seed_beta_"


class Scheduler:
    """Stands for `run_plan`: remembers what it was asked for, and runs nothing."""

    def __init__(self) -> None:
        self.outcome: Outcome | BaseException = Outcome(0, 0, 0, 0)
        self.each: dict[str, Outcome | BaseException] = {}  # by sweep of a series
        self.asked: list[tuple[Plan, ScheduleOptions]] = []

    def __call__(self, plan: Plan, options: ScheduleOptions) -> Outcome:
        self.asked.append((plan, options))
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scheduler:
    """In an empty directory, without a GPU."""
    stand_in = Scheduler()
    monkeypatch.setattr(sweep, "run_plan", stand_in)
    monkeypatch.setattr(sweep, "gpus", list)
    monkeypatch.chdir(tmp_path)
    return stand_in


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert sweep.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1, printed.err
    assert not Path("output").exists()
    return printed.err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_with_examples(capsys: pytest.CaptureFixture[str], words: list[str]):
    with pytest.raises(SystemExit) as stop:
        sweep.main(words)
    printed = capsys.readouterr().out
    assert stop.value.code == 0
    assert "uv run sweep.py configs/sweeps/routing_ablation.py" in printed
    assert all(option in printed for option in ("--grid", "--fixed", "--per_gpu", "--routing.enabled"))


def test_the_command_as_written(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]):
    assert sweep.main(AS_WRITTEN) == 0
    ((plan, options),) = scheduler.asked
    assert options == ScheduleOptions("local", None, None, 12, None, 1)
    assert plan.name.startswith(NAME)
    assert plan.folder == Path("output") / plan.name
    assert len(plan.runs) == 6
    assert {run.experiment.lr for run in plan.runs} == {1e-5}
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["no GPU here: --per_gpu 12 is not used, runs go to the CPU"]
    assert sorted(path.name for path in plan.folder.iterdir() if path.name != ".lock") == [
        "configs", "report.html", "summary.csv", "summary.json", "sweep.json",
    ]  # fmt: skip
    assert f"{plan.name}: 6 runs: 6 unfinished; means over seeds ± 95 % interval" in printed.out
    assert printed.out.splitlines()[-2:] == [str(plan.folder), str(plan.folder / "report.html")]
    assert sweep.main(AS_WRITTEN) == 0
    assert scheduler.asked[1] == (plan, options)


def test_on_a_machine_with_gpus_runs_go_there(
    scheduler: Scheduler, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweep, "gpus", lambda: ["0", "1"])
    assert sweep.main(AS_WRITTEN) == 0
    assert {run.experiment.device for run in scheduler.asked[0][0].runs} == {"cuda"}
    assert capsys.readouterr().err == ""
    said = "--jobs 2: has no effect: all runs go to a GPU; see --per_gpu"
    assert sweep.main([*AS_WRITTEN, "--jobs", "2"]) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    monkeypatch.setattr(sweep, "measured_costs", lambda *_: Costs(20.0, 0.1, 0.01, "a test"))
    assert sweep.main([*AS_WRITTEN, "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert "6 runs: 6 on GPU 0, 1, 12 at once on each" in printed
    assert "about 4 min for 6 runs" in printed  # one of them: 20 s, 2,000 steps of 0.1 s, 20 x 64 completions of 10 ms


def test_options_of_the_schedule_arrive(scheduler: Scheduler):
    words = [*GRID, "--jobs", "3", "--retries", "0", "--name", "mine", "--output_dir", "here"]
    assert sweep.main(words) == 0
    ((plan, options),) = scheduler.asked
    assert options == ScheduleOptions("local", None, 3, 1, None, 0)
    assert plan.folder == Path("here/mine")
    assert sweep.main(["--backend", "ray", "--address", "host:1", *GRID]) == 0
    assert scheduler.asked[1][1] == ScheduleOptions("ray", "host:1", None, 1, None, 1)
    for value, expected in (("5", 5), ("memory", "memory")):
        assert sweep.main([*GRID, "--max_parallel", value]) == 0
        assert scheduler.asked[-1][1].max_parallel == expected
    assert sweep.main([*GRID, "--max_parallel", "1", "--jobs", "2", "--dry_run", "--max_steps", "9", "--name", "x"]) == 0


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(5, 1, 0, 0), 0),
        (Outcome(5, 0, 1, 0), 1),
        (Outcome(0, 0, 6, 0), 1),
        (Outcome(2, 0, 1, 3), 130),
        (Outcome(0, 0, 0, 6), 130),
        (KeyboardInterrupt(), 130),
        (UserError("no room"), 2),
    ],
)
def test_how_it_ends(scheduler: Scheduler, outcome: Any, code: int):
    scheduler.outcome = outcome
    assert sweep.main(GRID) == code
    (folder,) = Path("output").iterdir()
    assert (folder / "summary.json").exists() == (code != 2)


def test_other_runs_of_the_folder_are_mentioned(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]):  # noqa: ARG001
    other = Path("output/mine/other")
    other.mkdir(parents=True)
    (other / "config.yaml").write_text("")
    assert sweep.main([*GRID, "--name", "mine"]) == 0
    assert capsys.readouterr().err == "output/mine/other: no run of this sweep; it stays\n"
    assert (other / "config.yaml").exists()


def test_the_plan_of_a_sweep_that_is_running_stays(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]):
    assert sweep.main([*GRID, "--name", "mine"]) == 0
    capsys.readouterr()
    before = Path("output/mine/sweep.json").read_bytes()
    with only_sweep_in(Path("output/mine")):
        assert sweep.main(["--grid", "seed=5", "--name", "mine"]) == 2
    assert capsys.readouterr().err == "error: output/mine: another sweep is running there\n"
    assert Path("output/mine/sweep.json").read_bytes() == before
    assert len(scheduler.asked) == 1


def test_where_nothing_can_be_written_is_one_line(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]):
    Path("file").write_text("")
    assert sweep.main([*GRID, "--output_dir", "file"]) == 2
    assert capsys.readouterr().err == "error: --output_dir file: cannot be written: Not a directory\n"
    assert scheduler.asked == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--grid bta=1", "--grid bta=1: no such setting (did you mean beta?)"),
        ("--grid beta=0.1,-1", "in --grid: --beta -1.0: must be 0 or more"),
        ("--grid seed=1 --address x", "--address x: has no effect without --backend ray"),
        ("--grid seed=1 --device cpu --per_gpu 2", "--per_gpu 2: has no effect with --device cpu"),
        ("--grid seed=1 --jobs 0", "--jobs 0: must be at least 1"),
        ("--grid seed=1 --per_gpu 0", "--per_gpu 0: must be at least 1"),
        ("--grid seed=1 --max_parallel 0", "--max_parallel 0: must be at least 1"),
        ("--grid seed=1 --max_parallel ram", "--max_parallel ram: must be a whole number, or memory"),
        (
            "--grid seed=1 --backend ray --max_parallel memory",
            "--max_parallel memory: has no effect with --backend ray, whose machines have their own",
        ),
        ("--grid seed=1..3 --sample 3", "--sample 3: has no effect: the grid has 3 points"),
        ("--grid seed=1 --retries -1", "--retries -1: must be 0 or more"),
        ("--grid seed=1 --mps start", "--mps start: has no effect without several runs on a GPU of this machine (--per_gpu)"),
        (
            "--grid seed=1 --name a/b",
            "--name a/b: must be part of a folder's name: at most 100 letters, digits and . _ + -, a letter or digit first",
        ),
        (
            "--grid seed=1 --fixed env.eligible_fraction=1",
            "seed=1: --env.eligible_fraction 1.0: has no effect: --reward happy_binary has no component with the role forget",
        ),
        ("--grid seed=1 --baselines", "--baselines: has no effect, for no run is routed"),
        ("--grid seed=1 --device cuda", "seed=1: --device cuda: no CUDA device is available here; use auto or cpu"),
        ("nowhere.py", "nowhere.py: no such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_creates_nothing(
    scheduler: Scheduler, capsys: pytest.CaptureFixture[str], words: str, message: str
):
    assert refusal(capsys, *words.split()) == message
    assert scheduler.asked == []


def test_the_unhackable_control_of_a_reward_without_a_bonus_is_refused_by_name(
    scheduler: Scheduler, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "ceiling.py").write_text(CEILING.replace("sentence_length_5_with_happy", "happy_count"))
    assert refusal(capsys, "ceiling.py") == (
        "the unhackable control of seed=1: --env.eligible_fraction 0.0: has no effect: "
        "--reward happy_count has no component with the role forget"
    )
    assert scheduler.asked == []


# A series

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


# Whole


@pytest.fixture
def whole(
    model_folder: Path, first_stories: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """`whole(*words)`: sweep.py over a tiny model and a few stories; its exit code. Its runs are processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    stories = tmp_path / "stories"
    stories.mkdir()
    for split, texts in first_stories.items():
        (stories / f"{split}.jsonl").write_text("".join(json.dumps({"story": text}) + "\n" for text in texts))
    settings = [
        *[
            "batch_size=8",
            "num_generations=4",
            "max_steps=2",
            "env.num_prompts=40",
            "env.num_eval_prompts=20",
            "eval.num_prompts=8",
        ],
        *["eval.final_samples=8", "sampling.max_completion_length=12", "wandb.mode=disabled", f"model={model_folder}"],
    ]
    common = ["--output_dir", str(tmp_path / "output"), "--name", "tiny", "--dataset", str(stories), "--fixed", *settings]

    return lambda *words: sweep.main([*words, *common])


def test_a_sweep_from_the_command_line_to_its_report(
    whole: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--routing.enabled", "--grid", "seed=1,2", "--jobs", "2", "--retries", "0"]
    code, printed = whole(*words), capsys.readouterr()
    assert code == 0, printed.err
    folder = tmp_path / "output" / "tiny"
    runs = json.loads((folder / "sweep.json").read_text())["runs"]
    assert len(runs) == 2
    for run in runs:
        assert [row["step"] for row in read_rows(folder / run["name"], "metrics.jsonl")] == [0, 1]
        assert "resumed" not in (folder / "logs" / f"{run['name']}.log").read_text()
        assert json.loads((folder / run["name"] / "run.json").read_text())["config_hash"] == run["config_hash"]
    summary = json.loads((folder / "summary.json").read_text())
    (entry,) = summary["configurations"]
    assert (entry["configuration"], entry["runs"]["finished"]) == ("routed", 2)
    assert [*entry["modes"]] == ["both", "retain_only", "forget_only", "base"]
    rewards = [json.loads((folder / run["name"] / "evaluation.json").read_text())["modes"]["both"]["reward"] for run in runs]
    assert entry["modes"]["both"]["reward"]["mean"] == pytest.approx(sum(rewards) / 2)
    assert (folder / "report.html").exists()
    assert "routed, samples of " in printed.out
    assert whole(*words) == 0
    assert "2 skipped" in capsys.readouterr().err


def test_a_routed_run_is_measured_against_its_ceiling(
    whole: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "ceiling.py").write_text(CEILING)
    code, printed = whole(str(tmp_path / "ceiling.py"), "--jobs", "2", "--retries", "0"), capsys.readouterr()
    assert code == 0, printed.err
    folder = tmp_path / "output" / "tiny"
    routed, ceiling = json.loads((folder / "sweep.json").read_text())["runs"]
    assert (routed["kind"], ceiling["kind"], ceiling["baseline_of"]) == ("routed", "unhackable", [routed["name"]])
    assert {row["routing/eligible"] for row in read_rows(folder / ceiling["name"], "metrics.jsonl")} == {0}
    (frontier,) = json.loads((folder / "summary.json").read_text())["frontier"]
    assert [frontier["ceiling"]["configuration"], frontier["ceiling"]["seeds"]] == ["unhackable", [1]]
    ends = [json.loads((folder / run["name"] / "evaluation.json").read_text())["modes"] for run in (routed, ceiling)]
    (routed,) = frontier["routed"]
    left = ends[0]["retain_only"]["hacked"] - ends[0]["base"]["hacked"]
    assert routed["deployed"]["by_seed"]["hack_left"] == [pytest.approx(left)]
    assert routed["deployed"]["by_seed"]["kl_to_base"] == [ends[0]["retain_only"]["kl_to_base"]]
    assert ends[1]["both"]["reward"] == pytest.approx(ends[1]["both"]["rewards/sentence_length_5"])
    assert "The ceiling is unhackable, both." in printed.out
    assert 'id="frontier"' in (folder / "report.html").read_text()


# Devices


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("0", ["0"]), ("2, 3", ["2", "3"]), ("", []), ("-1", []), ("1,-1,2", ["1"]), ("GPU-1a,MIG-2b", ["GPU-1a", "MIG-2b"])],
)
def test_visible_devices_are_those_that_there_are(monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[str]):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.gpus() == expected


@pytest.mark.parametrize(
    ("script", "expected"), [("echo 0; echo ' 1'; echo", ["0", "1"]), ("echo no driver; exit 9", []), (None, [])]
)
def test_the_driver_is_asked_for_devices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, expected: list[str]
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if script is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.gpus() == expected
