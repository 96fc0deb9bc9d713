"""Settings from a command line and a YAML file, through one parser.

A YAML file becomes command-line words that stand before the user's own, so that both are checked alike and the
command line wins. Every mistake is a UserError of one line.
"""

import difflib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, make_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro
import yaml
from tyro import _errors as tyro_errors

from configs.errors import UserError
from configs.experiment import Experiment
from configs.resolve import flatten, require

Options = TypeVar("Options")
SETTINGS = flatten(Experiment())  # names and defaults; None where None is a value


def _types(settings: type, prefix: str = "") -> dict[str, Any]:
    """{dotted name: annotation} of a settings dataclass."""
    found: dict[str, Any] = {}
    for name, kind in get_type_hints(settings, include_extras=True).items():
        found |= _types(kind, f"{prefix}{name}.") if isinstance(kind, type) and is_dataclass(kind) else {f"{prefix}{name}": kind}
    return found


TYPES = _types(Experiment)


def _resume_from_words(words: list[str]) -> str:
    if len(words) > 1:
        raise ValueError(f"{' '.join(words)}: takes one run folder or none")
    return "".join(words)


ResumeSetting = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[FOLDER]",
        instance_from_str=_resume_from_words,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclass(frozen=True)
class LaunchOptions:
    experiment: Annotated[Experiment, tyro.conf.arg(name="")]
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    """A YAML file with any of these settings; the command line wins."""
    resume: ResumeSetting = None
    """Continue the run in this folder, or the one that these settings have, from its last checkpoint."""


def parse(options: type[Options], words: Sequence[str], description: str, prog: str, default: Options | None = None) -> Options:
    """Parses command-line words, over `default`. `--help` prints and exits with 0; mistakes raise UserError."""
    with tyro_errors.on_parse_error(partial(_raise_user_error, _names(options))):
        try:
            return tyro.cli(
                options,
                args=list(words),
                default=tyro.MISSING_NONPROP if default is None else default,
                description=description,
                prog=prog,
                use_underscores=True,
            )
        except SystemExit as stop:
            if stop.code in (0, None):
                raise
            raise UserError("the command line could not be read; see --help") from None


def _names(options: type) -> list[str]:
    """The options' names; an experiment stands for its settings."""
    own = {entry.name for entry in fields(options)}
    return sorted(own - {"experiment"} | {*SETTINGS}) if "experiment" in own else sorted(own)


def _raise_user_error(names: list[str], event: tyro_errors.ParseErrorEvent) -> None:
    match event:
        case tyro_errors.UnrecognizedArgs(tokens=tokens):
            option = tokens[0].partition("=")[0]
            raise UserError(f"{option}: no such option{_suggestion(option, names)}; --help lists them")
        case tyro_errors.InvalidChoice(argument=argument, value=value, choices=choices):
            raise UserError(f"{_option(argument)} {value}: accepted are {', '.join(sorted({*choices} - {'None'}))}")
        case tyro_errors.BadValue(argument=argument):
            raise UserError(f"{_option(argument)}: a value is missing")
        case tyro_errors.InstantiationFailure(argument=argument, message=message):
            raise UserError(_not_a_value("" if argument is None else _option(argument), " ".join(message.split())))
        case tyro_errors.MissingArgs(missing_arguments=missing):
            raise UserError(f"{', '.join(_option(context.arg) for context in missing)}: must be given")


def _not_a_value(option: str, message: str) -> str:
    kinds = {"int()": "must be a whole number", "float": "must be a number"}
    for sign, accepted in kinds.items():
        if sign in message and (value := re.search(r"'([^']*)'$", message)):
            return f"{option} {value[1]}: {accepted}"
    return f"{option}: {message}"


def _option(argument: Any) -> str:
    return argument.lowered.name_or_flags[-1].replace("-", "_").replace("__", "--", 1)


