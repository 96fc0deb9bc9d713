"""What folders tell a report: whole rows and nothing else, also of runs that are still writing."""

import json
from pathlib import Path

import pytest

from configs.errors import UserError
from records.names import kind_of
from records.reader import RunFiles, first_of_each_mode, read_run, read_sweep
from records.rows import read_rows
from tests.reports.report_runs import MADE_OF, metric_rows, mode_figures, planned, sample, write_plan, write_run, write_sweep

WANTED = ("reward", "kl", "routing/hacked")


def run_of(folder: Path):
    return read_run(folder, lambda _: WANTED)


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        run_of(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_as_its_files_tell_it(tmp_path: Path):
    modes = {"both": mode_figures(0.5, 0.25)}
    folder = write_run(tmp_path / "run", metric_rows([0.1, None, 0.3]), times=[1.5, 2.5], modes=modes)
    run = run_of(folder)
    assert run.metrics == {"step": [0, 1, 2], "reward": [0.1, None, 0.3], "kl": [0.1] * 3, "routing/hacked": [0.5] * 3}
    assert (run.name, run.kind, run.state, run.step, run.tokens, run.seed) == ("run", "routed", "finished", 3, 300, 1)
    assert run.step_times == [1.5, 2.5]
    assert run.final == {"both": modes["both"] | {"step": 3}}
    assert run.made_of == MADE_OF


@pytest.mark.parametrize("torn", ['{"step": 2, "rew', '{"step": 2, "reward": 0.5}', ""])
def test_of_a_run_in_progress_an_unfinished_last_line_is_left_out(tmp_path: Path, torn: str):
    """Its status says step 0, as when it started: the rows say how far it is."""
    folder = write_run(tmp_path / "run", metric_rows([0.1, 0.2]), state="running", step=0)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(torn)
    run = run_of(folder)
    assert run.metrics["reward"] == [0.1, 0.2]
    assert (run.state, run.step) == ("running", 2)


@pytest.mark.parametrize("state", ["finished", "failed", "interrupted"])
def test_of_every_other_run_it_is_a_damaged_row(tmp_path: Path, state: str):
    folder = write_run(tmp_path / "run", metric_rows([0.1, 0.2]), state=state)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')
    assert refusal(folder).startswith(f"{folder / 'metrics.jsonl'}:3: not a JSON row: ")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{]", "not a JSON row: "),
        ("", "not a JSON row: "),
        ("7", "not a JSON object"),
        ('{"reward": 0.1}', "step is null, not a whole number"),
        ('{"step": "two"}', 'step is "two", not a whole number'),
        ('{"step": 1, "reward": "high"}', 'reward is "high", not a number'),
        ('{"step": 1, "reward": true}', "reward is true, not a number"),
        ('{"step": 1, "reward": NaN}', "not a JSON row: NaN is not JSON"),
    ],
)
@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_damaged_row_is_named_by_file_and_line(tmp_path: Path, line: str, fault: str, state: str):
    folder = write_run(tmp_path / "run", metric_rows([0.1, 0.2, 0.3]), state=state)
    file = folder / "metrics.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], line, lines[2]]) + "\n")
    assert refusal(folder).startswith(f"{file}:2: {fault}")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("status.json", '{"state":', "status.json: cannot be read"),
        ("status.json", "[1]", "status.json: not a mapping"),
        ("status.json", '{"state": 7}', "status.json: state is 7, not a text"),
        ("config.yaml", "a: [", "config.yaml: cannot be read"),
        ("run.json", '{"device": "cpu"}', "run.json: components is null, not an object"),
        ("run.json", '{"components": ["task"]}', 'run.json: components is ["task"], not an object'),
        ("run.json", '{"components": {"task": 1}}', "run.json: components: task is 1, not a text"),
        ("evaluation.json", '{"step": 3, "modes": {"both": {"reward": "x"}}}', 'evaluation.json: both: reward is "x"'),
        ("evaluation.json", '{"step": 3, "modes": {"both": 4}}', "evaluation.json: both: not a JSON object"),
        ("timing.jsonl", '{"step": 0, "step_time": "x"}\n', 'timing.jsonl:1: step_time is "x", not a number'),
        ("routing_eval.jsonl", '{"step": 0}\n', "routing_eval.jsonl:1: mode is null, not a text"),
        ("evaluation_samples.jsonl", '{"mode": "both", "prompt": 1}\n', "evaluation_samples.jsonl:1: prompt is 1, not a text"),
    ],
)
def test_other_damaged_files_are_named(tmp_path: Path, name: str, text: str, fault: str):
    folder = write_run(tmp_path / "run", metric_rows([0.1]))
    (folder / name).write_text(text)
    assert refusal(folder).startswith(f"{folder}/{fault}")


def test_a_run_without_its_record_is_refused(tmp_path: Path):
    folder = write_run(tmp_path / "run", metric_rows([0.1]))
    (folder / "run.json").unlink()
    assert refusal(folder) == f"{folder / 'run.json'}: components is null, not an object"


def test_a_file_that_is_no_text_is_named(tmp_path: Path):
    folder = write_run(tmp_path / "run", metric_rows([0.1]))
    (folder / "metrics.jsonl").write_bytes(b"\xff\xfe")
    assert refusal(folder).startswith(f"{folder / 'metrics.jsonl'}: cannot be read: ")


