"""`sweep.py --dry_run`: the runs, where they would go, and how long they would take, by hand-made folders and measurements."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sweep
from configs.experiment import EvaluationSettings, Experiment, GRPOSettings
from envs.prepare import prepare
from sweeps.costs import Costs
from sweeps.dry_run import measured_costs
from sweeps.plan import PlannedRun
from sweeps.schedule import Outcome

ROOT = Path(sweep.__file__).parent
SPENT = {"loading": 15.0, "rehearsing": 5.0, "training": 500.0, "evaluating": 22.8}
# Of a full fine-tuning of 600 steps: 5 evaluations of 64 completions and one of 1,000.
COMPLETIONS = 5 * 64 + 1_000


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """In an empty directory, without a GPU and nothing run: names of the runs that were measured."""
    names: list[str] = []

    def measure(run: Any, launch: Path, threads: int, at_once: int) -> Costs:
        assert launch == ROOT / "launch.py"
        assert threads >= 1 and at_once >= 1
        names.append(run.name)
        return Costs(20.0, 0.5, 0.01, "a measurement")

    monkeypatch.setattr(sweep, "measured_costs", measure)
    monkeypatch.setattr(sweep, "run_plan", lambda *_: Outcome(0, 0, 0, 0))
    monkeypatch.setattr(sweep, "gpus", list)
    monkeypatch.chdir(tmp_path)
    return names


def lay_down(
    folder: Path,
    config: str,
    seconds: list[float],
    spent: dict[str, float] | None = SPENT,
) -> None:
    """A finished run of steps that took so long, with an evaluation of 1,140 samples, and of the base."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    rows = {
        "timing.jsonl": [{"step": i, "step_time": second} for i, second in enumerate(seconds)],
        "routing_eval.jsonl": [{"step": 0, "mode": "base", "samples": 64}, {"step": 9, "mode": "policy", "samples": 1140}],
    }
    for name, each in rows.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in each))
    (folder / "status.json").write_text(json.dumps({"state": "finished", "step": 9} | ({"seconds": spent} if spent else {})))


def test_a_dry_run_lists_the_runs_and_writes_nothing(measured: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--routing.enabled", "--grid", "seed=1,2", "--baselines", "--jobs", "2", "--max_steps", "600", "--dry_run"]
    assert sweep.main(words) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    left_out = "a reward has no component with the role forget that could be left unpaid"
    assert printed.err.splitlines()[0] == f"--baselines: unhackable is left out: {left_out}"
    assert [*tmp_path.iterdir()] == []
    assert lines[0].split() == ["run", "kind", "configuration", "device", "state"]
    first = "happy_binary_routed_duallora4x4_lr1e-3_beta0.02_bs32_s1_max_steps600"
    assert lines[1].split() == [first, "routed", "routed", "advantages=good_only", "cpu", "to", "run"]
    assert [line.split()[1] for line in lines[1:15]] == [
        kind for kind in ("routed", "unrouted", "unrouted", "routed", "lora", "filter", "reward_penalty") for _ in range(2)
    ]
    assert len({line.index(" cpu ") for line in lines[1:15]}) == 1
    assert lines[16].startswith("output/sweep_happy_binary_seed_")
    # By hand: 12 runs with two adapters take 20 + 300 + 3 x 13.2 = 359.6 s, 2 with one 20 + 300 + 13.2 = 333.2 s; two at once.
    assert lines[17:] == [
        "14 runs: 14 on the CPU, 2 at once",
        "about 42 min for 14 runs, starts and evaluations counted:",
        "  20 s to start, 0.5 s a step, 10 ms a completion of an evaluation: a measurement",
        "  10 runs of another kind (filter, lora, reward_penalty, unrouted): taken as the first",
    ]
    assert measured == [first]


def test_costs_come_from_finished_runs_of_the_same_kind(measured: list[str], capsys: pytest.CaptureFixture[str]):
    assert sweep.main(["--grid", "seed=1,2", "--name", "mine", "--max_steps", "600"]) == 0
    (file, _) = sorted(Path("output/mine/configs").iterdir())
    like = file.read_text()
    lay_down(Path("output/slow"), like, [100.0, 100.0, 2.0, 1.0, 9.0])
    lay_down(Path("output/routed"), like.replace("enabled: false", "enabled: true"), [77.0])
    lay_down(Path("output/short"), like.replace("max_completion_length: 128", "max_completion_length: 9"), [77.0])
    lay_down(Path("output/gpu"), like.replace("device: cpu", "device: cuda:1"), [77.0])
    lay_down(Path("output/interrupted"), like, [77.0], spent=None)
    lay_down(Path("output/broken"), "{", [77.0])
    lay_down(Path("output/empty"), like, [])
    capsys.readouterr()
    words = ["--grid", "seed=1,2", "--name", "mine", "--max_steps", "600", "--jobs", "1", "--dry_run"]
    assert sweep.main(words) == 0
    # A run: 20 s, 600 x 2 s, and 1,320 completions of 22.8 / 1,140 = 0.02 s: 1,246.4 s; two of them one after the other.
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "about 42 min for 2 runs, starts and evaluations counted:",
        "  20 s to start, 2 s a step, 20 ms a completion of an evaluation: output/slow",
    ]
    lay_down(Path("output/mine") / "another", like, [3.0] * 100)  # of the sweep's own folder: 500 s of training in 100 steps
    assert sweep.main(words) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1].endswith(" 5 s a step, 20 ms a completion of an evaluation: output/mine/another")
    )
    assert measured == []


