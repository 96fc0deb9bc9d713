"""A plan of runs that take no time: `fake_launch.py` stands for launch.py and does as a run's YAML file says."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from configs.experiment import Experiment
from envs.prepare import prepare
from sweeps.plan import Plan, PlannedRun

FAKE_LAUNCH = '''
"""launch.py as a sweep sees it: its arguments, files, signals and exit codes. A step takes `pause` seconds."""
import json, os, signal, subprocess, sys, time
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

config = yaml.safe_load(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
folder = Path(config["output_dir"]) / config["name"]
if folder.exists() != ("--resume" in sys.argv):
    print("error: --resume, or its absence, is wrong", file=sys.stderr)
    sys.exit(2)
folder.mkdir(exist_ok=True)
lock = FileLock(folder / ".lock")
try:
    lock.acquire(blocking=False)
except Timeout:
    print(f"error: {folder}: is being trained by another process", file=sys.stderr)
    sys.exit(2)


def write(name, value):
    (folder / (name + ".tmp")).write_text(json.dumps(value))
    (folder / (name + ".tmp")).replace(folder / name)


def append(name, row):
    with (folder / name).open("a") as file:
        file.write(json.dumps(row) + "\\n")


append("starts", {"pid": os.getpid(), "env": dict(os.environ), "cwd": str(Path.cwd())})
starts = len((folder / "starts").read_text().splitlines())
if config.get("grandchild"):
    append("grandchildren", subprocess.Popen(["sleep", "300"]).pid)
asked = []
signal.signal(signal.SIGINT, signal.SIG_IGN if config.get("deaf") else lambda *_: asked.append(1))
write("run.json", {"config_hash": config["hash"]})
step = len((folder / "metrics.jsonl").read_text().splitlines()) if (folder / "metrics.jsonl").exists() else 0
write("status.json", {"state": "running", "step": step})
write("config.yaml", config)
while step < config["steps"]:
    time.sleep(config["pause"])
    append("metrics.jsonl", {"step": step, "reward": 0.5, "kl": 0.01, "routing/hacked": 0.25})
    append("timing.jsonl", {"step": step, "step_time": config["pause"], "tokens_per_second": 100})
    step += 1
    codes = config.get("exits", [])
    if starts <= len(codes) and codes[starts - 1]:
        print(f"went wrong at step {step}", flush=True)
        if codes[starts - 1] < 0:
            os.kill(os.getpid(), -codes[starts - 1])
        write("status.json", {"state": "failed", "step": step, "error": config.get("error")})
        sys.exit(codes[starts - 1])
    if asked:
        write("status.json", {"state": "interrupted", "step": step})
        sys.exit(130)
write("status.json", {"state": config.get("ends", "finished"), "step": step})
print("done")
'''


def fake_script(folder: Path) -> Path:
    script = folder / "fake_launch.py"
    script.write_text(FAKE_LAUNCH)
    return script


def fake_plan(folder: Path, runs: dict[str, dict[str, Any]], device: str = "cpu") -> Plan:
    """`runs`: behaviour by name: steps, pause, exits (a code for each start, 0 to go on), error, deaf, grandchild, ends."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    planned = []
    for name, behaviour in runs.items():
        settings = {"output_dir": str(folder), "name": name, "hash": f"hash of {name}", "steps": 2, "pause": 0.02} | behaviour
        (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump(settings))
        asked = Experiment(max_steps=settings["steps"], device=device, output_dir=folder)
        experiment = prepare(asked, cuda_available=device != "cpu")
        planned.append(PlannedRun(name, settings["hash"], experiment, "full", name, {}))
    return Plan("demo", folder, (), tuple(planned))


def rows(path: Path) -> list[Any]:
    """Of a jsonl file; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def state(run: Path) -> str:
    return json.loads((run / "status.json").read_text())["state"]


def pids(sweep: Path) -> list[int]:
    """Of all processes that the runs of a sweep have had."""
    own = [row["pid"] for file in sorted(sweep.glob("*/starts")) for row in rows(file)]
    return own + [pid for file in sorted(sweep.glob("*/grandchildren")) for pid in rows(file)]


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Long, for machines that are busy: only what goes wrong waits to the end."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    """Ended; its parent may not have taken note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
