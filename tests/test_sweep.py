"""`sweep.py`: what its user types, sees and finds; how it ends; and one line for everything that is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sweep
from configs.errors import UserError
from configs.experiment import Experiment, GRPOSettings
from envs.prepare import prepare
from records.rows import read_rows
from sweeps.backends import devices
from sweeps.backends.backend import ScheduleOptions
from sweeps.dry_run import StepTime, measured_step_time
from sweeps.plan import Plan, PlannedRun
from sweeps.schedule import Outcome, only_sweep_in

ROOT = Path(sweep.__file__).parent
GRID = ["--grid", "seed=42,123,7", "beta=0.01,0.02"]
AS_WRITTEN = [
    *["--reward", "sentence_length_5", *GRID],
    *["--fixed", "lr=1e-5", "batch_size=32", "num_generations=16", "max_steps=2000", "--per_gpu", "12"],
]
NAME = "sweep_sentence_length_5_seed_beta_"


class Scheduler:
    """Stands for `run_plan`: remembers what it was asked for, and runs nothing."""

    def __init__(self) -> None:
        self.outcome: Outcome | BaseException = Outcome(0, 0, 0, 0)
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
    monkeypatch.setattr(sweep, "measured_step_time", lambda *_, **__: StepTime(0.1, "a test"))
    assert sweep.main([*AS_WRITTEN, "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert "6 runs: 6 on GPU 0, 1, 12 at once on each" in printed
    assert "about 3 min for 6 runs" in printed  # no shorter than one of them: 2,000 steps of 0.1 s


def test_options_of_the_schedule_arrive(scheduler: Scheduler):
    words = [*GRID, "--jobs", "3", "--retries", "0", "--name", "mine", "--output_dir", "here"]
    assert sweep.main(words) == 0
    ((plan, options),) = scheduler.asked
    assert options == ScheduleOptions("local", None, 3, 1, None, 0)
    assert plan.folder == Path("here/mine")
    assert sweep.main(["--backend", "ray", "--address", "host:1", *GRID]) == 0
    assert scheduler.asked[1][1] == ScheduleOptions("ray", "host:1", None, 1, None, 1)


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


# A dry run


def lay_down(folder: Path, config: str, seconds: list[float]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    rows = [{"step": i, "step_time": second} for i, second in enumerate(seconds)]
    (folder / "timing.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def measured(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> list[str]:  # noqa: ARG001
    """Names of the runs that were measured, at 0.5 s a step."""
    names: list[str] = []

    def measure(run: Any, launch: Path, threads: int) -> StepTime:
        assert launch == ROOT / "launch.py"
        assert threads >= 1
        names.append(run.name)
        return StepTime(0.5, "a measurement")

    monkeypatch.setattr(sweep, "measured_step_time", measure)
    return names


def test_a_dry_run_lists_the_runs_and_writes_nothing(measured: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--routing.enabled", "--grid", "seed=1,2", "--baselines", "--jobs", "2", "--max_steps", "600", "--dry_run"]
    assert sweep.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [*tmp_path.iterdir()] == []
    assert lines[0].split() == ["run", "kind", "configuration", "device", "state"]
    first = "happy_binary_routed_duallora4x4_lr3e-4_beta0.02_bs32_s1_max_steps600"
    assert lines[1].split() == [first, "routed", "routed", "advantages=good_only", "cpu", "to", "run"]
    assert [line.split()[1] for line in lines[1:15]] == [
        kind for kind in ("routed", "unrouted", "unrouted", "routed", "lora", "filter", "reward_penalty") for _ in range(2)
    ]
    assert len({line.index(" cpu ") for line in lines[1:15]}) == 1
    assert lines[16].startswith("output/sweep_happy_binary_seed_")
    assert lines[17:] == [
        "14 runs: 14 on the CPU, 2 at once",
        "about 35 min for 14 runs, evaluations not counted:",  # 14 runs of 600 steps of 0.5 s, two at once
        "  0.5 s a step, the median of a measurement",
        "  10 runs of another kind (filter, lora, reward_penalty, unrouted): taken as the first",
    ]
    assert measured == [first]


def test_step_times_come_from_runs_of_the_same_kind(measured: list[str], capsys: pytest.CaptureFixture[str]):
    assert sweep.main(["--grid", "seed=1,2", "--name", "mine", "--max_steps", "600"]) == 0
    (file, _) = sorted(Path("output/mine/configs").iterdir())
    like = file.read_text()
    lay_down(Path("output/slow"), like, [100.0, 100.0, 2.0, 1.0, 9.0])
    lay_down(Path("output/routed"), like.replace("enabled: false", "enabled: true"), [77.0])
    lay_down(Path("output/short"), like.replace("max_completion_length: 128", "max_completion_length: 9"), [77.0])
    lay_down(Path("output/gpu"), like.replace("device: cpu", "device: cuda:1"), [77.0])
    lay_down(Path("output/broken"), "{", [77.0])
    lay_down(Path("output/empty"), like, [])
    capsys.readouterr()
    words = ["--grid", "seed=1,2", "--name", "mine", "--max_steps", "600", "--jobs", "1", "--dry_run"]
    assert sweep.main(words) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "about 40 min for 2 runs, evaluations not counted:",
        "  2 s a step, the median of output/slow",
    ]
    lay_down(Path("output/mine") / "another", like, [3.0])  # of the sweep's own folder
    assert sweep.main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  3 s a step, the median of output/mine/another"
    assert measured == []


def test_what_is_finished_is_not_counted(scheduler: Scheduler, measured: list[str], capsys: pytest.CaptureFixture[str]):
    words = ["--grid", "seed=1,2", "--name", "mine", "--max_steps", "600"]
    assert sweep.main(words) == 0
    plan = scheduler.asked[0][0]
    for run in plan.runs:
        folder = plan.folder / run.name
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"config_hash": run.config_hash}))
        (folder / "status.json").write_text(json.dumps({"state": "finished", "step": 600}))
        capsys.readouterr()
        assert sweep.main([*words, "--dry_run"]) == 0
        lines = capsys.readouterr().out.splitlines()
        if run is plan.runs[0]:
            assert [line.split()[4:] for line in lines[1:3]] == [["finished"], ["to", "run"]]
            assert "about 5 min for 1 runs, evaluations not counted:" in lines
        else:
            assert lines[-1] == "nothing is left to run"
    assert measured == [plan.runs[1].name]


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


@pytest.mark.slow
def test_a_dry_run_measures_a_run_s_steps(whole: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, printed = whole("--routing.enabled", "--grid", "seed=1,2", "--dry_run"), capsys.readouterr()
    assert code == 0, printed.err
    assert not (tmp_path / "output").exists()
    assert " s a step, the median of 3 steps of happy_binary_routed_duallora4x4_lr3e-4_beta0.02_bs8_s1_" in printed.out


LAUNCH = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from configs.cli import ExperimentOptions, parse_with_config
e = parse_with_config(ExperimentOptions, sys.argv[1:], "", "")[0].experiment
assert (e.max_steps, e.eval.final_samples, e.seed, e.wandb.mode, e.grpo.warmup_steps) == (3, 0, 9, "disabled", 0)
assert os.environ["OMP_NUM_THREADS"] == "2"
{fails}
folder = e.output_dir / "run"
folder.mkdir(parents=True)
(folder / "timing.jsonl").write_text("".join(json.dumps({{"step_time": t}}) + "\\n" for t in (5.0, 1.0, 0.25)))
"""


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        ("", StepTime(0.25, "3 steps of mine, measured now")),
        ("print('some', 'error: no room', sep=chr(10), file=sys.stderr); sys.exit(2)", "error: no room"),
    ],
)
def test_a_measurement_is_of_three_steps(tmp_path: Path, fails: str, expected: StepTime | str):
    script = tmp_path / "launch.py"
    script.write_text(LAUNCH.format(root=str(ROOT), fails=fails))
    experiment = Experiment(seed=9, max_steps=500, grpo=GRPOSettings(warmup_steps=50), output_dir=tmp_path / "output")
    run = PlannedRun("mine", "0", prepare(experiment, cuda_available=False), "full", "full", {})
    assert measured_step_time(run, script, threads=2) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["launch.py"]


def test_an_estimate_that_can_not_be_made_is_no_mistake(
    scheduler: Scheduler,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(sweep, "measured_step_time", lambda *_, **__: "error: no room")
    assert sweep.main(["--grid", "seed=1", "--dry_run"]) == 0
    said = "no estimate: three steps of happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s1 could not be measured: error: no room"
    assert capsys.readouterr().out.splitlines()[-1] == said


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