def test_what_is_finished_is_not_counted(measured: list[str], capsys: pytest.CaptureFixture[str]):
    words = ["--grid", "seed=1..2", "--name", "mine", "--max_steps", "600"]
    assert sweep.main(words) == 0
    folder = Path("output/mine")
    runs = json.loads((folder / "sweep.json").read_text())["runs"]
    for run, state in zip(runs, ("finished", "stopped"), strict=True):
        (folder / run["name"]).mkdir()
        (folder / run["name"] / "run.json").write_text(json.dumps({"config_hash": run["config_hash"]}))
        (folder / run["name"] / "status.json").write_text(json.dumps({"state": state, "step": 600}))
        capsys.readouterr()
        assert sweep.main([*words, "--dry_run"]) == 0
        lines = capsys.readouterr().out.splitlines()
        if run is runs[0]:
            assert [line.split()[4:] for line in lines[1:3]] == [["finished"], ["to", "run"]]
            assert "about 6 min for 1 runs, starts and evaluations counted:" in lines  # 20 + 300 + 13.2 s
        else:
            assert lines[-1] == "nothing is left to run"
    assert measured == [runs[1]["name"]]


def test_of_an_interrupted_run_the_rest_is_counted(measured: list[str], capsys: pytest.CaptureFixture[str]):
    words = ["--grid", "seed=1", "--name", "mine", "--max_steps", "600"]
    assert sweep.main(words) == 0
    (run,) = json.loads(Path("output/mine/sweep.json").read_text())["runs"]
    folder = Path("output/mine") / run["name"]
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"config_hash": run["config_hash"]}))
    (folder / "status.json").write_text(json.dumps({"state": "interrupted", "step": 500}))
    capsys.readouterr()
    assert sweep.main([*words, "--dry_run"]) == 0
    assert "about 80 s for 1 runs" in capsys.readouterr().out  # 20 s, 100 x 0.5 s and 1,000 x 10 ms
    assert measured == [run["name"]]


# A series

SERIES = """
from configs.experiment import Experiment, RoutingSettings
from configs.sweep import Series, Sweep
routed = Experiment(max_steps=600, routing=RoutingSettings(enabled=True))
two, one = Sweep(routed, seeds=[1, 2]), Sweep(routed, arms={"a": {"lr": 1e-3}})
series = Series({"two": two, "one": one, "full": Sweep(Experiment(max_steps=600))})
"""


