"""`sweep.py`: what its user types, sees and finds; how it ends; and one line for everything that is wrong."""

from pathlib import Path
from typing import Any

import pytest

import sweep
from configs.errors import UserError
from sweeps.backends.backend import ScheduleOptions
from sweeps.costs import Costs
from sweeps.schedule import Outcome, only_sweep_in
from tests.sweep_door import CEILING, Scheduler, refusal

ROOT = Path(sweep.__file__).parent
GRID = ["--grid", "seed=42,123,7", "beta=0.01,0.02"]
AS_WRITTEN = [
    *["--reward", "sentence_length_5", *GRID],
    *["--fixed", "lr=1e-5", "batch_size=32", "num_generations=16", "max_steps=2000", "--per_gpu", "12"],
]
NAME = "sweep_sentence_length_5_seed_beta_"


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
