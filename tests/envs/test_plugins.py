"""A user's own file: what it registers, whose it is, and what is refused; and a function of a Python session."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.errors import UserError
from configs.experiment import EnvironmentSettings, Experiment
from configs.naming import config_hash, run_name, to_dict
from configs.plugins import resolved_plugins
from configs.resolved import ResolvedExperiment
from envs import ENVIRONMENTS
from envs import prepare as preparation
from envs.plugins import environments_of, tables_of
from envs.registry import DETECTORS, REWARDS, detector, reward
from envs.rewards import happy_count
from envs.types import Completion

ASKING = """
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from envs import ENVIRONMENTS, EnvironmentEntry
from envs.combination import Combination, Component
from envs.registry import REWARDS, add, detector, reward
from envs.types import Completion


@dataclass
class Bonus:
    unit: "float" = 0.25


@reward(hack="asks(threshold=3)")
def asking(completions: list[Completion], cap: Annotated[int, Field(ge=1)] = 3) -> list[float]:
    return [min(each.text.count("?"), cap) * Bonus().unit for each in completions]


@detector()
def asks(completions: list[Completion], threshold: int = 3) -> list[bool]:
    return [each.text.count("?") >= threshold for each in completions]


parts = (Component("happy_count", "retain"), Component("asking", "forget"))
add(REWARDS, "both", Combination(parts, hack="asks(threshold=1)", name="both"))
ENVIRONMENTS["elsewhere"] = EnvironmentEntry(build=ENVIRONMENTS["stories"].build, default_detector="asks")
"""
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str = "my_rewards.py", code: str = ASKING) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
        return str(tmp_path / name)

    return to


def prepared(*plugins: str, **settings: Any) -> ResolvedExperiment:
    return preparation.prepare(Experiment(plugins=plugins, **settings), cuda_available=False)


def names(settings: ResolvedExperiment) -> tuple[str, str]:
    return run_name(settings, preparation.of_reward(settings).detector), config_hash(settings)


def test_what_a_file_registers_is_there_for_the_experiment_that_names_it(write: Write, written):
    file, before = write(), [dict(table) for table in (REWARDS, DETECTORS, ENVIRONMENTS)]
    settings = prepared(file, reward="asking(cap=2)")
    bound, sees = preparation.bind_scores(settings)
    texts = [written("? ? ?"), written("a ?")]
    (part,) = bound.components
    assert (part.function(texts), sees(texts), settings.env.detector) == ([0.5, 0.25], [True, False], "asks(threshold=3)")
    assert preparation.bind_scores(prepared(file, reward="both"))[0].name == "both"
    assert "elsewhere" in environments_of([file])
    assert [dict(table) for table in (REWARDS, DETECTORS, ENVIRONMENTS)] == before
    with pytest.raises(UserError, match="--reward asking: reward 'asking' is unknown"):
        prepared(reward="asking")
    with pytest.raises(UserError, match=r"--env\.name elsewhere: accepted are stories"):
        prepared(env=EnvironmentSettings(name="elsewhere"))


def test_its_path_and_digest_are_in_the_settings_and_its_code_in_the_hash(write: Write, tmp_path: Path, monkeypatch):
    file, digest = write(), hashlib.sha256(ASKING.encode()).hexdigest()
    settings = prepared(file, reward="asking")
    assert to_dict(settings)["plugins"] == [f"{file}@sha256:{digest}"]
    before = names(settings)
    assert before[0].endswith(f"_pluginsmy-rewards-{digest[:8]}")
    assert before != names(prepared(write("my_rewards2.py", ASKING + "# 2\n"), reward="asking"))
    moved = shutil.copy(file, (tmp_path / "moved").mkdir() or tmp_path / "moved" / "my_rewards.py")
    assert names(prepared(str(moved), reward="asking")) == before
    assert names(prepared(file)) != names(prepared())  # it may have changed what is registered
    monkeypatch.chdir(tmp_path)
    assert prepared("my_rewards.py", reward="asking") == settings
    write(code=ASKING + "\n")
    assert names(prepared(file, reward="asking")) != before


def test_the_same_code_counts_once(write: Write):
    file = write()
    again, other = resolved_plugins([file])[0], write("other.py", "from envs.registry import reward\n")
    assert prepared(file, again, file, other).plugins == (again, *resolved_plugins([other]))
    assert tables_of([file]).rewards["asking"] is tables_of([again]).rewards["asking"]


def test_a_recorded_one_that_is_missing_or_changed_is_refused(write: Write):
    file = write()
    settings = prepared(file, reward="asking")
    write(code=ASKING + "\n")
    with pytest.raises(UserError, match=f"^--plugin {file}: has changed: its SHA-256 was [0-9a-f]{{64}}, is [0-9a-f]{{64}}$"):
        preparation.bind_scores(settings)
    Path(file).unlink()
    with pytest.raises(UserError, match=f"^--plugin {file}: cannot be read: No such file or directory$"):
        preparation.bind_scores(settings)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\ny = 1 / 0\n", "{file}:2: ZeroDivisionError: division by zero"),
        ("def f(:\n", "{file}:1: SyntaxError: .*"),
        ("raise SystemExit('no')", "{file}:1: SystemExit: no"),
        (
            "from envs.registry import *\n\n@reward()\ndef happy_count(completions): ...",
            "{file}:3: ValueError: happy_count is reg.*",
        ),
        (
            "from envs.registry import *\n\n@reward()\ndef f(completions, a: list = ()): ...",
            "{file}:3: TypeError: parameter a .*",
        ),
        ("from envs import *\nENVIRONMENTS['stories'] = None", "{file}: stories is registered already; it needs another name"),
        ("from envs.registry import *\n@reward()\ndef f(c): ...\nREWARDS.pop('happy_exp')", "{file}: happy_exp is registered .*"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_and_leaves_nothing_behind(write: Write, code: str, message: str):
    file, before = write(code=code), [dict(table) for table in (REWARDS, DETECTORS, ENVIRONMENTS)]
    with pytest.raises(UserError, match=f"^--plugin {message.format(file=file)}$"):
        prepared(file)
    assert [dict(table) for table in (REWARDS, DETECTORS, ENVIRONMENTS)] == before


def test_two_files_with_one_name_are_refused(write: Write):
    first, second = write(), write("other.py", ASKING + "\n")
    with pytest.raises(UserError, match=rf"^--plugin {second}: asking is registered already; it needs another name$"):
        prepared(first, second)


# Functions


def shouting(completions: list[Completion], mark: str = "!") -> list[float]:
    return [float(mark in each.text) for each in completions]


def test_a_function_is_a_reward_told_by_its_source(written):
    settings = preparation.prepare(Experiment(reward=shouting), cuda_available=False)
    bound, _ = preparation.bind_scores(settings)
    assert settings.reward == "shouting(mark='!')" and bound.hack is None
    (part,) = bound.components
    assert part.function([written("oh !"), written("oh")]) == [1.0, 0.0]
    source = 'def shouting(completions: list[Completion], mark: str = "!") -> list[float]:\n'
    source += "    return [float(mark in each.text) for each in completions]\n"
    assert settings.plugins == (f"<python>@sha256:{hashlib.sha256(source.encode()).hexdigest()}",)
    assert "_pluginspython-" in names(settings)[0]
    again = preparation.prepare(Experiment(reward=shouting), cuda_available=False)
    assert again == settings
    with pytest.raises(UserError, match="reward 'shouting' is unknown"):
        prepared(reward="shouting")


def test_a_decorated_function_has_its_hack_whose_source_counts_too(monkeypatch, written):
    monkeypatch.setattr("envs.plugins.REWARDS", rewards := dict(REWARDS))
    monkeypatch.setattr("envs.plugins.DETECTORS", detectors := dict(DETECTORS))
    monkeypatch.setattr("envs.registry.REWARDS", rewards)
    monkeypatch.setattr("envs.registry.DETECTORS", detectors)
    reward(hack="screams")(shouting)
    detector()(screams)
    settings = preparation.prepare(Experiment(reward=shouting), cuda_available=False)
    bound, sees = preparation.bind_scores(settings)
    assert bound.hack is not None and bound.hack([written("!!!")]) == sees([written("!!!")]) == [True]
    detectors["screams"] = replace(detectors["screams"], function=screams_differently)
    assert preparation.prepare(Experiment(reward=shouting), cuda_available=False).plugins != settings.plugins
    # in a notebook, the name of one is as good
    shouting.__module__, by_name = "__main__", Experiment(reward="shouting(mark='?')")
    told = preparation.prepare(by_name, cuda_available=False)
    assert told.reward == "shouting(mark='?')" and told.plugins[0].startswith("<python>@sha256:")
    reward(hack="screams")(shouting)  # its cell, run again


def screams(completions: list[Completion]) -> list[bool]:
    return ["!!!" in each.text for each in completions]


def screams_differently(completions: list[Completion]) -> list[bool]:
    return ["!!" in each.text for each in completions]


def test_a_shipped_function_is_its_name():
    assert preparation.prepare(Experiment(reward=happy_count), cuda_available=False) == prepared(reward="happy_count")


def enclosing(word: str) -> Callable[[list[Completion]], list[float]]:
    def said(completions: list[Completion]) -> list[float]:
        return [float(word in each.text) for each in completions]

    return said


def needing(completions: list[Completion], word: str) -> list[float]:
    return [float(word in each.text) for each in completions]


def listing(completions: list[Completion], words: tuple = ()) -> list[float]:
    return [float(len(words)) for _ in completions]


def elsewhere() -> Callable[[list[Completion]], list[float]]:
    names: dict[str, Any] = {"__name__": "typed"}
    exec("def typed(completions): return [0.5 for _ in completions]", names)
    return names["typed"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda completions: [0.5 for _ in completions], "--reward <function .*>: must be a function that `def` makes"),
        (int, "--reward <class 'int'>: must be a function that `def` makes"),
        (enclosing("happy"), "--reward said: uses word of the function around it, which its source does not tell; .*"),
        (needing, r"--reward needing: parameter word \(a string\) is required"),
        (listing, "--reward listing: parameter words is annotated with <class 'tuple'>; accepted are .*"),
        (elsewhere(), "--reward typed: no source tells what it is; put it into a file for --plugin"),
    ],
)
def test_a_function_whose_source_does_not_tell_what_it_does_is_refused(function: Any, message: str):
    with pytest.raises(UserError, match=f"^{message}$"):
        preparation.prepare(Experiment(reward=function), cuda_available=False)


def test_a_session_that_is_over_is_told():
    settings = replace(prepared(), plugins=(f"<python>@sha256:{'0' * 64}",))
    with pytest.raises(UserError, match=r"^--reward: was a function of a Python session, .*; resume it in Python, with that"):
        preparation.bind_scores(settings)
