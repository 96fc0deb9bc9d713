"""BOS before prompts: in their ids alone, for every environment, and for evaluate.py's --prompt alike."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors

from configs.errors import UserError
from configs.experiment import Experiment
from grpo.prompting import with_bos
from grpo.run import Run, build_run, prepare
from runs.reevaluation import read_prompt
from runs.restore import prompts_fingerprint

MakeExperiment = Callable[..., Experiment]
UNK = 0  # which stands for a BOS here


@pytest.fixture
def bos_folder(model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model, with a tokenizer that puts [UNK] before a text and [EOS] behind it."""
    folder = tmp_path / "with bos"
    shutil.copytree(model_folder, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = [(token, tokenizer.token_to_id(token)) for token in ("[UNK]", "[EOS]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[UNK] $A [EOS]", special_tokens=special)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def ids_and_texts(run: Run) -> list[tuple[tuple[int, ...], str]]:
    environment = run.environment
    return [(prompt.token_ids, prompt.text) for prompt in environment.train_prompts + environment.eval_prompts]


@pytest.mark.parametrize("environment", [{}, {"env.name": "repeat", "reward": "repeat_words"}], ids=["stories", "repeat"])
def test_a_tokenizer_with_bos_puts_it_before_every_prompt(tiny: MakeExperiment, bos_folder: Path, environment: dict[str, str]):
    run, without = (build_run(prepare(tiny(model=str(bos_folder), **environment, **more))) for more in ({}, {"env.bos": "never"}))
    assert ids_and_texts(run) == [((UNK, *ids), text) for ids, text in ids_and_texts(without)]
    assert run.notes == ("prompts begin with BOS (token 0 '[UNK]')",) and without.notes == ()
    if not environment:
        assert {len(prompt.token_ids) for prompt in run.environment.train_prompts} == {1 + 8}
    theirs = prompts_fingerprint(without.environment.train_prompts)
    assert prompts_fingerprint(run.environment.train_prompts) != theirs


def test_a_prompt_of_ones_own_has_it_too(tiny: MakeExperiment, bos_folder: Path):
    run = build_run(prepare(tiny(model=str(bos_folder))))
    prompt = read_prompt(run, "a big cat")
    assert prompt.token_ids == (UNK, *run.tokenizer.encode("a big cat", add_special_tokens=False).ids)
    assert prompt.text == "a big cat"
    with pytest.raises(UserError, match="holds no token"):
        read_prompt(run, " ")


def test_always_takes_the_bos_that_the_model_names(tiny: MakeExperiment, model_folder: Path):
    with pytest.raises(UserError, match=r"^--env\.bos always: the model has none"):
        build_run(prepare(tiny(model=str(model_folder), **{"env.bos": "always"})))


def test_bos_counts_in_the_context(tiny: MakeExperiment, bos_folder: Path):
    fits = {"model": str(bos_folder), "sampling.max_completion_length": 64 - 9}
    build_run(prepare(tiny(**fits)))
    with pytest.raises(UserError, match="with prompts of up to 9 tokens it exceeds the model's context of 64"):
        build_run(prepare(tiny(**fits | {"sampling.max_completion_length": 64 - 8})))


def test_without_bos_an_environment_stays_what_it_is(tiny: MakeExperiment):
    environment = build_run(prepare(tiny())).environment
    assert with_bos(environment, ()) is environment
