"""Whole runs in a fraction of a second: a tiny model in a folder, few stories, and settings that use them."""

import tests.shapes  # noqa: F401, I001 -- before everything whose annotations it checks

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

import sweep
from configs.errors import speaking_of
from configs.experiment import Experiment
from grpo import kept_prompts
from models.llama import Llama
from models.nursery import generator
from models.saving import save_pretrained
from runs.trainer import RunRecord, train
from tests.helpers import STORIES, randomize, tiny_config
from tests.sweep_door import Scheduler

torch.set_num_threads(1)  # the models are so small that threads only wait for one another,
os.environ["OMP_NUM_THREADS"] = "1"  # in processes of their own, too

MakeExperiment = Callable[..., Experiment]

# In common words a completion of 12 tokens says "happy" about once in two, twice in five, and ends in about one of two.
COMMON = ("the", "a", "cat", "was", "and", "very", "big", ".", "happy")
TINY = {
    "max_steps": 3,
    "batch_size": 8,
    "num_generations": 4,
    "device": "cpu",
    "env.num_prompts": 40,
    "env.num_eval_prompts": 20,
    "sampling.max_completion_length": 12,
    "eval.num_prompts": 8,
    "eval.final_samples": 12,
    "wandb.mode": "disabled",
}

# Runs of three steps at learning rates that move every mode far from the others.
FINISHED = {
    "routed": {
        "reward": "sentence_length_5_with_happy",
        "routing.enabled": True,
        "lr": 0.05,
        "eval_every": 1,
        "save_steps": 2,
        "env.detector": "happy_at_least(threshold=3)",
    },  # fmt: skip -- it misses some hacks
    "half_stride": {"adapter.kind": "dual_lora", "adapter.stride": 2, "adapter.alpha": 6.0, "adapter.retain_rank": 3, "lr": 0.05},
    "lora": {"adapter.kind": "lora", "lr": 0.05},
    "full": {"beta": 0.0, "lr": 0.02},
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with the embedded tokenizer; EOS and a few words are likely."""
    tokenizer = Tokenizer.from_file(str(generator.DATA / "tokenizer.json"))
    model = randomize(Llama(tiny_config(vocab_size=tokenizer.get_vocab_size())), seed=0)
    with torch.no_grad():
        # The first coordinate is large in every token, and so in every hidden state: what a token has there is its bias.
        embedding = model.model.embed_tokens.weight
        embedding[:, 0] = 2.0
        embedding[[tokenizer.token_to_id(word) for word in COMMON], 0] = 5.2
        embedding[model.config.eos_token_ids[0], 0] = 5.0
        model.model.norm.weight[0] = 1.0
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_pretrained(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def first_stories() -> dict[str, list[str]]:
    return {split: list(generator.stories(split, count)) for split, count in STORIES.items()}


@pytest.fixture
def few_stories(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nursery dataset ends after its first stories."""
    end_early(monkeypatch)


def end_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(generator, "TRAIN_STORIES", STORIES["train"])
    patch.setattr(generator, "TEST_STORIES", STORIES["test"])


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is kept in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_prompts, "FOLDER", tmp_path_factory.mktemp("cache") / "prompts")
        yield


@pytest.fixture(autouse=True)
def _speaking_of_options() -> Iterator[None]:
    """Messages are those that a door gives. Tests of what Python is told turn it off."""
    with speaking_of(options=True):
        yield


@pytest.fixture
def tiny(model_folder: Path, few_stories: None, tmp_path: Path) -> MakeExperiment:  # noqa: ARG001
    """`tiny(max_steps=5, **{"routing.enabled": True})`: settings of a tiny run, others by dotted name."""

    def make(**settings: Any) -> Experiment:
        return with_settings(Experiment(model=str(model_folder), output_dir=tmp_path / "output"), TINY | settings)

    return make


@pytest.fixture(scope="session")
def trained_once(model_folder: Path) -> Callable[..., RunRecord]:
    """`trained_once(output_dir, **settings)`: such a run's record, for fixtures that live longer than a test."""

    def run(output_dir: Path, **settings: Any) -> RunRecord:
        experiment = with_settings(Experiment(model=str(model_folder), output_dir=output_dir), TINY | settings)
        with pytest.MonkeyPatch.context() as patch:
            end_early(patch)
            return train(experiment, quiet=True)

    return run


@pytest.fixture
def tiny_words(tiny: MakeExperiment) -> Callable[..., list[str]]:
    """The same settings as words of a command line, with more words behind them."""

    def make(*words: str) -> list[str]:
        experiment = tiny()
        options = TINY | {"model": experiment.model, "output_dir": experiment.output_dir}
        return [f"--{name}={value}" for name, value in options.items()] + list(words)

    return make


@pytest.fixture(scope="session")
def finished_run(trained_once: Callable[..., RunRecord], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`finished_run(kind)`: the folder of a run by name (`FINISHED`), trained once a session and not to be written into."""

    @cache
    def run(kind: str) -> Path:
        return trained_once(tmp_path_factory.mktemp(kind), **FINISHED[kind]).folder

    return run


@pytest.fixture
def checkpoint(finished_run: Callable[[str], Path], few_stories: None, tmp_path: Path) -> Callable[[str], Path]:  # noqa: ARG001
    """`checkpoint(kind)`: the last checkpoint of such a run, in a copy of its folder."""

    def copy(kind: str = "routed") -> Path:
        folder = finished_run(kind)
        shutil.copytree(folder, tmp_path / folder.name)
        return tmp_path / folder.name / "checkpoint-3"

    return copy


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scheduler:
    """In an empty directory, without a GPU."""
    stand_in = Scheduler()
    monkeypatch.setattr(sweep, "run_plan", stand_in)
    monkeypatch.setattr(sweep, "gpus", list)
    monkeypatch.chdir(tmp_path)
    return stand_in


def with_settings(experiment: Any, settings: dict[str, Any]) -> Any:
    """`settings` by dotted name."""
    for name, value in settings.items():
        group, _, key = name.rpartition(".")
        change = {key: value} if not group else {group: replace(getattr(experiment, group), **{key: value})}
        experiment = replace(experiment, **change)
    return experiment
