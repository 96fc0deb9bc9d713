"""The prompts of the embedded stories, kept in the user's cache folder: telling the stories and tokenizing them takes seconds.

The name of a file is the digest of all that its prompts depend on, so that a file is right or is not found. It is written
whole under its name, by as many processes at once as there are. What is damaged is made anew, and what cannot be kept is not;
either is said. The folder may be deleted at any time.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import platformdirs
import tokenizers
from tokenizers import Tokenizer

import envs
import models
from configs.resolved import ResolvedExperiment
from envs.plugins import environments_of
from envs.stories import build_stories
from envs.types import Environment, Prompt
from models.hub import NURSERY
from models.nursery import generator

FOLDER = platformdirs.user_cache_path("small-rl") / "prompts"
CODE = ("stories.py", "types.py"), ("encoding.py", "texts.py", "nursery/generator.py", "nursery/inflect.py")  # of envs, models


class DamagedFile(ValueError):
    """A file that is not as it was written."""


def kept_environment(config: ResolvedExperiment, tokenizer: Tokenizer, build: Callable[[], Environment]) -> Environment:
    """What `build` builds, before BOS; read instead where it is nursery's stories and was kept."""
    if config.dataset != NURSERY or environments_of(config.plugins)[config.env.name].build is not build_stories:
        return build()
    file, note = FOLDER / f"{key_of(config, tokenizer)}.json", ""
    try:
        return read_environment(file)
    except FileNotFoundError:
        pass  # the first time
    except (OSError, DamagedFile) as error:
        note = f"{file}: {error}; its prompts were made anew"
    environment = build()
    try:
        write_environment(file, environment)
    except OSError as error:
        note = f"prompts could not be kept in {file.parent} ({error.strerror}), so every run makes them anew"
    return replace(environment, notes=(*environment.notes, *filter(None, [note])))


def key_of(config: ResolvedExperiment, tokenizer: Tokenizer) -> str:
    env = config.env
    depended_on = {
        "made by": digest_of_sources(),
        "stories": [generator.TRAIN_STORIES, generator.TEST_STORIES, generator.SEED],
        "splits": ["train", config.eval_split],
        "settings": [env.prompt_length, env.num_prompts, env.num_eval_prompts],
        "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
        "tokenizers": tokenizers.__version__,
    }
    return hashlib.sha256(json.dumps(depended_on).encode()).hexdigest()[:32]


@cache
def digest_of_sources() -> str:
    """Of the code that makes the prompts and the data that it makes them of, as they are when this process asks first."""
    digest = hashlib.sha256()
    for file in sources():
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def sources() -> Iterator[Path]:
    for package, names in zip((envs, models), CODE, strict=True):
        yield from (Path(str(package.__file__)).parent / name for name in names)
    yield from sorted(generator.DATA.rglob("*.txt"))


def write_environment(file: Path, environment: Environment) -> None:
    """A digest in the first line, in the second what it is of."""
    body = json.dumps([[(prompt.index, prompt.text, prompt.token_ids) for prompt in prompts] for prompts in splits(environment)])
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=file.parent, prefix=file.stem, suffix=".tmp", delete=False, encoding="utf-8") as temporary:
        temporary.write(f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}")
    Path(temporary.name).replace(file)


def splits(environment: Environment) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    return environment.train_prompts, environment.eval_prompts


def read_environment(file: Path) -> Environment:
    """Raises DamagedFile, and OSError where it cannot be read."""
    digest, _, body = file.read_bytes().partition(b"\n")
    if digest.decode(errors="replace") != hashlib.sha256(body).hexdigest():
        raise DamagedFile("is not as it was written")
    rows: list[list[Any]] = json.loads(body)
    train, evaluation = (tuple(Prompt(index, text, tuple(ids)) for index, text, ids in split) for split in rows)
    return Environment("stories", train, evaluation)