def test_a_series_is_listed_sweep_by_sweep_with_the_whole_time(
    measured: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    Path("series.py").write_text(SERIES)
    assert sweep.main(["series.py", "--jobs", "1", "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [*tmp_path.iterdir()] == [tmp_path / "series.py"]
    assert [line for line in lines if line.startswith("sweep ")] == [
        "sweep 1 of 3: two",
        "sweep 2 of 3: one",
        "sweep 3 of 3: full",
    ]
    assert [line for line in lines if line.startswith("output/")] == [f"output/series/{name}" for name in ("two", "one", "full")]
    # By hand: a routed run 359.6 s, as above, the other 333.2 s: 3 x 359.6 + 333.2 = 1,412 s. A run of each kind was measured.
    assert lines[-1] == "all 3 sweeps: about 24 min"
    assert len(measured) == 2


def test_of_a_series_what_can_not_be_estimated_is_said(
    measured: list[str],  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    Path("series.py").write_text(SERIES)
    costs = Costs(20.0, 0.5, 0.01, "a measurement")
    monkeypatch.setattr(sweep, "measured_costs", lambda run, *_: "no room" if run.kind == "full" else costs)
    assert sweep.main(["series.py", "--jobs", "1", "--dry_run"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "all 3 sweeps: at least 18 min; there is no estimate of full"  # 1,079 s
    monkeypatch.setattr(sweep, "measured_costs", lambda *_: "no room")
    assert sweep.main(["series.py", "--dry_run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all 3 sweeps: there is no estimate of two, one, full"


# Measuring

LAUNCH = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from configs.cli import ExperimentOptions, parse_with_config
e = parse_with_config(ExperimentOptions, sys.argv[1:], "", "")[0].experiment
assert (e.max_steps, e.eval.final_samples, e.seed, e.wandb.mode, e.grpo.warmup_steps) == (3, {samples}, 9, "disabled", 0)
assert e.eval.relearn_steps == 0
assert e.stop_rule == "none" and os.environ["OMP_NUM_THREADS"] == "2"
{fails}
folder = e.output_dir / "run"
folder.mkdir(parents=True)
(folder / "timing.jsonl").write_text("".join(json.dumps({{"step_time": t}}) + "\\n" for t in (5.0, 1.0, 0.25)))
rows = [{{"step": 3, "mode": mode, "samples": 5}} for mode in ("policy", "base")]
(folder / "routing_eval.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
seconds = {{"loading": 9, "training": 8, "evaluating": 2}}
(folder / "status.json").write_text(json.dumps({{"state": "finished", "seconds": seconds}}))
"""
MEASURED = Costs(9, 0.25, 0.2, "3 steps and an evaluation of mine, measured now")


@pytest.mark.parametrize(
    ("fails", "final", "samples", "expected"),
    [
        ("", 1_000, 128, MEASURED),
        ("", 20, 20, MEASURED),
        ("", 0, 7, MEASURED),
        ("print('some', 'error: no room', sep=chr(10), file=sys.stderr); sys.exit(2)", 0, 7, "error: no room"),
    ],
)
def test_a_measurement_is_of_three_steps_and_a_small_evaluation(
    tmp_path: Path, fails: str, final: int, samples: int, expected: Costs | str
):
    script = tmp_path / "launch.py"
    script.write_text(LAUNCH.format(root=str(ROOT), fails=fails, samples=samples))
    grpo, evaluation = GRPOSettings(warmup_steps=50), EvaluationSettings(num_prompts=7, final_samples=final, relearn_steps=9)
    experiment = Experiment(seed=9, max_steps=500, stop_rule="collapsed", grpo=grpo, eval=evaluation, output_dir=tmp_path / "out")
    run = PlannedRun("mine", "0", prepare(experiment, cuda_available=False), "full", "full", {})
    assert measured_costs(run, script, threads=2, at_once=2) == expected
    assert not (tmp_path / "out").exists()


def test_an_estimate_that_can_not_be_made_is_no_mistake(
    measured: list[str],  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(sweep, "measured_costs", lambda *_: "error: no room")
    assert sweep.main(["--grid", "seed=1", "--dry_run"]) == 0
    said = "no estimate: happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s1 could not be measured: error: no room"
    assert capsys.readouterr().out.splitlines()[-1] == said


@pytest.mark.slow
def test_a_dry_run_measures_a_run(tiny_words: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = tiny_words("--routing.enabled", "--grid", "seed=1..2", "--dry_run", "--output_dir", str(tmp_path / "output"))
    code, printed = sweep.main(words), capsys.readouterr()
    assert code == 0, printed.err
    assert not (tmp_path / "output").exists()
    assert "3 steps and an evaluation of happy_binary_routed_duallora4x4_lr1e-3_beta0.02_bs8_s1_" in printed.out