def test_a_run_without_rows_has_none(tmp_path: Path):
    run = run_of(write_run(tmp_path / "run", state="running"))
    assert (run.metrics, run.step, run.tokens, run.step_times, run.final, run.samples) == ({"step": []}, 0, None, [], {}, [])


def test_samples_are_the_final_ones_or_those_of_the_last_logged_step(tmp_path: Path):
    training = [sample("one", step=0), sample("two", step=10), sample("three", step=10)]
    running = write_run(tmp_path / "running", metric_rows([0.1]), samples=training, state="running")
    assert [row["completion"] for row in run_of(running).samples] == ["two", "three"]
    finished = write_run(tmp_path / "finished", metric_rows([0.1]), samples=training, finals=[sample("end", "both")])
    assert [row["completion"] for row in run_of(finished).samples] == ["end"]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({}, "full"),
        ({"adapter": {"kind": "lora"}}, "lora"),
        ({"adapter": {"kind": "dual_lora"}}, "unrouted"),
        ({"adapter": {"kind": "dual_lora"}, "routing": {"enabled": True, "mode": "classic"}}, "routed"),
        ({"adapter": {"kind": "dual_lora"}, "routing": {"enabled": True, "mode": "none"}}, "unrouted"),
        ({"adapter": {"kind": "lora"}, "baseline": "filter"}, "filter"),
        ({"baseline": "reward_penalty"}, "reward_penalty"),
        ({"adapter": {"kind": "dual_lora"}, "env": {"eligible_fraction": 0.0}}, "unhackable"),
        ({"adapter": {"kind": "dual_lora"}, "env": {"eligible_fraction": 0.5}}, "unrouted"),
        ({"adapter": {"kind": "lora"}, "env": {"eligible_fraction": 0}}, "unhackable"),
        ({"routing": {"enabled": True, "mode": "classic"}, "env": {"eligible_fraction": 0.0}}, "routed"),
        ({"baseline": "filter", "env": {"eligible_fraction": 0.0}}, "filter"),
    ],
)
def test_the_kind_of_a_run_by_its_settings(config: dict, kind: str):
    assert kind_of(config) == kind


def test_a_sweep_has_every_planned_run_in_whatever_state(tmp_path: Path):
    seen: list[int] = []

    def track(runs: tuple):
        seen.append(len(runs))
        return runs

    sweep = read_sweep(write_sweep(tmp_path / "sweep"), WANTED, track)
    states = {run.name: (run.state, run.step) for run in sweep.runs}
    assert states == {"a1": ("finished", 4), "a2": ("finished", 4), "b1": ("finished", 4), "b2": ("running", 2),
                      "l1": ("finished", 4), "n1": ("waiting", 0)}  # fmt: skip
    assert sweep.axes == ("beta", "seed")
    assert [row["run"] for row in sweep.failures] == ["b2"]
    assert seen == [6]
    assert max(len(run.samples) for run in sweep.runs) == 10, "five of each mode are kept"


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        ({"name": "x", "axes": []}, "runs is null, not a list"),
        ({"name": "x", "axes": [], "runs": [7]}, "runs[0]: not a JSON object"),
        ({"name": "x", "axes": [], "runs": [{"name": "r", "kind": "lora", "configuration": "c"}]}, "runs[0]: values is null"),
    ],
)
def test_a_plan_that_is_none_is_refused(tmp_path: Path, plan: dict, fault: str):
    (tmp_path / "sweep.json").write_text(json.dumps(plan))
    with pytest.raises(UserError) as error:
        read_sweep(tmp_path, WANTED, iter)
    assert str(error.value).startswith(f"{tmp_path / 'sweep.json'}") and fault in str(error.value)


def test_damage_in_one_run_of_a_sweep_names_its_file(tmp_path: Path):
    write_plan(tmp_path, ["seed"], [planned("r", "c", seed=1)])
    write_run(tmp_path / "r", metric_rows([0.1, 0.2]))
    (tmp_path / "r" / "timing.jsonl").write_text("x\n")
    with pytest.raises(UserError, match=r"r/timing.jsonl:1: not a JSON row"):
        read_sweep(tmp_path, WANTED, iter)


def test_the_first_of_each_mode_keep_their_order():
    rows = [sample(f"{mode} {i}", mode) for i in range(3) for mode in ("both", "base")]
    kept = [row["completion"] for row in first_of_each_mode(rows, 2)]
    assert kept == ["both 0", "base 0", "both 1", "base 1"]


def test_a_file_that_is_not_there_has_no_rows(tmp_path: Path):
    assert read_rows(tmp_path, "metrics.jsonl") == []


@pytest.mark.parametrize(
    ("state", "phase", "doing"),
    [
        ("running", "loading", "loading"),
        ("running", None, "running"),
        ("stopped", "evaluating", "stopped"),
        ("finished", None, "finished"),
    ],
)
def test_what_a_run_is_doing(state: str, phase: str | None, doing: str):
    assert RunFiles("a", "full", "full", {}, state=state, phase=phase).doing == doing
