"""What of a folder's tensors becomes the model, beside what transformers makes of the same folder."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from models.loading import load_pretrained
from models.weights import listed
from tests.helpers import tiny_llama
from tests.models.folders import IDS, error_of, logits_of, rewrite_config, rewrite_weights

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_fewer_bits_are_read_into_float32_and_said(folder: Path, dtype: torch.dtype):
    rewrite_weights(folder, lambda weights: {name: tensor.to(dtype) for name, tensor in weights.items()})
    loaded = load_pretrained(str(folder))
    for name, parameter in tiny_llama(dtype=torch.float32).named_parameters():
        assert loaded.model.get_parameter(name).dtype == torch.float32
        assert torch.equal(loaded.model.get_parameter(name), parameter.to(dtype).float()), name
    stored = str(dtype).removeprefix("torch.")
    assert loaded.notes == (f"the model's weights are stored as {stored}; all is computed in float32",)


def test_of_float32_weights_there_is_nothing_to_say(folder: Path):
    assert load_pretrained(str(folder)).notes == ()


def test_quantized_weights_are_refused_by_name(folder: Path):
    name = "model.layers.0.mlp.up_proj.weight"
    rewrite_weights(folder, lambda weights: weights | {name: weights[name].to(torch.int8)})
    assert error_of(folder).endswith(f"{name} is stored as int8; accepted are weights as float32, bfloat16, float16, float64")


# The head


def test_a_tied_head_stored_a_second_time_is_left_out(folder: Path):
    rewrite_weights(folder, lambda weights: weights | {HEAD: weights[EMBEDDING].clone()})
    loaded = load_pretrained(str(folder))
    assert loaded.model.config.tie_word_embeddings and loaded.notes == ()
    assert torch.equal(logits_of(loaded.model), logits_of(tiny_llama(dtype=torch.float32)))


@torch.no_grad()
def test_a_head_that_differs_under_a_tied_config_stands_as_in_transformers(folder: Path):
    """transformers 5 does not tie them then either."""
    rewrite_weights(folder, lambda weights: weights | {HEAD: weights[EMBEDDING].flip(0).contiguous()})
    loaded = load_pretrained(str(folder))
    twin = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits_of(loaded.model), twin(IDS).logits, atol=1e-5, rtol=0)
    assert (logits_of(loaded.model) - logits_of(tiny_llama(dtype=torch.float32))).abs().max() > 1
    assert not loaded.model.config.tie_word_embeddings
    said = f"{HEAD} differs from the embedding, so it is the head, as in transformers, although config.json ties them"
    assert loaded.notes == (said,)


def test_a_head_without_an_embedding_is_not_taken_for_it(folder: Path):
    rewrite_weights(folder, lambda weights: {HEAD if key == EMBEDDING else key: tensor for key, tensor in weights.items()})
    assert error_of(folder).endswith(f"its weights do not fit its config.json: missing: {EMBEDDING}")


def test_an_untied_config_needs_its_own_head(folder: Path):
    rewrite_config(folder, tie_word_embeddings=False)
    assert error_of(folder).endswith(f"missing: {HEAD}")


# What else is stored


def test_the_rotary_buffers_of_old_files_are_left_out(folder: Path):
    names = [f"model.layers.{i}.self_attn.rotary_emb.inv_freq" for i in range(2)]
    rewrite_weights(folder, lambda weights: weights | {name: torch.ones(2) for name in names})
    assert torch.equal(logits_of(load_pretrained(str(folder)).model), logits_of(tiny_llama(dtype=torch.float32)))


@pytest.mark.parametrize("name", ["rotary_emb.inv_freq", "model.layers.0.self_attn.rotary_emb.inv_freq.scale", "model.inv_freq"])
def test_nothing_else_is_left_out(folder: Path, name: str):
    rewrite_weights(folder, lambda weights: weights | {name: torch.ones(2)})
    assert error_of(folder).endswith(f"unexpected: {name}")


def test_of_many_names_the_first_are_listed():
    assert listed("abc") == "a, b, c"
    assert listed("abcde") == "a, b, c and 2 more"
