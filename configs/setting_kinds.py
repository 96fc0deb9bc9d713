"""Kinds of settings that are more than a number or a choice: what they accept, and how a command line writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml
from pydantic import BeforeValidator, Field

SplitName = Annotated[str, Field(pattern=r"^\w+([.-]\w+)*$", description="must be the name of a split: a word")]
PART_OF_NAME = "must be part of a folder's name: at most 100 letters, digits and . _ + -, a letter or digit first"
FolderName = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._+-]{0,99})?$", description=PART_OF_NAME)]


def default_is(words: str) -> Any:
    """What help says of a setting whose default is worked out, or is nothing."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {words})")


def _listed(value: Any) -> Any:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else value


SourcePath = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, Path) else value)]
Plugins = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(description="must be a list of files")]

Tag = Annotated[str, Field(pattern=r"^[^,\n]{1,64}$")]  # 64: what wandb takes
Tags = Annotated[
    tuple[Tag, ...],
    BeforeValidator(_listed),
    Field(description="must be a list of texts of at most 64 characters, without commas"),
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="TAG,TAG",
        instance_from_str=lambda words: tuple(tag.strip() for tag in words[0].split(",")) if words[0] else (),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda tags: [",".join(tags)],
    ),
]


def _reward_from_words(words: list[str]) -> str | dict[str, Any]:
    (text,) = words
    if not text.lstrip().startswith("{"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text}: not a YAML mapping") from error


def _words_of_reward(reward: Any) -> list[str]:
    return [yaml.safe_dump(reward, default_flow_style=True) if isinstance(reward, dict) else str(reward)]


RewardSetting = Annotated[
    str | dict[str, Any] | Callable[..., Any],
    Field(description="must be a text or must be a mapping, or in Python a function"),
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME|NAME(PARAM=VALUE)|{YAML}",
        instance_from_str=_reward_from_words,
        is_instance=lambda value: isinstance(value, str | dict) or callable(value),
        str_from_instance=_words_of_reward,
    ),
]
