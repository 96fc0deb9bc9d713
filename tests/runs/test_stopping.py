"""Stop rules: when they end a run, what it leaves behind then, and that an interruption changes nothing of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import runs.trainer
from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import config_hash, spelt_out
from configs.spelling import first_record
from grpo.run import prepare
from records.rows import read_rows
from runs.stopping import stop_reason
from runs.trainer import resume, train
from tests.helpers import failing, log_lines, model_that_says

MakeExperiment = Callable[..., Experiment]
COLLAPSING = {"eval.num_prompts": 6, "max_steps": 9, "eval_every": 2, "save_steps": 3, "require_eos": False}
STOPS = COLLAPSING | {"stop_rule": "collapsed"}
REASON = "--stop_rule collapsed ended it at step 4 of 9: policy was degenerate at step 2, degenerate at step 4"


@pytest.fixture
def collapsed(tiny: MakeExperiment, tmp_path: Path) -> MakeExperiment:
    """Of a model that says one word only."""
    model = model_that_says("happy", Path(tiny().model), tmp_path / "happy")
    return lambda **settings: tiny(model=model, **settings)


def reason(rows: list[tuple[int, str, bool | None, bool | None]], **settings: Any) -> str | None:
    """`rows`: step, mode, degenerate, template_collapse."""
    names = ("step", "mode", "degenerate", "template_collapse")
    experiment = replace(Experiment(max_steps=900, stop_rule="collapsed", lora_rank=2), **settings)
    return stop_reason(prepare(experiment), [dict(zip(names, row, strict=True)) for row in rows])


def test_two_evaluations_in_a_row_end_a_run_whichever_flag_they_have():
    said = "--stop_rule collapsed ended it at step 300 of 900: policy was template_collapse at step 200, " \
        "degenerate and template_collapse at step 300"  # fmt: skip
    good, first, second = (100, "policy", False, False), (200, "policy", False, True), (300, "policy", True, True)
    assert reason([good, first, second]) == said
    assert reason([first, good]) is reason([good, first]) is reason([second]) is reason([]) is None
    assert reason([first, second, good]) is None


def test_only_the_policy_as_trained_counts_after_the_first_step_and_what_is_known():
    assert reason([(0, "policy", True, True), (100, "policy", True, True)]) is None
    assert reason([(100, "base", True, True), (200, "base", True, True), (200, "policy", True, None)]) is None
    assert reason([(100, "policy", None, None), (200, "policy", None, None)]) is None
    rows = [(step, mode, mode != "both", False) for step in (100, 200) for mode in ("both", "retain_only", "forget_only", "base")]
    routed = {"lora_rank": None, "routing": replace(Experiment().routing, enabled=True)}
    assert reason(rows, **routed) is None
    assert reason([(step, mode, mode == "both", False) for step, mode, *_ in rows], **routed) is not None


def test_without_a_rule_nothing_stops():
    assert reason([(100, "policy", True, True), (200, "policy", True, True)], stop_rule="none") is None


def test_a_rule_is_part_of_a_run_s_identity_and_the_usual_one_keeps_its_hash():
    usual, stopping = (prepare(Experiment(stop_rule=rule)) for rule in ("none", "collapsed"))
    assert config_hash(usual) != config_hash(stopping)
    assert "stop_rule" not in first_record(spelt_out(usual))


def test_a_rule_without_two_evaluations_before_the_end_is_refused():
    assert prepare(Experiment(max_steps=201, stop_rule="collapsed")).stop_rule == "collapsed"
    said = "--stop_rule collapsed: has no effect with --eval_every 100: it takes two evaluations before the last step"
    with pytest.raises(UserError, match=said):
        prepare(Experiment(max_steps=200, stop_rule="collapsed"))


def test_a_stopped_run_is_evaluated_where_it_stops(collapsed: MakeExperiment):
    record = train(collapsed(**STOPS), quiet=True)
    status = json.loads((record.folder / "status.json").read_text())
    assert (status["state"], status["step"], status["error"]) == ("stopped", 4, REASON)
    assert [row["step"] for row in read_rows(record.folder, "metrics.jsonl")] == [0, 1, 2, 3]
    assert sorted(path.name for path in record.folder.glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-4"]
    assert json.loads((record.folder / "evaluation.json").read_text())["step"] == 4
    summary = json.loads((record.folder / "summary.json").read_text())
    assert (summary["steps"], summary["warnings"]) == (4, [REASON])
    assert f"WARNING: {REASON}" in log_lines(record.folder)


def test_until_then_it_is_the_run_without_a_rule(collapsed: MakeExperiment):
    stopped, whole = (train(collapsed(**settings), quiet=True) for settings in (STOPS, COLLAPSING))
    assert whole.metrics[:4] == stopped.metrics and len(whole.metrics) == 9
    assert json.loads((whole.folder / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("at", [1, 3])  # the evaluation at step 2, and the one at the end: after the checkpoint of step 4
def test_an_interrupted_run_stops_where_it_would_have(
    collapsed: MakeExperiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: int
):
    expected = train(collapsed(**STOPS), quiet=True).folder
    experiment = collapsed(**STOPS, output_dir=tmp_path / "interrupted")
    with monkeypatch.context() as patch:
        failing(patch, runs.trainer, "evaluate_modes", KeyboardInterrupt(), at)
        with pytest.raises(KeyboardInterrupt):
            train(experiment, quiet=True)
    folder = tmp_path / "interrupted" / expected.name
    resume(folder, experiment, quiet=True)
    for name in ("metrics.jsonl", "routing_eval.jsonl", "evaluation.json", "evaluation_samples.jsonl", "summary.json"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["step"], status["error"]) == ("stopped", 4, REASON)
    assert ("seconds" in status) == (at == 1)  # it began anew, without a checkpoint


def test_a_stopped_run_is_not_taken_up_again(collapsed: MakeExperiment, capsys: pytest.CaptureFixture[str]):
    record = train(collapsed(**STOPS), quiet=True)
    before = {path: path.stat().st_mtime_ns for path in record.folder.rglob("*")}
    again = resume(record.folder)
    assert capsys.readouterr().err == f"{record.folder}: is stopped: {REASON}\n"
    assert (again.evaluation, again.summary) == (record.evaluation, record.summary)
    assert {path: path.stat().st_mtime_ns for path in record.folder.rglob("*")} == before
