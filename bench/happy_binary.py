"""The main job over three seeds: does happy_binary rise while the samples stay stories?

`uv run python -m bench.happy_binary` trains routed runs of 300 steps, prints a table and writes a figure. Runs that are
finished in `--output_dir` are read, not trained again.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from bench.runs import WINDOW, finished_runs, smooth
from configs.experiment import AdapterSettings, Experiment, RoutingSettings
from records.folder import read_json_file, read_rows

SEEDS = (42, 123, 7)
# What the main job has to reach: least or most of the median over seeds, beside the base model's figure where relative.
TARGETS = {
    "reward, last 20 steps": "above 0.95",
    "reward, held-out": "above 0.95",
    "unique": "at least 0.9",
    "jaccard": "at most base + 0.1",
    "nll_base": "within 30 % of the base's",
    "finished": "at least 0.6",
}


def experiment(seed: int, kind: str, steps: int, output_dir: Path) -> Experiment:
    changes: dict[str, Any] = {
        "routed": {"routing": RoutingSettings(enabled=True)},
        "lora": {"adapter": AdapterSettings(kind="lora", rank=8)},
        "full": {},
    }[kind]
    return Experiment(reward="happy_binary", seed=seed, max_steps=steps, output_dir=output_dir, **changes)


def final_figures(folder: Path) -> dict[str, dict[str, float]]:
    """Of the trained policy and of the base model: the samples' figures at the end; the reward from training."""
    modes = read_json_file(folder / "evaluation.json")["modes"]
    rewards = [row["reward"] for row in read_rows(folder, "metrics.jsonl")]
    trained = modes.get("both") or modes["policy"]
    trained["reward, last 20 steps"] = statistics.mean(rewards[-WINDOW:])
    modes["base"]["reward, last 20 steps"] = statistics.mean(rewards[:WINDOW])
    for mode in (trained, modes["base"]):
        mode["reward, held-out"] = mode["reward"]
    return {"trained": trained, "base": modes["base"]}


def print_table(folders: list[Path]) -> None:
    runs = [final_figures(folder) for folder in folders]
    print(
        f"{'':<24}{'start/base':>12}"
        + "".join(f"{'run ' + str(i + 1):>10}" for i in range(len(runs)))
        + f"{'median':>10}  target"
    )
    for name, target in TARGETS.items():
        values = [run["trained"][name] for run in runs]
        base = statistics.median(run["base"][name] for run in runs)
        cells = "".join(f"{value:>10.3f}" for value in [*values, statistics.median(values)])
        print(f"{name:<24}{base:>12.3f}{cells}  {target}")


def draw(folders: list[Path], labels: list[str], file: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    for folder, label in zip(folders, labels, strict=True):
        rows = read_rows(folder, "metrics.jsonl")
        steps = [row["step"] for row in rows]
        left.plot(steps, smooth([row["reward"] for row in rows]), label=label)
        right.plot(steps, smooth([row["kl"] for row in rows]), label=label)
    left.set(xlabel="step", ylabel=f"reward (mean of {WINDOW} steps)", ylim=(0, 1.02), title="happy_binary, routed")
    right.set(xlabel="step", ylabel="KL to the reference (nats a token)", title="KL")
    left.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=130)
    print(f"figure: {file}")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--kind", choices=("routed", "lora", "full"), default="routed", help="what is trained")
    parser.add_argument("--steps", type=int, default=300, help="training steps")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="one run each")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--output_dir", type=Path, default=Path("output"), help="where the runs go")
    parser.add_argument("--figure", type=Path, default=Path("docs/happy_binary.png"), help="where the figure goes")
    options = parser.parse_args(words)
    experiments = [experiment(seed, options.kind, options.steps, options.output_dir) for seed in options.seeds]
    folders = finished_runs(experiments, options.jobs)
    print_table(folders)
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(folders, [f"seed {seed}" for seed in options.seeds], options.figure)


if __name__ == "__main__":
    main()
