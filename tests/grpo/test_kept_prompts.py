"""Prompts read from the user's cache are those that are made: to the byte, under any damage, with many processes at once."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.experiment import Experiment
from envs.types import Environment
from grpo import kept_prompts
from grpo.kept_prompts import key_of
from grpo.run import build_environment, build_learner, prepare
from models.loading import load_pretrained
from models.nursery import generator

MakeExperiment = Callable[..., Experiment]
Built = Callable[..., Environment]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(kept_prompts, "FOLDER", tmp_path / "cache" / "prompts")
    return tmp_path / "cache" / "prompts"


@pytest.fixture
def built(tiny: MakeExperiment) -> Built:
    def build(**settings: object) -> Environment:
        config = prepare(tiny(**settings))
        return build_environment(config, build_learner(config, load_pretrained(config.model)))

    return build


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The splits whose stories were told, each time."""
    splits, stories = [], generator.stories
    monkeypatch.setattr(generator, "stories", lambda split: (splits.append(split), stories(split))[1])
    return splits


def test_what_is_read_is_what_was_made_and_nothing_is_told_again(built: Built, folder: Path, told: list[str]):
    made = built()
    assert (len(made.train_prompts), len(made.eval_prompts)) == (40, 20)
    assert told == ["train", "test"]
    assert len([*folder.iterdir()]) == 1
    assert built() == made
    assert told == ["train", "test"]


@pytest.mark.parametrize("settings", [{"env.prompt_length": 7}, {"env.num_prompts": 39}, {"env.num_eval_prompts": 19}])
def test_other_settings_are_other_prompts(built: Built, folder: Path, settings: dict[str, int]):
    usual, other = built(), built(**settings)
    assert usual != other
    assert len([*folder.iterdir()]) == 2
    assert (built(), built(**settings)) == (usual, other)


def test_the_key_is_of_stories_tokenizer_and_code(tiny: MakeExperiment, monkeypatch: pytest.MonkeyPatch):
    config, tokenizer = prepare(tiny()), load_pretrained(tiny().model).tokenizer
    keys = [key_of(config, tokenizer)]
    tokenizer.add_tokens(["zzz"])
    keys.append(key_of(config, tokenizer))
    monkeypatch.setattr(generator, "TRAIN_STORIES", 59)
    keys.append(key_of(config, tokenizer))
    monkeypatch.setattr(kept_prompts, "digest_of_sources", lambda: "another")
    keys.append(key_of(config, tokenizer))
    keys.append(key_of(replace(config, eval_split="validation"), tokenizer))
    assert len({*keys}) == 5


def test_code_and_data_are_all_that_the_stories_are_made_by():
    names = {file.name for file in kept_prompts.sources()}
    assert names >= {"stories.py", "encoding.py", "texts.py", "generator.py", "inflect.py", "lexicon.txt", "moods.txt"}
    assert {file.name for file in (generator.DATA / "skeletons").iterdir()} <= names


@pytest.mark.parametrize("damage", [b"", b"{", b"0" * 64 + b"\n[[], []]"], ids=["empty", "torn", "another"])
def test_a_damaged_file_is_made_anew_and_said(built: Built, folder: Path, told: list[str], damage: bytes):
    made = built()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage)
    again = built()
    assert again.notes == (f"{file}: is not as it was written; its prompts were made anew",)
    assert replace(again, notes=()) == made
    assert told == ["train", "test"] * 2
    assert file.read_bytes() == whole


def test_where_nothing_can_be_kept_it_is_said_and_the_prompts_are_made(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = built()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(kept_prompts, "FOLDER", tmp_path / "file" / "prompts")
    again = built()
    reason = "Not a directory"
    assert again.notes == (f"prompts could not be kept in {tmp_path}/file/prompts ({reason}), so every run makes them anew",)
    assert replace(again, notes=()) == made


def test_what_cannot_be_built_is_not_kept(built: Built, folder: Path):
    with pytest.raises(UserError, match="no new story"):
        built(**{"env.prompt_length": 400})
    assert not folder.exists()


WRITES = """
import sys
from pathlib import Path
from envs.types import Environment, Prompt
from grpo.kept_prompts import read_environment, write_environment
environment = Environment("stories", tuple(Prompt(i, "a" * 50, (i,) * 8) for i in range(500)), ())
for _ in range(100):
    write_environment(Path(sys.argv[1]), environment)
    assert read_environment(Path(sys.argv[1])) == environment
"""


def test_many_processes_at_once_read_whole_files(tmp_path: Path):
    command = [sys.executable, "-c", WRITES, str(tmp_path / "kept" / "a.json")]
    root = Path(kept_prompts.__file__).parents[1]
    with ThreadPoolExecutor() as pool:
        done = [*pool.map(lambda _: subprocess.run(command, cwd=root, capture_output=True, check=False), range(3))]
    assert [(each.returncode, each.stderr) for each in done] == [(0, b"")] * 3
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["a.json"]
