"""Asking for a sweep: a base experiment, what varies, and the controls of its routed runs; from Python or the command line."""

import runpy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from configs.cli import SETTINGS, parse_value, parse_with_config, split_at_commas
from configs.errors import UserError
from configs.experiment import AdapterSettings, Experiment, RoutingSettings
from configs.naming import NOT_IDENTITY
from configs.resolve import flatten, resolve_adapter
from configs.types import check_types


@dataclass(frozen=True)
class Sweep:
    """Every combination of the grid's values over the base, each with the baselines of its routed runs.

    `uv run sweep.py FILE.py` runs the one that the file builds.
    """

    base: Experiment = field(default_factory=Experiment)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # values by dotted name
    seeds: Sequence[int] = ()  # short for the axis "seed"
    baselines: Sequence[str] = ()  # names in BASELINES
    keep: Callable[[Experiment], bool] | None = None  # of a combination as asked for, before defaults are filled in


# Baselines: the control of a routed run, as asked for. All else (seed, labels, environment, sampling) stays the same.


def unrouted(routed: Experiment) -> Experiment:
    """The same two adapters without routing; forget is ablated afterwards here, too."""
    return replace(routed, routing=RoutingSettings(), adapter=replace(routed.adapter, kind="dual_lora"))


def lora(routed: Experiment) -> Experiment:
    """One adapter with the ranks of both; alpha, not alpha / rank, stays the same."""
    dual = resolve_adapter(replace(routed.adapter, kind="dual_lora"))
    assert dual.retain_rank and dual.forget_rank, "resolve_adapter() fills them in"
    assert dual.retain_rank is not None and dual.forget_rank is not None, "resolve_adapter() fills them in"
    rank = dual.retain_rank + dual.forget_rank
    single = AdapterSettings(kind="lora", rank=rank, alpha=dual.alpha, stride=dual.stride)
    return replace(routed, routing=RoutingSettings(), adapter=single)


def filtered(routed: Experiment) -> Experiment:
    """Unrouted, labelled samples dropped."""
    return replace(unrouted(routed), baseline="filter")


def reward_penalty(routed: Experiment) -> Experiment:
    """Unrouted, labelled samples punished."""
    return replace(unrouted(routed), baseline="reward_penalty")


BASELINES: dict[str, Callable[[Experiment], Experiment]] = {
    "unrouted": unrouted,
    "lora": lora,
    "filter": filtered,
    "reward_penalty": reward_penalty,
}


# From Python


def with_setting(settings: Any, name: str, value: Any) -> Any:
    """A settings dataclass with one setting, by dotted name, replaced."""
    group, _, rest = name.partition(".")
    return replace(settings, **{group: with_setting(getattr(settings, group), rest, value) if rest else value})


def checked(sweep: Sweep) -> Sweep:
    """The same, seeds in the grid and every value read as the command line reads it. Raises UserError."""
    if not isinstance(sweep.base, Experiment) or not isinstance(sweep.grid, Mapping):
        raise UserError("a Sweep takes an Experiment as its base and a mapping as its grid")
    check_types(sweep.base)
    if sweep.seeds and "seed" in sweep.grid:
        raise UserError("seeds: seed is in the grid, too")
    for name in sweep.baselines:
        if name not in BASELINES:
            raise UserError(f"baselines: {name}: accepted are {', '.join(BASELINES)}")
    axes = {**sweep.grid} | ({"seed": sweep.seeds} if sweep.seeds else {})
    return replace(sweep, grid={name: parsed_axis("grid", name, values) for name, values in axes.items()}, seeds=())


