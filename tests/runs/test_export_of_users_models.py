"""What is exported of a run whose model has BOS, several EOS, a head of its own, or a chat template, as transformers reads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, processors
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.experiment import Experiment
from models.loading import load_pretrained
from runs.export import export_checkpoint
from runs.restore import load_learner
from runs.trainer import train
from tests.helpers import random_prompts, right_padded

MakeExperiment = Callable[..., Experiment]
UNK, EOS = 0, 1
IDS = right_padded(random_prompts([9, 9], vocab=4096))


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A model whose tokenizer puts [UNK] before a text and [EOS] behind it, with a template and two EOS."""
    shutil.copytree(model_folder, folder := tmp_path / "users")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = [(token, tokenizer.token_to_id(token)) for token in ("[UNK]", "[EOS]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[UNK] $A [EOS]", special_tokens=special)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [EOS, UNK]}))
    (folder / "chat_template.jinja").write_text("the {{ messages[0]['content'] }} [EOS] she said")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"] * 1.01
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture
def exported(tiny: MakeExperiment, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    def export(**settings: Any) -> Path:
        monkeypatch.setattr("runs.trainer.preflight", lambda _: ())
        record = train(tiny(model=str(folder), max_steps=1, **{"eval.final_samples": 0}, **settings), quiet=True)
        export_checkpoint(record.folder / "checkpoint-1", None, "hf", tmp_path / "out")
        return tmp_path / "out"

    return export


def test_bos_eos_and_the_head_are_those_of_training(exported: Callable[..., Path], tmp_path: Path):
    out = exported(**{"routing.enabled": True})
    plain = Tokenizer.from_file(str(tmp_path / "users" / "tokenizer.json")).encode("a big cat", add_special_tokens=False).ids
    assert AutoTokenizer.from_pretrained(out)("a big cat").input_ids == [UNK, *plain]
    assert load_pretrained(str(out)).bos.own == (UNK,)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.generation_config.eos_token_id == [EOS, UNK]
    assert model.config.tie_word_embeddings is False
    (checkpoint,) = (tmp_path / "output").glob("*/checkpoint-1")
    policy = load_learner(checkpoint, "cpu").policy
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, policy(IDS) @ policy.head.T, atol=1e-5, rtol=0)
    assert "`tie_word_embeddings` is false" in (out / "README.md").read_text()


def test_without_bos_in_training_there_is_none(exported: Callable[..., Path]):
    out = exported(**{"env.bos": "never"})
    assert AutoTokenizer.from_pretrained(out)("a big cat").input_ids[0] != UNK


def test_after_chat_a_plain_text_begins_as_the_bases_does(exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    texts = {"train": ["big cat?", "small cat?", "old cat?"], "test": ["new cat?"]}
    monkeypatch.setattr("grpo.run.load_texts", lambda *_: lambda split: iter(texts[split]))
    out = exported(**{"env.name": "chat"})
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer("cat").input_ids[0] == UNK and tokenizer("cat").input_ids[-1] != EOS
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "big cat?"}], add_generation_prompt=True)["input_ids"]
    assert ids == tokenizer("the big cat? [EOS] she said", add_special_tokens=False).input_ids
