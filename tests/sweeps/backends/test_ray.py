"""On a cluster of two nodes on this machine; the runs are fake."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.errors import UserError
from records import signals
from sweeps import jobs
from sweeps.backends import ray as ray_backend
from sweeps.backends.backend import ScheduleOptions
from sweeps.backends.child import GRACE
from sweeps.schedule import Outcome, run_plan
from tests.sweeps.fake_runs import fake_plan, fake_script, is_gone, pids, rows, state, wait_for

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
NOTICE = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 3}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node and another, `node`, with room for one run each."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ray_backend.QUIET | {"RAY_USAGE_STATS_ENABLED": "0"}).items():
            patch.setenv(name, value)
        cluster_utils = pytest.importorskip("ray.cluster_utils")
        started = cluster_utils.Cluster(initialize_head=True, head_node_args=NODE | {"_system_config": NOTICE})
        started.node = started.add_node(**NODE)
        yield started
        started.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A sweep's; none of its processes is left in the end."""
    yield tmp_path / "sweep"
    wait_for(lambda: all(map(is_gone, pids(tmp_path / "sweep"))))


def meanwhile(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def under_way(folder: Path) -> list[str]:
    return [file.parent.name for file in folder.glob("*/metrics.jsonl")]


def test_stopped_once_runs_write_their_checkpoints_and_stopped_twice_they_are_killed(
    folder: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
):
    """Even one that does not listen, and what it started; one is still in Ray's queue."""
    monkeypatch.setattr(ray_backend, "ENVIRONMENT", ray_backend.ENVIRONMENT | {GRACE: "0.5"})
    # Neither may end before both are under way, and Ray may take a minute to start its second worker.
    plan = fake_plan(folder, {"a": {"steps": 50_000}, "b": {"steps": 50_000, "deaf": True, "grandchild": True}, "c": {}})

    def stop() -> None:
        wait_for(lambda: len(under_way(folder)) == 2, seconds=300)
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: state(folder / "a") == "interrupted")
        time.sleep(signals.SAME)
        os.kill(os.getpid(), signal.SIGINT)

    stopper = meanwhile(stop)
    outcome = run_plan(plan, ScheduleOptions("ray", cluster.address), fake_script(folder.parent))
    stopper.join()
    assert outcome == Outcome(finished=0, skipped=0, failed=0, interrupted=3, is_stopped=True)
    assert [state(folder / name) for name in "ab"] == ["interrupted", "running"]
    assert not (folder / "c").exists()
    assert rows(folder / "failures.jsonl") == []
    assert len(pids(folder)) == 3
    wait_for(lambda: all(map(is_gone, pids(folder))), seconds=25.0)  # less than the usual time of grace


def test_runs_of_a_node_that_dies_go_on_elsewhere(folder: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "BUSY_PAUSE", 0.2)
    plan = fake_plan(folder, {name: {"steps": 20, "pause": 0.1} for name in "abc"} | {"d": {"exits": [1]}})

    def kill_the_node() -> None:
        wait_for(lambda: len(under_way(folder)) == 2, seconds=300)
        cluster.remove_node(cluster.node, allow_graceful=False)

    killer = meanwhile(kill_the_node)
    outcome = run_plan(plan, ScheduleOptions("ray", cluster.address, retries=1), fake_script(folder.parent))
    killer.join()
    assert outcome == Outcome(finished=4, skipped=0, failed=0, interrupted=0)
    starts = {name: rows(folder / name / "starts") for name in "abcd"}
    moved = [name for name in "abc" if len({row["env"]["RAY_RAYLET_PID"] for row in starts[name]}) == 2]
    assert len(moved) == 1
    log = (folder / "logs" / f"{moved[0]}.log").read_text()
    assert [line.endswith("--resume") for line in log.splitlines() if line.startswith("===")] == [False, True]
    assert [row["step"] for row in rows(folder / moved[0] / "metrics.jsonl")] == [*range(20)]
    failures = rows(folder / "failures.jsonl")  # a node's death is no failure of the run
    assert [(row["run"], row["attempt"], row["exit_code"]) for row in failures] == [("d", 1, 1)]
    assert all(row["env"]["OMP_NUM_THREADS"] == "1" for row in starts["a"])


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense"])
def test_where_no_cluster_is_it_says_how_to_start_one(folder: Path, address: str):
    with pytest.raises(UserError, match=rf"--address {address}: no Ray cluster was reached; `ray start --head` starts one"):
        run_plan(fake_plan(folder, {"a": {}}), ScheduleOptions("ray", address))
    assert not (folder / "a").exists()


def test_without_ray_it_says_how_to_install_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="uv sync --extra ray"):
        run_plan(fake_plan(folder, {"a": {}}), ScheduleOptions("ray"))