def parsed_axis(source: str, name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Raises UserError, which says that the values stand in `source`."""
    if name in NOT_IDENTITY:
        raise UserError(f"{source} {name}: makes no other run, so it can not vary")
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise UserError(f"{source} {name}: must be a list of values, not {values!r}")
    parsed = [parsed_value(source, name, value) for value in values]
    for i, value in enumerate(parsed):
        if value in parsed[:i]:
            raise UserError(f"{source} {name}: {value} stands there twice")
    return tuple(parsed)


def parsed_value(source: str, name: str, value: Any) -> Any:
    try:
        return parse_value(name, value)
    except UserError as error:
        said = str(error)
        raise UserError(f"in {source}: {said}" if said.startswith("--") else f"{source} {name}={value}: {said}") from error


def load_sweep(path: Path) -> Sweep:
    """The one Sweep that a Python file builds, checked. Raises UserError."""
    if path.suffix != ".py":
        raise UserError(f"{path}: a sweep is a Python file, FILE.py, or NAME=VALUE words after --grid and --fixed")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        names = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        raise UserError(f"{_place(path, error)}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    found = [*{id(value): value for value in names.values() if isinstance(value, Sweep)}.values()]
    if len(found) != 1:
        raise UserError(
            f"{path}: must build one Sweep, as in `sweep = Sweep(base=Experiment())`; it builds {len(found) or 'none'}"
        )
    try:
        return checked(found[0])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _place(path: Path, error: BaseException) -> str:
    """The file and the line in it that raised."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


# From the command line

Words = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class SweepOptions:
    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[FILE.py]")] = None
    """A Python file that builds a Sweep: its base, its grid, its baselines."""
    grid: Annotated[Words, tyro.conf.arg(metavar="NAME=VALUE,VALUE ...")] = ()
    """What varies: any of the settings below, by its dotted name, with all values of each. Every combination is a run."""
    fixed: Annotated[Words, tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """What all runs have in common; the same as --NAME VALUE."""
    name: str | None = None
    """The sweep's folder in output_dir; by default made of what is varied, so that the same command finds it again."""
    baselines: bool = False
    """Add the controls of each routed run: unrouted, lora, filter, reward_penalty."""
    jobs: int | None = None
    """Runs at once on the CPU; by default as many as there are cores, or runs."""
    per_gpu: int = 1
    """Runs at once on each GPU."""
    mps: Literal["start", "require", "ignore"] | None = None
    """CUDA's Multi-Process Service for several runs on a GPU; by default it is looked for, and said when it is missing."""
    backend: Literal["local", "ray"] = "local"
    """Where runs go: this machine, or a Ray cluster."""
    address: str | None = None
    """Of the Ray cluster."""
    retries: int = 1
    """How often a run that failed is tried again."""
    dry_run: bool = False
    """Only list the runs and estimate their time."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    """A YAML file with settings that all runs have in common; the command line wins."""


def read_sweep(words: Sequence[str], description: str) -> tuple[SweepOptions, Sweep]:
    """What a command line asks for. Raises UserError."""
    options = parse_with_config(SweepOptions, words, description, "sweep.py")
    asked = Sweep()
    if options.file is not None:
        asked = load_sweep(options.file)
        beneath = SweepOptions(asked.base)
        options = parse_with_config(SweepOptions, words, description, "sweep.py", beneath)
    added = {
        name: parsed_axis("--grid", name, split_at_commas(text)) for name, text in pairs("--grid", options.grid, "VALUE,VALUE")
    }
    fixed = {name: parsed_value("--fixed", name, text) for name, text in pairs("--fixed", options.fixed, "VALUE")}
    check_given_once(options, asked, added, fixed, settings_named(words))
    base = options.experiment
    for name, value in fixed.items():
        base = with_setting(base, name, value)
    if base.overwrite:
        raise UserError("--overwrite: not in a sweep, which keeps what is finished; remove its folder to start anew")
    if base.wandb.group:
        raise UserError(f"--wandb.group {base.wandb.group}: a sweep's runs have its name as their group; see --name")
    baselines = tuple(BASELINES) if options.baselines else asked.baselines
    return options, replace(asked, base=base, grid={**asked.grid} | added, baselines=baselines)


def pairs(option: str, groups: Sequence[Sequence[str]], form: str) -> list[tuple[str, str]]:
    """(name, text) of NAME=TEXT words. Raises UserError for other words and a name that comes twice."""
    if any(not group for group in groups):
        raise UserError(f"{option}: a value is missing")
    found: dict[str, str] = {}
    for word in (word for group in groups for word in group):
        name, sign, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not all(split_at_commas(text) or [""]):
            raise UserError(f"{option} {word}: must be NAME={form}")
        if name in found:
            raise UserError(f"{option} {word}: {name} stands there twice")
        found[name] = text
    return [*found.items()]


def settings_named(words: Sequence[str]) -> set[str]:
    """Settings that have an option of their own among command-line words."""
    options = [word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")]
    parts = [option.rpartition(".") for option in options]
    return {f"{group}{dot}{key.removeprefix('no_')}" for group, dot, key in parts} & SETTINGS.keys()


def check_given_once(options: SweepOptions, asked: Sweep, added: Mapping, fixed: Mapping, named: set[str]) -> None:
    """Raises UserError for a setting that is both varied and fixed, or has two values."""
    for name in added:
        if name in asked.grid:
            raise UserError(f"--grid {name}: {options.file} varies it, too")
    varies = dict.fromkeys(asked.grid, str(options.file)) | dict.fromkeys(added, "--grid")
    for name, value in fixed.items():
        if name in varies:
            raise UserError(f"--fixed {name}={value}: {varies[name]} varies it")
        other = flatten(options.experiment)[name]
        if name in named and other != value:
            raise UserError(f"--fixed {name}={value}: contradicts --{name} {other}")
    for name in sorted(named & varies.keys()):
        raise UserError(f"--{name} {flatten(options.experiment)[name]}: {varies[name]} varies it")
