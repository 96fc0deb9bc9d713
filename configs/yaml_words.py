"""A YAML file of settings as command-line words, so that it goes through the same parser and the same checks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from configs.errors import UserError
from configs.experiment import Experiment
from configs.resolve import flatten, require
from configs.spelling import todays_record

GRID = "grid."  # of a sweep's YAML file: `grid: {seed: 1..5, reward: [happy_binary, {name: happy_count, params: {cap: 5}}]}`
ARMS = "arms"  # likewise: `arms: {classic: {routing.enabled: true}, higher beta: {beta: 0.1}}`
PLUGINS = "plugins"  # `--plugin FILE`, as often as wanted
TAGS = "tags"  # `--tags TAG,TAG`
SETTINGS = flatten(Experiment())  # names and defaults; None where None is a value


class SettingsLoader(yaml.SafeLoader):
    """YAML without what makes a file of settings mean something else than it shows: keys given twice, and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            raise yaml.MarkedYAMLError(None, None, f"the alias *{event.anchor} is not accepted", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        mapping = super().construct_mapping(node, deep)
        names = [self.construct_object(key) for key, _ in node.value]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise yaml.MarkedYAMLError(None, None, f"{name} is given twice", node.value[i][0].start_mark)
        return mapping


def read_leaves(path: Path) -> dict[str, Any]:
    """{dotted name: value} as a YAML file has them. Raises UserError when it cannot be read or is no mapping.

    A record, a file that holds every setting, is given in today's spelling.
    """
    try:
        settings = yaml.load(path.read_text(), SettingsLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8, or an impossible date
        raise UserError(f"--config {path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise UserError(f"--config {path}: must be a mapping of settings, not {type(settings).__name__}")
    return todays_record(dict(_leaves(settings)), SETTINGS)


def is_record(leaves: dict[str, Any]) -> bool:
    """Whether these are all settings, as a run writes them down: nobody asked for each of them."""
    return leaves.keys() >= SETTINGS.keys()


def _leaves(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if name == ARMS and isinstance(value, dict):
            yield ARMS, {arm: dict(_leaves(each)) if isinstance(each, dict) else each for arm, each in value.items()}
        elif isinstance(value, dict) and value and name.removeprefix(GRID).replace("-", "_") not in SETTINGS:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def setting_words(name: str, value: Any) -> list[str]:
    """As `setting_word`; of plugins, of which there may be several, a word each, of tags and of arms one for all."""
    if name.startswith(GRID):
        values = value if isinstance(value, list) else [value]
        return [f"--grid={name.removeprefix(GRID)}={','.join(map(yaml_line, values))}"]
    if name == ARMS:
        return [f"--{ARMS}={yaml_line(value)}"]
    if name not in (PLUGINS, TAGS):
        return [setting_word(name, value)]
    texts = [value] if isinstance(value, str) else value
    are_texts = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    if name == TAGS:
        require(are_texts, TAGS, str(value), "must be a text, or a list of texts")
        return [f"--{TAGS}={','.join(texts)}"]
    require(are_texts, "plugin", str(value), "must be a file, or a list of files")
    return [f"--plugin={path}" for path in texts]


def axes_left(beneath: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words of a YAML file without the axes of its grid that the command line varies, too: that wins."""
    axes, in_grid = set[str](), False
    for word in words:
        if word.startswith("--"):
            option, _, word = word.partition("=")
            in_grid = option == "--grid"
        if in_grid:
            axes.add(word.partition("=")[0].strip().replace("-", "_"))
    return [word for word in beneath if not word.startswith("--grid=") or word.split("=")[1].replace("-", "_") not in axes]


def yaml_line(value: Any) -> str:
    """On one line."""
    if isinstance(value, dict | list):
        return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).strip()
    return str(value)


def setting_word(name: str, value: Any) -> str:
    """One setting as a command-line word. Names that are no settings are left to the parser to refuse."""
    known = name.replace("-", "_")
    if known in ("config", "resume", "help"):
        raise UserError(f"--{name}: has no place in a file of settings")
    text = yaml_line(value)
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
