"""Thresholds of the `template_collapse` flag, fixed on one half of real runs and tried on the other.

`uv run python -m bench.template_collapse` trains runs that were meant to collapse (a sharp reward, no KL, a high learning rate)
and runs that were not, prints distinct-3 and compression of their final samples against the base model's own, and how the flag
and the older `degenerate` flag do. Which runs collapsed was judged by reading their samples (`--read` prints some).
"""

import argparse
import textwrap
from dataclasses import dataclass
from pathlib import Path

from bench.runs import finished_runs
from configs.experiment import EvaluationSettings, Experiment
from records.folder import read_json_file, read_rows
from runs.diversity import LEAST_DISTINCT_3, MOST_GZIP_RATIO


@dataclass(frozen=True)
class Case:
    reward: str
    lr: float
    beta: float
    steps: int
    collapsed: bool  # by reading the samples

    @property
    def label(self) -> str:
        return f"{self.reward}, lr {self.lr:g}, beta {self.beta:g}"


CASES = (
    Case("happy_binary", 3e-4, 0.02, 100, collapsed=False),
    Case("sentence_length_10_smooth", 3e-4, 0.02, 100, collapsed=False),
    Case("sentence_length_5", 3e-4, 0.02, 100, collapsed=False),
    Case("happy_count(cap=20)", 3e-3, 0.0, 100, collapsed=True),
    Case("sentence_length_5", 3e-3, 0.0, 100, collapsed=True),
    Case("sentence_length_10", 3e-3, 0.0, 100, collapsed=False),
)
FIXED_ON, TRIED_ON = 1, 2  # seeds


def experiment(case: Case, seed: int, output_dir: Path) -> Experiment:
    return Experiment(
        reward=case.reward, lr=case.lr, beta=case.beta, max_steps=case.steps, seed=seed, lora_rank=8, output_dir=output_dir,
        eval=EvaluationSettings(final_samples=256),
    )  # fmt: skip


def relative(folder: Path) -> tuple[float, float, bool]:
    """distinct-3 and gzip ratio of the trained policy's samples over the base's, and the `degenerate` flag."""
    modes = read_json_file(folder / "evaluation.json")["modes"]
    policy, base = modes["policy"], modes["base"]
    return policy["distinct_3"] / base["distinct_3"], policy["gzip_ratio"] / base["gzip_ratio"], policy["degenerate"]


def report(seed: int, folders: list[Path]) -> None:
    print(f"seed {seed} ({'thresholds fixed on it' if seed == FIXED_ON else 'tried on it'})")
    print(f"  {'run':<48}{'distinct-3':>11}{'gzip':>7}  {'read as':<10}{'template_collapse':<19}degenerate")
    right = {"template_collapse": 0, "degenerate": 0}
    for case, folder in zip(CASES, folders, strict=True):
        distinct_3, gzip_ratio, degenerate = relative(folder)
        flag = distinct_3 < LEAST_DISTINCT_3 or gzip_ratio > MOST_GZIP_RATIO
        right["template_collapse"] += flag == case.collapsed
        right["degenerate"] += degenerate == case.collapsed
        read = "collapsed" if case.collapsed else "healthy"
        print(f"  {case.label:<48}{distinct_3:>11.2f}{gzip_ratio:>7.2f}  {read:<10}{flag!s:<19}{degenerate}")
    print("  right: " + ", ".join(f"{name} {count} of {len(CASES)}" for name, count in right.items()))


def show_samples(folders: list[Path], count: int) -> None:
    for case, folder in zip(CASES, folders, strict=True):
        print(f"\n{case.label}")
        texts = [row["completion"] for row in read_rows(folder, "evaluation_samples.jsonl") if row["mode"] == "policy"]
        for text in texts[:count]:
            print(textwrap.fill(text, 126, initial_indent="  - ", subsequent_indent="    "))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--output_dir", type=Path, default=Path("output/template_collapse"), help="where the runs go")
    parser.add_argument("--read", type=int, default=0, help="samples of each run to print")
    options = parser.parse_args(words)
    seeds = (FIXED_ON, TRIED_ON)
    trained = finished_runs([experiment(case, seed, options.output_dir) for seed in seeds for case in CASES], options.jobs)
    for i, seed in enumerate(seeds):
        folders = trained[i * len(CASES) : (i + 1) * len(CASES)]
        report(seed, folders)
        if options.read:
            show_samples(folders, options.read)


if __name__ == "__main__":
    main()
