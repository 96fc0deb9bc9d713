"""Which tokens end a completion: what transformers' generate() takes, and a line where its two files differ."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from models.loading import load_pretrained
from tests.helpers import VOCAB, tiny_tokenizer
from tests.models.folders import error_of, rewrite_config, rewrite_json

OF_GENERATION = "the EOS of generation_config.json, as in transformers; config.json has"
BOTH, ONE = "completions end with token 0 '[UNK]' or token 1 '[EOS]'", "completions end with token 1 '[EOS]'"
# The EOS of config.json and of generation_config.json, what ends a completion, and what is said.
CASES = {
    "one file": (1, None, (1,), None),
    "a list": ([0, 1], None, (0, 1), None),
    "equal": (1, 1, (1,), None),
    "equal as sets": ([1, 0], [0, 1], (0, 1), None),
    "generation alone": (None, [0, 1], (0, 1), f"{BOTH}, {OF_GENERATION} None"),
    "generation wins": (1, [0, 1], (0, 1), f"{BOTH}, {OF_GENERATION} 1"),
    "generation has one": ([0, 1], 1, (1,), f"{ONE}, {OF_GENERATION} [0, 1]"),
}


def write_eos(folder: Path, config: Any, generation: Any) -> None:
    rewrite_config(folder, eos_token_id=config)
    if generation is not None:
        rewrite_json(folder / "generation_config.json", eos_token_id=generation)


@pytest.mark.parametrize(("config", "generation", "expected", "said"), CASES.values(), ids=CASES)
def test_eos_is_what_ends_generation_in_transformers(folder: Path, config: Any, generation: Any, expected: Any, said: str | None):
    write_eos(folder, config, generation)
    pretrained = load_pretrained(str(folder))
    assert pretrained.model.config.eos_token_ids == expected
    assert pretrained.notes == (() if said is None else (said,))
    theirs = AutoModelForCausalLM.from_pretrained(folder).generation_config.eos_token_id
    assert (theirs if isinstance(theirs, list) else [theirs]) == [*expected]


def test_where_generation_config_names_none_config_does_and_that_is_said(folder: Path):
    rewrite_json(folder / "generation_config.json", temperature=0.5)
    pretrained = load_pretrained(str(folder))
    assert pretrained.model.config.eos_token_ids == (1,)
    assert pretrained.notes == (
        "completions end with token 1 '[EOS]', the EOS of config.json; generation_config.json names none",
    )


def test_without_eos_a_model_is_refused(folder: Path):
    rewrite_config(folder, eos_token_id=None)
    assert error_of(folder).endswith("names no EOS: neither generation_config.json nor config.json has eos_token_id")


@pytest.mark.parametrize(("eos", "what"), [(2, "'a'"), (VOCAB, "None"), ([1, 2], "'a'"), (-1, "None")])
def test_an_eos_that_is_no_special_token_of_the_tokenizer_is_refused(folder: Path, eos: Any, what: str):
    write_eos(folder, 1, eos)
    wrong = eos[-1] if isinstance(eos, list) else eos
    assert f"eos_token_id {wrong} is {what}, not a special token" in error_of(folder)


@pytest.mark.parametrize("eos", ["[EOS]", [], [1.0], {"id": 1}])
def test_an_eos_that_is_no_id_is_refused(folder: Path, eos: Any):
    write_eos(folder, eos, None)
    assert f"config.json: eos_token_id {eos!r}: must be a token's id or a list of them" in error_of(folder)


def test_an_eos_among_the_padding_rows_is_refused(folder: Path):
    tiny_tokenizer(VOCAB - 5).save(str(folder / "tokenizer.json"))
    write_eos(folder, VOCAB - 1, None)
    assert f"eos_token_id {VOCAB - 1} is None" in error_of(folder)
