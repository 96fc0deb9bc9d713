"""Rewards, detectors and environments out of a user's files and functions. They are entered for the experiments that name
them alone: what an experiment's names mean depends on nothing that its settings do not tell.
"""

import inspect
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from configs.errors import UserError, option_error
from configs.experiment import Experiment
from configs.plugins import SESSION, digest_of, place_of, read_plugin, resolved_plugins, split_plugin
from envs import ENVIRONMENTS, EnvironmentEntry
from envs.call import Call, parse_call
from envs.parameters import parameters_model, read_parameters
from envs.registry import DETECTORS, REWARDS, RegisteredFunction, Tables, module_of

Entries = tuple[dict[str, Any], ...]  # of REWARDS, DETECTORS and ENVIRONMENTS
Function = Callable[..., list[Any]]
SESSION_ENTRIES: dict[str, Entries] = {}  # by digest, of functions that this session trained with


def tables_of(plugins: Iterable[str]) -> Tables:
    """The rewards and detectors of an experiment with these plugins. Raises UserError, also for a name that two have."""
    rewards, detectors, _ = _tables_with(plugins)
    return Tables(rewards, detectors)


def environments_of(plugins: Iterable[str]) -> dict[str, EnvironmentEntry]:
    return _tables_with(plugins)[2]


def _registries() -> Entries:
    return (REWARDS, DETECTORS, ENVIRONMENTS)


def _tables_with(plugins: Iterable[str]) -> Entries:
    tables = tuple(dict(table) for table in _registries())
    for plugin in resolved_plugins(plugins):
        for table, own in zip(tables, _entries_of(plugin), strict=True):
            if known := sorted(own.keys() & table.keys()):
                raise option_error(f"--plugin {split_plugin(plugin)[0]}: {known[0]} is registered already; it needs another name")
            table |= own
    return tables


def _entries_of(plugin: str) -> Entries:
    path, digest = split_plugin(plugin)
    if path != SESSION:
        return _entries_of_file(path, read_plugin(plugin))
    if digest not in SESSION_ENTRIES:
        raise option_error("--reward: was a function of a Python session, of which the run knows the source's SHA-256 alone; "
                        "resume it in Python, with that function")  # fmt: skip
    return SESSION_ENTRIES[digest]


@cache
def _entries_of_file(path: str, source: bytes) -> Entries:
    """What a file registers; it is run once. Raises UserError where it raises, with its line."""
    live = _registries()
    before = tuple(dict(table) for table in live)
    module = types.ModuleType(f"plugin_{digest_of(source)}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # where dataclasses look for their annotations
    try:
        exec(compile(source, path, "exec"), module.__dict__)
        for table, known in zip(live, before, strict=True):
            if replaced := [name for name, entry in known.items() if table.get(name) is not entry]:
                raise option_error(f"--plugin {path}: {replaced[0]} is registered already; it needs another name")
        return tuple({name: table[name] for name in table.keys() - known} for table, known in zip(live, before, strict=True))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise option_error(f"--plugin {place_of(Path(path), error)}: {what}") from error
    finally:
        for table, known in zip(live, before, strict=True):
            table.clear()
            table.update(known)


# Functions of a Python session


def with_session_told(experiment: Experiment) -> Experiment:
    """Where the reward is a function, or the name of one that a notebook registered: its name, and a plugin that tells its
    source. Any other experiment stays as it is. Raises UserError for a function whose source does not tell what it does.
    """
    reward = experiment.reward
    function = _of_notebook(reward) if isinstance(reward, str) else reward
    if function is None or isinstance(function, dict):
        return experiment
    if not inspect.isfunction(function) or not function.__name__.isidentifier():
        raise option_error(f"--reward {function}: must be a function that `def` makes")
    registered = _registered(function)
    if registered and _is_shipped(function):
        return replace(experiment, reward=function.__name__)
    entry = registered or _undecorated(function, experiment.env.name)
    digest = digest_of("\n".join(map(_source, [function, *_own_predicates(entry)])).encode())
    SESSION_ENTRIES[digest] = ({} if registered else {function.__name__: entry}, {}, {})
    named = reward if isinstance(reward, str) else str(Call(function.__name__, _defaults(entry)))
    return replace(experiment, reward=named, plugins=(*experiment.plugins, f"{SESSION}@sha256:{digest}"))


def _of_notebook(text: str) -> Function | None:
    try:
        entry = REWARDS.get(parse_call(text).name)
    except ValueError:  # told when it is bound
        return None
    return entry.function if isinstance(entry, RegisteredFunction) and module_of(entry) == "__main__" else None


def _registered(function: Function) -> RegisteredFunction | None:
    entry = REWARDS.get(function.__name__)
    return entry if isinstance(entry, RegisteredFunction) and entry.function is function else None


def _is_shipped(function: Function) -> bool:
    return function.__module__.partition(".")[0] == "envs"


def _undecorated(function: Function, environment: str) -> RegisteredFunction:
    try:
        return RegisteredFunction(function, parameters_model(function), (environment,))
    except (TypeError, ValueError) as error:
        raise option_error(f"--reward {function.__name__}: {error}") from error


def _defaults(entry: RegisteredFunction) -> dict[str, Any]:
    try:
        return read_parameters(entry.parameters, {})
    except ValueError as error:
        raise option_error(f"--reward {entry.function.__name__}: {error}") from error


def _own_predicates(entry: RegisteredFunction) -> list[Function]:
    """Those of its hack and its detector that are not shipped."""
    names = [parse_call(text).name for text in (entry.hack, entry.detector) if text]
    functions = [DETECTORS[name].function for name in names if name in DETECTORS]
    return [function for function in functions if not _is_shipped(function)]


def _source(function: Function) -> str:
    """Raises UserError where there is none, and where it is not all."""
    if function.__closure__:
        names = ", ".join(function.__code__.co_freevars)
        raise option_error(f"--reward {function.__name__}: uses {names} of the function around it, which its source does not "
                        "tell; make them parameters with defaults")  # fmt: skip
    try:
        return inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise option_error(
            f"--reward {function.__name__}: no source tells what it is; put it into a file for --plugin"
        ) from error
