"""Runs that no plan belongs to, put together as a sweep, so that they have its page."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from records.reader import RunFiles, SweepFiles, grouped, is_run
from reports.compare import settings_of
from reports.tables import setting_text
from sweeps.labels import IN_KIND, spelled


def runs_in(folder: Path) -> list[Path]:
    """Itself, or the runs' folders in it: a sweep's, or just a folder of runs."""
    if is_run(folder):
        return [folder]
    return sorted(path for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []


def loose_sweep(name: str, runs: Sequence[RunFiles]) -> SweepFiles:
    """Its axes are the settings that vary among runs of one kind, and a configuration is told by those and its kind.

    Runs with the same settings that have the same seed, too, are seeds of nothing: each is a configuration by itself.
    """
    settings = {run.name: settings_of(run) for run in runs}
    axes = varying(runs, settings)
    made = []
    for run in runs:
        values = {axis: settings[run.name].get(axis) for axis in axes}
        label = spelled({axis: value for axis, value in values.items() if axis not in {"seed", *IN_KIND}})
        made.append(replace(run, values=values, configuration=" ".join(filter(None, [run.kind, label]))))
    twins = Counter((run.configuration, setting_text(run.seed)) for run in made)
    repeated = {configuration for (configuration, _), count in twins.items() if count > 1}
    apart = [replace(r, configuration=f"{r.configuration} {r.name}") if r.configuration in repeated else r for r in made]
    return SweepFiles(name, tuple(axes), tuple(apart), ())


def varying(runs: Sequence[RunFiles], settings: dict[str, dict[str, Any]]) -> list[str]:
    groups = grouped(runs, lambda run: run.kind).values()
    names = dict.fromkeys(name for each in settings.values() for name in each)

    def varies(name: str) -> bool:
        return any(len({setting_text(settings[run.name].get(name)) for run in group}) > 1 for group in groups)

    return [name for name in names if varies(name)]


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """The folders' own, or where two are the same, their paths below what all have in common."""
    names = [folder.name for folder in folders]
    if len({*names}) == len(names):
        return names
    absolute = [folder.absolute() for folder in folders]
    return [str(path.relative_to(os.path.commonpath(absolute))) for path in absolute]
