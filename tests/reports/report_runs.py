"""Folders of runs and of a sweep with numbers that a test can work out by hand; nothing is trained."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Rows = Sequence[Mapping[str, Any]]
CONFIG = {
    "reward": "task_with_hack",
    "seed": 1,
    "max_steps": 4,
    "beta": 0.01,
    "baseline": "none",
    "routing": {"enabled": True, "mode": "classic"},
    "adapter": {"kind": "dual_lora"},
}
MADE_OF = {
    "config_hash": "0123456789ab",
    "components": {"task": "retain", "hack": "forget"},
    "torch": "2.8.0",
    "device": "cpu",
    "threads": 1,
}
FIGURES = {"samples": 10, "unique": 1.0, "degenerate": False, "template_collapse": False}


def metric_rows(rewards: Sequence[float | None], hacked: float | None = 0.5, kl: float = 0.1) -> list[dict[str, Any]]:
    """One row a step; `num_tokens` grows by 100."""
    rest = {"routing/hacked": hacked, "kl": kl}
    return [{"step": i, "num_tokens": 100 * (i + 1), "reward": value} | rest for i, value in enumerate(rewards)]


def mode_figures(reward: float, hacked: float | None, **more: Any) -> dict[str, Any]:
    return FIGURES | {"reward": reward, "hacked": hacked} | more


def sample(text: str, mode: str | None = None, step: int | None = None, **more: Any) -> dict[str, Any]:
    where = {"mode": mode} if mode else {"step": step}
    row = {"prompt_index": 7, "prompt": "the cat", "completion": text, "reward": 0.5, "components": {}, "hacked": False}
    return where | row | more


def write_rows(file: Path, rows: Rows) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_run(
    folder: Path,
    metrics: Rows = (),
    *,
    state: str = "finished",
    config: Mapping[str, Any] | None = None,
    made_of: Mapping[str, Any] = MADE_OF,
    times: Sequence[float] = (),
    evaluations: Rows = (),
    modes: Mapping[str, Any] | None = None,
    samples: Rows = (),
    finals: Rows = (),
    **status: Any,
) -> Path:
    """A run's folder with the files that there is something for."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | dict(config or {}), sort_keys=False))
    (folder / "run.json").write_text(json.dumps(dict(made_of)))
    (folder / "status.json").write_text(json.dumps({"state": state, "step": len(metrics)} | status))
    timing = [{"step": i, "step_time": seconds} for i, seconds in enumerate(times)]
    files = {"metrics": metrics, "timing": timing, "routing_eval": evaluations, "samples": samples, "evaluation_samples": finals}
    for name, rows in files.items():
        if rows:
            write_rows(folder / f"{name}.jsonl", rows)
    if modes is not None:
        (folder / "evaluation.json").write_text(json.dumps({"step": len(metrics), "modes": modes}))
    return folder


def planned(name: str, configuration: str, kind: str = "routed", **values: Any) -> dict[str, Any]:
    return {
        "name": name,
        "config_hash": MADE_OF["config_hash"],
        "kind": kind,
        "configuration": configuration,
        "values": values,
        "baseline_of": [],
    }


def write_plan(folder: Path, axes: Sequence[str], runs: Rows, failures: Rows = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps({"name": "betas", "axes": list(axes), "runs": list(runs)}))
    if failures:
        write_rows(folder / "failures.jsonl", failures)
    return folder


def write_sweep(folder: Path) -> Path:
    """Two betas with two seeds each, a LoRA as their baseline, and a run that has not started.

    beta 0.01: rewards 0.1, 0.2, 0.3, 0.4 with seed 1 and 0.3, 0.4, 0.5, 0.6 with seed 2; hack rates 0.2 and 0.4.
    beta 0.02: 0.5 and 0.7 at every step; the second run is still running, after 2 steps. The LoRA: 0.9 at every step.
    """
    courses = {"a1": [0.1, 0.2, 0.3, 0.4], "a2": [0.3, 0.4, 0.5, 0.6], "b1": [0.5] * 4}
    for i, (name, rewards) in enumerate(courses.items()):
        beta, seed = (0.01 if name[0] == "a" else 0.02), int(name[1])
        write_run(
            folder / name,
            metric_rows(rewards, hacked=0.2 * (i + 1), kl=0.1),
            config={"seed": seed, "beta": beta},
            times=[1.0, 2.0, 3.0, 4.0],
            evaluations=[
                {"step": step, "mode": mode}
                | mode_figures(rewards[-1] - 0.1 * k, 0.1 * (i + 1), kl_to_base=0.05 * (3 - k) * (i + 1))
                for step in (2, 4)
                for k, mode in enumerate(("both", "retain_only", "forget_only", "base"))
            ],
            modes={
                mode: mode_figures(rewards[-1] - 0.1 * k, 0.2 * (i + 1) - 0.05 * k, **{"rewards/task": 0.8 - 0.1 * k - 0.1 * i})
                for k, mode in enumerate(("both", "retain_only", "forget_only", "base"))
            },
            finals=[sample(f"{name} {mode} says", mode) for mode in ("both", "retain_only") for _ in range(8)],
        )
    write_run(
        folder / "b2",
        metric_rows([0.7, 0.7], hacked=0.8),
        state="running",
        config={"seed": 2, "beta": 0.02},
        times=[10.0, 20.0],
        samples=[sample("early", step=0), sample("<script>alert(1)</script> late", step=1)],
    )
    write_run(
        folder / "l1",
        metric_rows([0.9] * 4, hacked=1.0),
        config={"beta": 0.01, "routing": {"enabled": False}, "adapter": {"kind": "lora"}},
        times=[0.5] * 4,
        evaluations=[{"step": 4, "mode": "policy"} | mode_figures(0.9, 1.0)],
        modes={"policy": mode_figures(0.9, 1.0, **{"rewards/task": 0.3}), "base": mode_figures(0.1, 0.2)},
    )
    runs = [
        planned("a1", "routed beta=0.01", beta=0.01, seed=1),
        planned("a2", "routed beta=0.01", beta=0.01, seed=2),
        planned("b1", "routed beta=0.02", beta=0.02, seed=1),
        planned("b2", "routed beta=0.02", beta=0.02, seed=2),
        planned("l1", "lora beta=0.01", kind="lora", beta=0.01, seed=1),
        planned("n1", "routed beta=0.1", beta=0.1, seed=1),
    ]
    failure = {"run": "b2", "attempt": 1, "exit_code": 137, "command": ["uv", "run"], "last_lines": ["<b>killed</b>"]}
    return write_plan(folder, ["beta", "seed"], runs, [failure])
