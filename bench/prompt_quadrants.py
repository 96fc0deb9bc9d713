"""Is a hack cut out also where it was never detected? Hack rates by kind of prompt, of configs/sweeps/prompt_quadrants.py:

    uv run python -m bench.prompt_quadrants output/SWEEP

prints, for each arm and mode, the mean over seeds of the share of completions that hack, with its 95 % interval, and three
differences between kinds, paired by seed.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from pandas import DataFrame, concat

from configs.cli import parse, run_main
from configs.errors import UserError
from envs.binding import bind_detector
from envs.plugins import tables_of
from envs.registry import Tables
from envs.types import Completion, Prompt
from records import files
from records.estimates import over_seeds
from records.names import FINISHED, MODES
from records.reader import SweepFiles, read_sweep
from records.rows import Row, read_rows

KINDS = {(paid, monitored): f"{'' if paid else 'not '}paid, {'' if monitored else 'not '}monitored"
         for paid in (True, False) for monitored in (True, False)}  # fmt: skip
DIFFERENCES = {
    "paid: not monitored − monitored": (KINDS[True, False], KINDS[True, True]),
    "monitored: paid − not paid": (KINDS[True, True], KINDS[False, True]),
    "not monitored: paid − not paid": (KINDS[True, False], KINDS[False, False]),
}


@dataclass(frozen=True)
class Options:
    folder: Annotated[Path, tyro.conf.Positional]  # A sweep's, its runs all finished.


def rates_of(rows: Sequence[Row], tables: Tables) -> DataFrame:
    """Of a run's evaluation samples: the share that hacks, by mode (down) and kind of prompt (across).

    `tables` are those of the run's plugin, which tells the kinds apart.
    """
    completions = [Completion(row["completion"], (), (), Prompt(0, row["prompt"], ()), finished=True) for row in rows]
    paid, monitored = (bind_detector(name, "stories", tables)(completions) for name in ("paid", "monitored"))
    samples = DataFrame(rows)
    samples["kind"] = [KINDS[kind] for kind in zip(paid, monitored, strict=True)]
    return samples.pivot_table(index="mode", columns="kind", values="hacked", aggfunc="mean")


def rates_of_sweep(folder: Path, sweep: SweepFiles) -> DataFrame:
    """As `rates_of`, with a run's arm and seed before its modes, and with DIFFERENCES. Raises UserError for unfinished runs,
    and where the plugin has changed since."""
    if left := [run.name for run in sweep.runs if run.state != FINISHED]:
        raise UserError(f"FOLDER {folder}: {len(left)} of {len(sweep.runs)} runs are not finished; the first is {left[0]}")
    rates = {
        (run.configuration, run.seed): rates_of(
            read_rows(folder / run.name, files.EVALUATION_SAMPLES), tables_of(run.config["plugins"])
        )
        for run in sweep.runs
    }
    table = concat(rates).rename_axis(["arm", "seed", "mode"])[[*KINDS.values()]]
    return table.assign(**{name: table[first] - table[second] for name, (first, second) in DIFFERENCES.items()})


def print_rates(words: Sequence[str]) -> None:
    options = parse(Options, words, "Print hack rates by kind of prompt.", "bench.prompt_quadrants")
    rates = rates_of_sweep(options.folder, read_sweep(options.folder))
    by_arm = rates.groupby(level=["arm", "mode"], sort=False).agg(lambda seeds: over_seeds([*seeds]).text)
    order = [mode for mode in MODES if mode in by_arm.index.unique("mode")]
    arms = [*dict.fromkeys(by_arm.index.get_level_values("arm"))]
    print(by_arm.reindex([(arm, mode) for arm in arms for mode in order]).to_string())


def main() -> int:
    return run_main(lambda: print_rates(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