def _suggestion(token: str, names: list[str]) -> str:
    known = [f"--{name}" for name in names]
    close = difflib.get_close_matches(token.replace("-", "_").replace("__", "--", 1), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


class SettingsLoader(yaml.SafeLoader):
    """YAML without what makes a file of settings mean something else than it shows: keys given twice, and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            raise yaml.MarkedYAMLError(None, None, f"the alias *{event.anchor} is not accepted", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            seen: set = set()
            for key, _ in node.value:
                name = self.construct_object(key)
                if name in seen:
                    raise yaml.MarkedYAMLError(None, None, f"{name} is given twice", key.start_mark)
                seen.add(name)
        return mapping


def yaml_words(path: Path) -> list[str]:
    """A YAML file's settings as command-line words. Raises UserError when it cannot be read or is no mapping."""
    try:
        settings = yaml.load(path.read_text(), SettingsLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8, or an impossible date
        raise UserError(f"--config {path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise UserError(f"--config {path}: must be a mapping of settings, not {type(settings).__name__}")
    try:
        return [_word_of(name, value) for name, value in _leaves(settings)]
    except UserError as error:
        raise UserError(f"in {path}: {error}") from error


def _leaves(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and name.replace("-", "_") not in SETTINGS:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _word_of(name: str, value: Any) -> str:
    """One setting as a command-line word. Names that are no settings are left to the parser to refuse."""
    known = name.replace("-", "_")
    if known in ("config", "resume", "help"):
        raise UserError(f"--{name}: has no place in a file of settings")
    if isinstance(value, dict | list):
        text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).strip()
    else:
        text = str(value)
    if known not in SETTINGS:
        return f"--{name}={text}"
    if isinstance(SETTINGS[known], bool):
        require(isinstance(value, bool), name, text, "must be true or false")
        group, dot, key = name.rpartition(".")
        return f"--{name}" if value else f"--{group}{dot}no-{key}"
    require(not isinstance(value, bool), name, text, "must not be true or false; words like on, off, yes and no need quotes")
    require(value is not None or SETTINGS[known] is None, name, "null", "must have a value")
    require(not isinstance(value, list), name, text, "must be one value, not a list")
    require(not isinstance(value, dict) or known == "reward", name, text, "must be one value, not a mapping")
    return f"--{name}={text}"


def parse_value(name: str, value: Any) -> Any:
    """The value of one setting, as a command-line word or as Python has it, through the same parser. Raises UserError."""
    if name not in SETTINGS:
        close = difflib.get_close_matches(name, SETTINGS, n=1)
        raise UserError(f"no such setting{f' (did you mean {close[0]}?)' if close else ''}")
    if isinstance(SETTINGS[name], bool):
        value = {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value
        _word_of(name, value)
        return value
    word = _word_of(name, value)
    option = make_dataclass("Option", [("value", Annotated[TYPES[name], tyro.conf.arg(name=name)])])
    return parse(option, [word], "", "").value


def split_at_commas(text: str) -> list[str]:
    """The parts between commas that stand outside parentheses, brackets and braces; none of an empty text."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts] if text else []


def config_file(words: Sequence[str]) -> Path | None:
    """The last `--config FILE` or `--config=FILE` among command-line words."""
    found = None
    for i, word in enumerate(words):
        if word == "--config" and i + 1 < len(words):
            found = Path(words[i + 1])
        elif word.startswith("--config="):
            found = Path(word.partition("=")[2])
    return found


def resumed_folder(words: Sequence[str]) -> Path | None:
    """The folder of `--resume FOLDER` among command-line words."""
    for word, following in zip(words, [*words[1:], "--"], strict=False):
        if word == "--resume" and not following.startswith("--"):
            return Path(following)
        if word.startswith("--resume="):
            return Path(word.partition("=")[2])
    return None


def parse_with_config(
    options: type[Options], words: Sequence[str], description: str, prog: str, default: Options | None = None
) -> Options:
    """As `parse`, with the settings of `--config FILE` underneath, and below them those of the run of `--resume FOLDER`."""
    if any(word in ("-h", "--help") for word in words):
        return parse(options, words, description, prog, default)
    beneath: list[str] = []
    folder, file = resumed_folder(words), config_file(words)
    if folder and not (folder / "config.yaml").is_file():
        raise UserError(f"--resume {folder}: is not a run's folder: it has no config.yaml")
    for path in ([folder / "config.yaml"] if folder else []) + ([file] if file else []):
        from_file = yaml_words(path)
        try:
            parse(options, from_file, description, prog, default)
        except UserError as error:
            raise UserError(f"in {path}: {error}") from error
        beneath += from_file
    return parse(options, [*beneath, *words], description, prog, default)


def run_main(main: Callable[[], int | None]) -> int:
    """An entry point's exit code: 2 with one line on stderr for a UserError."""
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
