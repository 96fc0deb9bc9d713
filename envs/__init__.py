"""The environments. Another one is a file with its build function and a line in ENVIRONMENTS."""

from collections.abc import Callable
from dataclasses import dataclass

from envs import classifier, detectors, rewards, sentiment  # noqa: F401 -- they register themselves
from envs.chat import build_chat
from envs.repeat import build_repeat
from envs.stories import build_stories
from envs.types import Environment


@dataclass(frozen=True)
class EnvironmentEntry:
    """`build` takes the arguments of `build_stories`; `default_detector` is the call of the detector used if none is given.

    With `in_chat`, the `encode` that it gets puts a text into the model's chat template.
    """

    build: Callable[..., Environment]
    default_detector: str
    in_chat: bool = False


ENVIRONMENTS = {
    "stories": EnvironmentEntry(build=build_stories, default_detector="happy_at_least(threshold=3)"),
    "repeat": EnvironmentEntry(build=build_repeat, default_detector="repeat_stuffed(threshold=3)"),
    "chat": EnvironmentEntry(build=build_chat, default_detector="happy_at_least(threshold=3)", in_chat=True),
}
