"""Runs that a benchmark needs: trained once, side by side, and read from their folders afterwards."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.progress import Progress

from configs.experiment import Experiment
from envs.binding import folder_of
from grpo.run import prepare
from runs.resume import is_finished

WINDOW = 20  # steps that a curve and a final figure are averaged over


def train_one(asked: Experiment, threads: int) -> Path:
    import torch

    from runs.trainer import train

    torch.set_num_threads(threads)
    return train(asked, quiet=True).folder


def finished_runs(experiments: list[Experiment], jobs: int) -> list[Path]:
    """The folders of all experiments, those that are not finished trained now, `jobs` at a time in processes of their own.

    A run that fails stops the benchmark with its exception.
    """
    folders = [folder_of(prepare(experiment)) for experiment in experiments]
    waiting = [asked for asked, folder in zip(experiments, folders, strict=True) if not (folder.exists() and is_finished(folder))]
    threads = max(1, multiprocessing.cpu_count() // jobs)
    with Progress() as progress, ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        task = progress.add_task(f"{len(waiting)} runs to train", total=len(waiting))
        for done in as_completed([pool.submit(train_one, asked, threads) for asked in waiting]):
            progress.console.print(f"finished {done.result()}", soft_wrap=True)
            progress.advance(task)
    return folders


def smooth(values: list[float], window: int = WINDOW) -> list[float]:
    """Mean of each value and up to `window` - 1 before it."""
    return [sum(part) / len(part) for i in range(len(values)) if (part := values[max(0, i - window + 1) : i + 1])]
