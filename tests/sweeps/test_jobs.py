"""What a run's folder says before a sweep starts it."""

import json
from pathlib import Path

from sweeps.jobs import state_before
from tests.sweeps.fake_runs import fake_plan


def test_a_run_that_was_killed_while_it_was_loaded_is_left_to_launch(tmp_path: Path):
    """It has no run.json yet, and so no hash to compare."""
    plan = fake_plan(tmp_path / "sweep", {"a": {}})
    (run,) = plan.runs
    folder = plan.folder / run.name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("reward: happy_binary\n")
    (folder / "status.json").write_text(json.dumps({"state": "running", "step": 0, "phase": "loading"}))
    assert state_before(plan, run) == "waiting"
