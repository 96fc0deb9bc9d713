"""Settings from a command line and a YAML file, through one parser.

A YAML file becomes command-line words that stand before the user's own, so that both are checked alike and the
command line wins. Every mistake is a UserError of one line.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, make_dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_type_hints

import tyro
from tyro import _errors as tyro_errors

from configs.errors import RunFailure, UserError, did_you_mean, option_error, speaking_of
from configs.experiment import Experiment
from configs.help import Sections, asks_for_help, help_rules, print_sections
from configs.naming import default_settings
from configs.resolve import with_setting, without_effect
from configs.yaml_words import PLUGINS, SETTINGS, axes_left, is_record, read_leaves, setting_word, setting_words

Options = TypeVar("Options")


@dataclass(frozen=True)
class ExperimentOptions:
    """What every door that takes an experiment begins with."""

    # What a command line can only refuse, so that neither help nor suggestions name it.
    not_offered: ClassVar[frozenset[str]] = frozenset({"sampling.top_k", "sampling.top_p"})

    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    """A YAML file with any of these settings; the command line wins."""


def parse(
    options: type[Options], words: Sequence[str], description: str = "", prog: str = "", default: Options | None = None
) -> Options:
    """Parses command-line words, over `default`. `--help` prints and exits with 0; mistakes raise UserError."""
    if unknown := [word for word in words if word.startswith(("--tyro-", "--tyro_"))]:  # completes the name of a program alone
        raise UserError(f"{unknown[0]}: no such option; --help lists them")
    for_help: dict[str, Any] = {}
    if asks_for_help(words):
        for_help = {"config": (tyro.conf.DisallowNone,), "registry": help_rules(_not_offered(options))}
    with tyro_errors.on_parse_error(partial(_raise_user_error, _option_names(options))):
        try:
            return tyro.cli(
                options,
                args=list(words),
                default=tyro.MISSING_NONPROP if default is None else default,
                description=description,
                prog=prog,
                use_underscores=True,
                **for_help,
            )
        except SystemExit as stop:
            if stop.code in (0, None):
                raise
            raise UserError("the command line could not be read; see --help") from None


def _option_names(options: type) -> list[str]:
    """Sorted; an experiment stands for its settings."""
    names = {entry.name for entry in fields(options)}
    if "experiment" in names:
        names = (names | {*SETTINGS}) - {"experiment", PLUGINS} - _not_offered(options) | {"plugin"}
    return sorted(names)


def _not_offered(options: type) -> frozenset[str]:
    return options.not_offered if issubclass(options, ExperimentOptions) else frozenset()


def _raise_user_error(names: list[str], event: tyro_errors.ParseErrorEvent) -> None:
    match event:
        case tyro_errors.UnrecognizedArgs(tokens=tokens):
            option = tokens[0].partition("=")[0]
            meant = did_you_mean(_underscored(option), [f"--{name}" for name in names])
            raise option_error(f"{option}: no such option{meant}; --help lists them")
        case tyro_errors.InvalidChoice(argument=argument, value=value, choices=choices):
            raise option_error(f"{_option(argument)} {value}: accepted are {', '.join(sorted({*choices} - {'None'}))}")
        case tyro_errors.BadValue(argument=argument):
            raise option_error(f"{_option(argument)}: a value is missing")
        case tyro_errors.InstantiationFailure(argument=argument, message=message):
            raise option_error(_not_a_value("" if argument is None else _option(argument), " ".join(message.split())))
        case tyro_errors.MissingArgs(missing_arguments=missing):
            raise option_error(f"{', '.join(_option(context.arg) for context in missing)}: must be given")


def _not_a_value(option: str, message: str) -> str:
    if either := re.match(r"no type matching (?:\{None\}\|)?INT\|\{(\w+)\} could be instantiated from \['([^']*)'\]", message):
        return f"{option} {either[2]}: must be a whole number, or {either[1]}"
    value = re.search(r"'([^']*)'$", message)
    for sign, accepted in {"int()": "must be a whole number", "float": "must be a number"}.items():
        if sign in message and value:
            return f"{option} {value[1]}: {accepted}"
    return f"{option}: {message}"


def _option(argument: Any) -> str:
    return _underscored(argument.lowered.name_or_flags[-1])


def _underscored(option: str) -> str:
    return option.replace("-", "_").replace("__", "--", 1)


def parse_value(name: str, value: Any) -> Any:
    """The value of one setting, as a command-line word or as Python has it, through the same parser. Raises UserError."""
    if name not in SETTINGS:
        raise UserError(f"no such setting{did_you_mean(name, SETTINGS)}")
    if name == PLUGINS:
        raise option_error("--plugin FILE names files for all runs")
    if isinstance(SETTINGS[name], bool):
        value = {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value
        setting_word(name, value)
        return value
    group, _, key = name.rpartition(".")
    hints = get_type_hints(get_type_hints(Experiment)[group] if group else Experiment, include_extras=True)
    option = make_dataclass("Option", [("value", Annotated[hints[key], tyro.conf.arg(name=name)])])
    value = parse(option, [setting_word(name, value)]).value
    with_setting(Experiment(), name, value)  # raises UserError for a value out of bounds
    return value


def split_at_commas(text: str) -> list[str]:
    """The parts between commas that stand outside parentheses, brackets, braces and quotes; none of an empty text."""
    parts, depth, quote, before = [""], 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif depth and character in "'\"" and before in "([{,:=":  # not the apostrophe of a word
            quote = character
        else:
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        before = before if character.isspace() else character
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts] if text else []


def option_values(option: str, words: Sequence[str]) -> list[str]:
    """What follows an option among command-line words, as in `--config FILE` and `--config=FILE`."""
    values: list[str] = []
    for i, word in enumerate(words):
        name, sign, value = word.partition("=")
        if name == option:
            values += [value] if sign else words[i + 1 : i + 2]
    return values


def parse_with_config(
    options: type[Options],
    words: Sequence[str],
    description: str,
    prog: str,
    default: Options | None = None,
    record: Path | None = None,
    sections: Sections = lambda _: {},
) -> tuple[Options, frozenset[str]]:
    """As `parse`, with the settings of `--config FILE` underneath, and below them those of `record`, a run's config.yaml.

    Also tells the dotted names of the settings that somebody asked for, at whatever value: `refuse_inert` takes them.
    Help ends with the `sections` of the plugins among the words.
    """
    if asks_for_help(words):
        try:
            return parse(options, words, description, prog, default), frozenset()
        finally:
            print_sections(sections(option_values("--plugin", words)))
    beneath: list[str] = []
    named = options_named(words) & SETTINGS.keys()
    for path in filter(None, (record, *map(Path, option_values("--config", words)[-1:]))):
        leaves = read_leaves(path)
        with _blamed_on(path):
            words_beneath, named_beneath = _words_of_settings(leaves)
            words_beneath = axes_left(words_beneath, words)
            parse(options, words_beneath, description, prog, default)
        beneath, named = beneath + words_beneath, named | named_beneath
    return parse(options, [*beneath, *words], description, prog, default), frozenset(named)


@contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"in {path}: {error}") from error


def _words_of_settings(leaves: dict[str, Any]) -> tuple[list[str], set[str]]:
    """A YAML file's settings as words, and the names of those that somebody asked for: in a record, none of them.

    What a record holds of settings without effect is left out, as long as it is what it always is. Raises UserError.
    """
    words = {name: setting_words(name, value) for name, value in leaves.items()}
    if not is_record(leaves):
        return [*chain(*words.values())], {name.replace("-", "_") for name in words} & SETTINGS.keys()
    idle, usual = without_effect(parse(ExperimentOptions, [*chain(*words.values())]).experiment), default_settings()
    return [*chain(*(words[name] for name in words if name not in idle or leaves[name] != usual[name]))], set()


def read_record(path: Path) -> Experiment:
    """The settings that a run wrote down. Raises UserError unless every one of them is there."""
    leaves = read_leaves(path)
    if missing := SETTINGS.keys() - leaves.keys():
        raise UserError(f"{path}: not the record of a run: {', '.join(sorted(missing))} missing")
    with _blamed_on(path):
        words, _ = _words_of_settings(leaves)
        return parse(ExperimentOptions, words, prog=str(path)).experiment


def options_named(words: Sequence[str]) -> set[str]:
    """Names of the options among command-line words; `--no_NAME` is NAME's."""
    options = [word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")]
    return {f"{group}{dot}{key.removeprefix('no_')}" for group, dot, key in (option.rpartition(".") for option in options)}


def run_main(main: Callable[[], int | None]) -> int:
    """An entry point's exit code: with one line on stderr 2 for a UserError, 1 for a RunFailure."""
    try:
        with speaking_of(options=True):
            return main() or 0
    except UserError as error:
        print(f"error: {error.of_options}", file=sys.stderr)
        return 2
    except RunFailure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
