"""A sweep: a base experiment, what varies, and the controls of its routed runs; and a series of sweeps. Built in Python."""

import runpy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from configs.baselines import BASELINES
from configs.cli import parse_value
from configs.errors import UserError, setting_error, speaking_of
from configs.experiment import Experiment
from configs.naming import NOT_IDENTITY
from configs.plugins import place_of
from configs.resolve import with_setting

ARM = "arm"  # the axis whose values are the names of arms
Arms = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Sweep:
    """Every combination of the arms and the grid's values over the base, each with the baselines of its routed runs.

    `uv run sweep.py FILE.py` runs the one that the file builds.
    """

    base: Experiment = field(default_factory=Experiment)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # values by dotted name
    arms: Arms = field(default_factory=dict)  # by name, settings by dotted name that go together
    seeds: Sequence[int] = ()  # short for the axis "seed"
    baselines: Sequence[str] = ()  # names in BASELINES
    keep: Callable[[Experiment], bool] | None = None  # of a combination as asked for, before defaults are filled in
    sample: int | None = None  # so many of the combinations, drawn at random, all as likely
    sample_seed: int | None = None  # of that draw; 0 unless said
    named: frozenset[str] = frozenset()  # settings that somebody wrote: refused where they have no effect, at any value
    fixed: frozenset[str] = frozenset()  # those of the command line, which no arm that is run may set

    @property
    def axes(self) -> dict[str, Sequence[Any]]:
        """Values by name, the slowest axis first."""
        return ({ARM: tuple(self.arms)} if self.arms else {}) | {**self.grid}


@dataclass(frozen=True)
class Series:
    """Sweeps that are run one after the other, by the names that their folders get in the series' own.

    `uv run sweep.py FILE.py` runs the one that the file builds.
    """

    sweeps: Mapping[str, Sweep]


def checked(sweep: Sweep) -> Sweep:
    """The same, seeds in the grid and every value read as the command line reads it. Raises UserError."""
    if not isinstance(sweep.base, Experiment) or not isinstance(sweep.grid, Mapping):
        raise UserError("a Sweep takes an Experiment as its base and a mapping as its grid")
    if callable(sweep.base.reward):
        raise setting_error("reward", sweep.base.reward, "a sweep's runs are other processes; put it into a file for --plugin")
    if sweep.seeds and "seed" in sweep.grid:
        raise UserError("seeds: seed is in the grid, too")
    for name in [name for name in sweep.baselines if name not in BASELINES]:
        raise UserError(f"baselines: {name}: accepted are {', '.join(BASELINES)}")
    check_sample(sweep)
    axes = {**sweep.grid} | ({"seed": sweep.seeds} if sweep.seeds else {})
    grid = {name: parsed_axis("grid", name, values) for name, values in axes.items()}
    return replace(sweep, grid=grid, arms=parsed_arms(sweep.arms, grid), seeds=())


def with_sample(sweep: Sweep, sample: int | None, seed: int | None) -> Sweep:
    """What the command line says of it, which wins over the file. Raises UserError."""
    sampled = replace(
        sweep,
        sample=sweep.sample if sample is None else sample,
        sample_seed=sweep.sample_seed if seed is None else seed,
    )
    check_sample(sampled)
    return sampled


def check_sample(sweep: Sweep) -> None:
    for name, value, least in (("sample", sweep.sample, 1), ("sample_seed", sweep.sample_seed, 0)):
        if value is not None and (type(value) is not int or value < least):
            raise UserError(f"--{name} {value}: must be {'at least 1' if least else '0 or more'}")
    if sweep.sample_seed is not None and sweep.sample is None:
        raise UserError(f"--sample_seed {sweep.sample_seed}: has no effect without --sample")


