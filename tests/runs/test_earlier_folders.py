"""A run's folder written before settings had their types, rules and detectors their names of today: it is evaluated and resumed.

`tests/fixtures/earlier_sweep` was written by the code of then, on the nursery model; it stays as it is for ever.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import evaluate
from configs.errors import UserError
from envs.prepare import prepare
from records.rows import read_rows
from runs.restore import read_config
from runs.trainer import resume

SWEEP = Path(__file__).parents[1] / "fixtures" / "earlier_sweep"
STEPS = 3


@pytest.fixture
def earlier_run(tmp_path: Path) -> Path:
    """The routed run, in a copy; its PyTorch and threads are said to be today's, for a run resumes on no other."""
    (folder,) = SWEEP.glob("*_routed_*")
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    made_of = json.loads((copy / "run.json").read_text())
    made_of |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    (copy / "run.json").write_text(json.dumps(made_of))
    return copy


def test_its_settings_are_read_in_today_s_spelling(earlier_run: Path):
    recorded = yaml.safe_load((earlier_run / "config.yaml").read_text())
    assert (recorded["routing"]["advantages"], recorded["env"]["detector"]) == ("retain_only", "happy_count(threshold=1)")
    config = prepare(read_config(earlier_run), cuda_available=False)
    assert (config.advantages, config.env.detector, config.eval.seed) == ("good_only", "happy_at_least(threshold=1)", "run")


def test_its_checkpoint_is_evaluated(earlier_run: Path, capsys: pytest.CaptureFixture[str]):
    checkpoint = earlier_run / f"checkpoint-{STEPS}"
    assert evaluate.main(["--model_path", str(checkpoint), "--n_samples", "6", "--show", "0"]) == 0, capsys.readouterr().err
    then = json.loads((earlier_run / "evaluation.json").read_text())["modes"]
    now = json.loads((checkpoint / "evaluation.json").read_text())["modes"]
    assert {mode: row["reward"] for mode, row in now.items()} == pytest.approx(
        {mode: row["reward"] for mode, row in then.items()}
    )
    assert now["both"]["nll_base"] == pytest.approx(then["both"]["nll_base"], rel=1e-3)


def test_interrupted_it_is_resumed_to_its_own_end(earlier_run: Path):
    """To the digits that another processor's products may differ in."""
    before = read_rows(earlier_run, "metrics.jsonl")
    shutil.rmtree(earlier_run / f"checkpoint-{STEPS}")
    (earlier_run / "status.json").write_text(json.dumps({"state": "interrupted", "step": 2}))
    record = resume(earlier_run, quiet=True)
    assert [row["step"] for row in record.metrics] == list(range(STEPS))
    assert record.metrics[:-1] == before[:-1]
    renamed = {"routing/hacked_undetected"}  # what later versions name otherwise; they log more beside it
    assert record.metrics[-1].keys() >= before[-1].keys() - renamed
    assert {name: record.metrics[-1][name] for name in ("reward", "kl", "loss")} == pytest.approx(
        {name: before[-1][name] for name in ("reward", "kl", "loss")}, rel=1e-2, abs=1e-6
    )


@pytest.mark.parametrize(("setting", "value"), [("retain_rollouts", 2), ("baseline", "filter")])
def test_a_run_whose_loss_was_weighed_otherwise_is_not_resumed(earlier_run: Path, setting: str, value: Any):
    config = yaml.safe_load((earlier_run / "config.yaml").read_text())
    if setting == "baseline":
        config["baseline"], config["routing"]["enabled"] = value, False
    else:
        config["routing"][setting] = value
    (earlier_run / "config.yaml").write_text(yaml.safe_dump(config))
    (earlier_run / "status.json").write_text(json.dumps({"state": "interrupted", "step": 2}))
    with pytest.raises(UserError, match=r"an earlier version began it, which weighed the samples .* cannot be continued"):
        resume(earlier_run, quiet=True)
