"""Every family against transformers, both reading the same raw config.json and the same random weights."""

import json
import math

import pytest
import torch

from models.decoder_config import RopeScaling, UnsupportedModel
from models.families import FAMILIES, config_from_hf, model_of
from models.rotary import scaled_frequencies
from tests.families import (
    LLAMA3_ROPE,
    SHAPES,
    TINY,
    in_float64_throughout,
    pair,
    tiny_model,
    tiny_raw,
    twin_config,
    twin_of,
    without,
)
from tests.helpers import random_prompts
from tests.models.comparisons import assert_same_logits

# What real models of the shapes are not, but other checkpoints of the family.
VARIANTS = {
    "an untied Qwen2": tiny_raw("qwen2", tie_word_embeddings=False),
    "Qwen2 with linear positions": tiny_raw("qwen2", rope_scaling={"type": "linear", "factor": 4.0}),
    "Qwen3 with biases": without(tiny_raw("qwen3", attention_bias=True), "head_dim"),  # which is 128 then
    "NeoX in a row": tiny_raw("gpt_neox", use_parallel_residual=False),
    "NeoX with other shares": tiny_raw("gpt_neox", rotary_pct=1.0, rotary_emb_base=50),
    "NeoX with half": tiny_raw("gpt_neox", rotary_pct=0.5),
    "NeoX without biases": tiny_raw("gpt_neox", attention_bias=False, hidden_act="gelu_fast"),
    "a tied NeoX": tiny_raw("gpt_neox", tie_word_embeddings=True, hidden_act="gelu_new"),
    "NeoX with linear positions": tiny_raw("gpt_neox", rope_scaling={"type": "linear", "factor": 4.0}),
    "Neo with local layers": tiny_raw("gpt_neo"),
    "Neo with exact gelu": tiny_raw("gpt_neo", activation_function="gelu", intermediate_size=40),
    "an untied Neo": tiny_raw("gpt_neo", tie_word_embeddings=False),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_logits_equal_those_of_transformers_in_the_shapes_of_real_models(name):
    twin, ours = pair(SHAPES[name])
    assert_same_logits(twin, ours, 1e-5)
    if "llama3" not in str(SHAPES[name]):  # whose frequencies transformers computes in float32 alone
        assert_same_logits(in_float64_throughout(twin), ours.double(), 1e-9)


@pytest.mark.parametrize("raw", VARIANTS.values(), ids=VARIANTS)
def test_logits_equal_those_of_transformers_in_what_else_a_family_has(raw):
    twin, ours = pair(raw, gain=1.5)
    assert_same_logits(twin, ours, 1e-5)


@pytest.mark.parametrize("window", [3, 16, 17])
def test_local_layers_see_the_last_tokens_alone(window):
    """A longer text than the window, and one that just fits it."""
    twin, ours = pair(tiny_raw("gpt_neo", window_size=window, attention_types=[[["local"], 3]]), gain=1.5)
    assert_same_logits(in_float64_throughout(twin), ours.double(), 1e-9)


@torch.no_grad()
def test_what_a_window_does_not_reach_changes_nothing():
    """In one local layer of window 3, token 8 sees 6, 7 and 8; of a global layer it sees all."""
    ids = torch.tensor(random_prompts([9]))
    for layer, expected in (("local", [6, 7, 8]), ("global", list(range(9)))):
        model = tiny_model("gpt_neo", window_size=3, num_layers=1, attention_types=[[[layer], 1]])
        moved = []
        for at in range(9):
            other = ids.clone()
            other[0, at] = (other[0, at] + 1) % 32
            if not torch.equal(model(ids)[0, 8], model(other)[0, 8]):
                moved.append(at)
        assert moved == expected


def test_llama3_frequencies_by_hand():
    """Original context 8192, factor 32, low 1, high 4: a wave of 100 tokens turns 81.9 times in it and stays, one of 100,000
    turns 0.08 times and is 32 times as long; one of 4096 turns twice: a third of the way from slow to kept.
    """
    waves = torch.tensor([100.0, 100_000.0, 4096.0], dtype=torch.float64)
    frequencies = 2 * math.pi / waves
    expected = frequencies * torch.tensor([1.0, 1 / 32, 1 / 32 + (1 - 1 / 32) / 3], dtype=torch.float64)
    scaled = scaled_frequencies(frequencies, RopeScaling("llama3", 32.0, 1.0, 4.0, 8192))
    torch.testing.assert_close(scaled, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("scaling", [LLAMA3_ROPE, {"rope_type": "linear", "factor": 4.0}], ids=["llama3", "linear"])
def test_scaled_positions_are_those_of_transformers_at_all_wavelengths(scaling):
    raw = SHAPES["Llama-3.2-1B, a head"] | {"rope_scaling": scaling, "num_hidden_layers": 1, "hidden_size": 64}
    twin, ours = twin_of(raw), model_of(config_from_hf(raw))
    positions = torch.tensor([[0, 1, 60, 500]])
    cos, _ = twin.model.rotary_emb(torch.zeros(1), positions)
    encoding = ours.weights().position_encoding(positions)
    torch.testing.assert_close(encoding[..., 0, :], cos, atol=1e-4, rtol=0)  # angles of up to 500 in float32
    ratio = encoding[0, 1, 1, 32:].double().asin() / twin.model.rotary_emb.inv_freq.double()
    torch.testing.assert_close(ratio, torch.ones(32, dtype=torch.float64), atol=1e-5, rtol=0)


CONFIGS = SHAPES | VARIANTS


@pytest.mark.parametrize("raw", CONFIGS.values(), ids=CONFIGS)
def test_a_config_survives_the_way_to_hugging_face_and_back(raw):
    """Also through transformers, which writes the new form."""
    config = config_from_hf(raw)
    assert config_from_hf(config.to_hf()) == config
    assert config_from_hf(json.loads(json.dumps(twin_config(raw).to_dict()))) == config


SUPPORTED = "'llama', 'qwen2', 'qwen3', 'gpt_neox', 'gpt_neo'"
REFUSED = {
    "GPT-2": ({"model_type": "gpt2"}, f"^model_type 'gpt2' is not supported; supported: {SUPPORTED}$"),
    "a Qwen2 that slides": (tiny_raw("qwen2", use_sliding_window=True), "^use_sliding_window=True is not supported; "),
    "yarn": (
        tiny_raw("qwen3", rope_scaling={"type": "yarn", "factor": 4.0}),
        "^rope_type='yarn' .* supported: 'default', ",
    ),
    "dynamic": (tiny_raw("gpt_neox", rope_scaling={"type": "dynamic", "factor": 2.0}), "^rope_type='dynamic' is not supported"),
    "linear without a factor": (tiny_raw("qwen2", rope_scaling={"type": "linear"}), "^rope_type='linear' needs factor$"),
    "NeoX with relu": (tiny_raw("gpt_neox", hidden_act="relu"), "^hidden_act='relu' .* supported: 'gelu', 'gelu_new', "),
    "NeoX turned by three": (tiny_raw("gpt_neox", rotary_pct=0.4), "^rotary_pct 0.4: 3 dimensions of a head turn"),
    "NeoX without a size": (without(tiny_raw("gpt_neox"), "hidden_size"), "^config.json lacks hidden_size$"),
    "Neo with relu": (tiny_raw("gpt_neo", activation_function="relu"), "^activation_function='relu' is not supported"),
    "Neo with sparse layers": (tiny_raw("gpt_neo", attention_types=[[["sparse"], 3]]), "each of 'global', 'local'$"),
    "Neo with too few": (tiny_raw("gpt_neo", attention_types=[[["local"], 2]]), r"^attention_types .*: must name 3 layers"),
    "Neo without layers": (tiny_raw("gpt_neo", attention_types=None), "^config.json lacks attention_types$"),
    "Neo without EOS": (tiny_raw("gpt_neo", eos_token_id=None), "^eos_token_id None: must be"),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_what_a_decoder_cannot_represent_is_refused_by_name(raw, message):
    with pytest.raises(UnsupportedModel, match=message):
        config_from_hf(raw)


def test_every_family_is_tried():
    assert FAMILIES.keys() - {"llama"} == TINY.keys() == {raw["model_type"] for raw in SHAPES.values()} - {"llama"}
