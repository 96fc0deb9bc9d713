"""Checkpoint folders of every family, as transformers writes and reads them."""

import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from configs.errors import UserError
from models.loading import load_pretrained
from models.saving import save_pretrained
from tests.families import TINY, pair, tiny_model, tiny_raw
from tests.helpers import random_prompts, right_padded, tiny_tokenizer

IDS = right_padded(random_prompts([7, 7]))
# What files of earlier versions of transformers hold beside the weights.
BUFFERS = {
    "qwen2": ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"],
    "qwen3": [],
    "gpt_neox": [f"gpt_neox.layers.1.attention.{name}" for name in ("bias", "masked_bias", "rotary_emb.inv_freq")],
    "gpt_neo": [f"transformer.h.2.attn.attention.{name}" for name in ("bias", "masked_bias")],
}


def add_tensors(folder, names) -> None:
    file = folder / "model.safetensors"
    save_file(load_file(file) | {name: torch.ones(3) for name in names}, file, metadata={"format": "pt"})


@pytest.fixture(params=TINY)
def saved(request, tmp_path):
    """A folder that transformers wrote, and its model."""
    twin, _ = pair(tiny_raw(request.param), gain=1.5)
    twin.save_pretrained(tmp_path)
    tiny_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return request.param, tmp_path, twin


@torch.no_grad()
def test_we_read_what_transformers_saves_and_buffers_of_old_files_are_left_out(saved):
    kind, folder, twin = saved
    add_tensors(folder, BUFFERS[kind])
    loaded = load_pretrained(str(folder)).model
    torch.testing.assert_close(loaded(IDS) @ loaded.head.T, twin(IDS).logits, atol=1e-5, rtol=0)


def test_no_other_name_is_left_out(saved):
    kind, folder, _ = saved
    for name in [*(f"x.{buffer}" for buffer in BUFFERS[kind]), "attention.bias", "rotary_emb.inv_freq", "lm_head.bias"]:
        before = load_file(folder / "model.safetensors")
        add_tensors(folder, [name])
        with pytest.raises(UserError, match=f"do not fit its config.json: .*{re.escape(name)}"):
            load_pretrained(str(folder))
        save_file(before, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("kind", TINY)
@torch.no_grad()
def test_a_head_that_differs_under_a_tied_config_stands_as_in_transformers(kind, tmp_path):
    model = tiny_model(kind, dtype=torch.float32, tie_word_embeddings=True)
    save_pretrained(model, tiny_tokenizer(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors") | {model.stored_head: model.output_embedding.flip(0).contiguous()}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = load_pretrained(str(tmp_path))
    twin = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded.model(IDS) @ loaded.model.head.T, twin(IDS).logits, atol=1e-5, rtol=0)
    assert not loaded.model.config.tie_word_embeddings and model.stored_head in loaded.notes[0]


@pytest.mark.parametrize("kind", TINY)
@torch.no_grad()
def test_transformers_and_we_read_what_we_save(kind, tmp_path):
    model = tiny_model(kind, dtype=torch.float32)
    save_pretrained(model, tiny_tokenizer(), tmp_path)
    twin, loaded = AutoModelForCausalLM.from_pretrained(tmp_path), load_pretrained(str(tmp_path)).model
    logits = model(IDS) @ model.head.T
    torch.testing.assert_close(twin(IDS).logits, logits, atol=1e-5, rtol=0)
    assert torch.equal(loaded(IDS) @ loaded.head.T, logits)
    assert loaded.config == model.config