def parsed_axis(source: str, name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Raises UserError, which says that the values stand in `source`."""
    if name in NOT_IDENTITY:
        raise UserError(f"{source} {name}: makes no other run, so it can not vary")
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise UserError(f"{source} {name}: must be a list of values, not {values!r}")
    parsed = [parsed_value(source, name, value) for value in values]
    for value in [value for i, value in enumerate(parsed) if value in parsed[:i]]:
        raise UserError(f"{source} {name}: {value} stands there twice")
    return tuple(parsed)


def parsed_value(source: str, name: str, value: Any) -> Any:
    try:
        return parse_value(name, value)
    except UserError as error:
        place = f"in {source}" if error.of_options.startswith("--") else f"{source} {name}={value}"
        raise UserError(f"{place}: {error}") from error


# Arms


def parsed_arms(arms: Any, grid: Collection[str]) -> Arms:
    """Every value read as the command line reads it; `grid` has the names of the other axes. Raises UserError."""
    if not isinstance(arms, Mapping):
        raise UserError(f"arms: must be a mapping of names to settings, not {arms!r}")
    parsed = {}
    for arm, settings in arms.items():
        if not isinstance(arm, str) or not arm or arm != " ".join(arm.split()):
            raise UserError(f"arms {arm!r}: an arm's name must be words on one line")
        if not isinstance(settings, Mapping):
            raise UserError(f"arms {arm}: must be a mapping of settings, not {settings!r}")
        parsed[arm] = {name: value_in_arm(arm, name, value) for name, value in settings.items()}
    refuse_varied(parsed, grid)
    return parsed


def value_in_arm(arm: str, name: str, value: Any) -> Any:
    if name in NOT_IDENTITY:
        raise UserError(f"arms {arm}: {name}: makes no other run, so it can not vary")
    try:
        return parse_value(name, value)
    except UserError as error:
        raise UserError(f"arms {arm}: {'' if error.of_options.startswith('--') else f'{name}={value}: '}{error}") from error


def refuse_varied(arms: Arms, grid: Collection[str]) -> None:
    """Raises UserError for an arm that sets what is an axis by itself."""
    for arm, settings in arms.items():
        for name in settings:
            if name == "seed" or name in grid:
                raise UserError(f"arms {arm}: {name}: {'the grid varies it, too' if name in grid else 'seeds are another axis'}")


# Files


def load_sweep(path: Path) -> Sweep:
    """The one Sweep that a Python file builds, checked. Raises UserError, which speaks to the file's author, of fields."""
    built = load_file(path)
    if isinstance(built, Series):
        raise UserError(f"{path}: builds a Series, not a Sweep")
    return built


def series_of_files(folder: Path, names: Sequence[str]) -> Series:
    """The sweeps that `folder/NAME.py` build, each under its file's name. Raises UserError."""
    return Series({name: load_sweep(folder / f"{name}.py") for name in names})


def load_file(path: Path) -> Sweep | Series:
    """The one Sweep or Series that a Python file builds, checked. Raises UserError, as `load_sweep`."""
    with speaking_of(options=False):
        return _load_file(path)


def _load_file(path: Path) -> Sweep | Series:
    if path.suffix != ".py":
        raise UserError(f"{path}: a sweep is a Python file, FILE.py, or NAME=VALUE words after --grid and --fixed")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        names = runpy.run_path(str(path))
    except UserError as error:
        raise UserError(f"{place_of(path, error)}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{place_of(path, error)}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    built = built_by(names.values())
    if len(built) != 1:
        example = "sweep = Sweep(base=Experiment())"
        raise UserError(f"{path}: must build one Sweep, as in `{example}`, or one Series; it builds {len(built) or 'none'}")
    try:
        return checked_series(built[0]) if isinstance(built[0], Series) else checked(built[0])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def built_by(values: Iterable[Any]) -> list[Sweep | Series]:
    """Every one once, without the sweeps of a series among them."""
    built = [*{id(value): value for value in values if isinstance(value, Sweep | Series)}.values()]
    held = {id(sweep) for series in built if isinstance(series, Series) for sweep in series.sweeps.values()}
    return [value for value in built if id(value) not in held]


def checked_series(series: Series) -> Series:
    """With every sweep checked, and called as the series calls it. Raises UserError that names the sweep."""
    if not series.sweeps:
        raise UserError("a Series takes at least one Sweep")
    sweeps = {}
    for name, sweep in series.sweeps.items():
        if not isinstance(sweep, Sweep):
            raise UserError(f"{name}: a Series is of Sweeps, not {type(sweep).__name__}")
        try:
            sweeps[name] = replace(checked(sweep), base=with_setting(sweep.base, "name", name))
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
    return Series(sweeps)
