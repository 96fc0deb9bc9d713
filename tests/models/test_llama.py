"""The decoder against transformers' LlamaForCausalLM, both reading the same raw config.json and the same random weights."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig as TwinConfig
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from models.decoder import backward_from, hidden_states, leaves_of, tensors_of
from models.decoder_config import UnsupportedModel
from models.families import config_from_hf
from models.llama import Llama, initialize
from models.rotary import rotated
from tests.helpers import VOCAB, random_prompts, randomize, right_padded, tiny_config, tiny_llama
from tests.models.comparisons import LENGTHS, assert_same_logits, logits_of

RAW = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "eos_token_id": 1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
}
SMOLLM2 = {  # of SmolLM2-135M, with 2 layers instead of 30 and a vocabulary of 512 instead of 49,152
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 2,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "vocab_size": 512,
    "rope_parameters": None,
    "rope_theta": 100_000,
    "rope_scaling": None,
}
CHANGES = {  # None removes a field
    "grouped heads": {},
    "full heads": {"num_key_value_heads": 4},
    "full heads by default": {"num_key_value_heads": None},
    "one key-value head": {"num_key_value_heads": 1},
    "untied": {"tie_word_embeddings": False},
    "untied by default": {"tie_word_embeddings": None},
    "explicit head_dim": {"head_dim": 10},
    "attention bias": {"attention_bias": True},
    "mlp bias": {"mlp_bias": True},
    "old rotary fields": {"rope_parameters": None, "rope_theta": 500.0},
    "old rotary fields with an empty scaling": {"rope_parameters": None, "rope_theta": 500.0, "rope_scaling": None},
    "both rotary fields": {"rope_theta": 3.0},  # the nested one counts
    "another theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 3.0}},
    "a large epsilon": {"rms_norm_eps": 0.1},
    "SmolLM2": SMOLLM2,
}


def raw_config(**changes):
    return {name: value for name, value in (RAW | changes).items() if value is not None}


def pair(raw, seed=0):
    """transformers' model with random weights, and ours with the same."""
    twin = randomize(LlamaForCausalLM(TwinConfig(**raw)), seed, std=1.5 / math.sqrt(raw["hidden_size"]))
    ours = Llama(config_from_hf(raw)).eval()
    weights = dict(twin.state_dict())
    if ours.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    ours.load_state_dict(weights, strict=True)
    return twin, ours


def in_float64_throughout(twin: LlamaForCausalLM) -> None:
    """transformers computes rotary angles and norms in float32 whatever the model's dtype; from here on in float64."""
    c = twin.config
    head_dim, theta = c.head_dim or c.hidden_size // c.num_attention_heads, c.rope_parameters["rope_theta"]
    frequencies = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)

    def forward(_, position_ids):
        angles = torch.cat([position_ids[:, :, None] * frequencies] * 2, dim=-1)
        return angles.cos(), angles.sin()

    twin.model.rotary_emb.forward = forward
    for norm in (module for module in twin.modules() if isinstance(module, LlamaRMSNorm)):
        norm.forward = partial(F.rms_norm, normalized_shape=norm.weight.shape, weight=norm.weight, eps=norm.variance_epsilon)


# In float64 the two agree to its rounding. In float32 each is up to 1e-5 off that, at logits of up to 10.
DTYPES = pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-11), (torch.float32, 2e-5)], ids=["float64", "float32"])


@DTYPES
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
@torch.no_grad()
def test_logits_equal_those_of_transformers_with_prompts_of_different_lengths(changes, dtype, bound):
    twin, ours = (model.to(dtype) for model in pair(raw_config(**changes)))
    if dtype == torch.float64:
        in_float64_throughout(twin)
    assert_same_logits(twin, ours, bound)


@DTYPES
@pytest.mark.parametrize("name", ["grouped heads", "SmolLM2"])
@torch.no_grad()
def test_logits_equal_those_of_transformers_at_the_end_of_a_long_context(name, dtype, bound):
    """Rotary angles grow with the position, and with them the weight of a rounding in the frequencies."""
    raw = raw_config(**CHANGES[name]) | {"max_position_embeddings": 1500, "num_hidden_layers": 1}
    twin, ours = (model.to(dtype) for model in pair(raw))
    if dtype == torch.float64:
        in_float64_throughout(twin)
    ids = torch.tensor(random_prompts([1500], vocab=raw["vocab_size"]))
    torch.testing.assert_close(logits_of(ours, ids), twin(ids).logits, atol=bound, rtol=0)


def test_rotation_turns_each_pair_by_its_position_over_its_frequency():
    """head_dim 4, theta 100: dimensions (0, 2) turn by p / 100^0 = p, dimensions (1, 3) by p / 100^(2/4) = p / 10."""
    rotation = tiny_llama(head_dim=4, rope_theta=100.0).weights().position_encoding(torch.tensor([3]))
    unit = torch.eye(4, dtype=torch.float64)[None, None, :2]  # [1, t = 1, heads = 2, 4]: the first two unit vectors
    expected = [[math.cos(3), 0, math.sin(3), 0], [0, math.cos(0.3), 0, math.sin(0.3)]]
    torch.testing.assert_close(rotated(unit, rotation[:, None])[0, 0], torch.tensor(expected, dtype=torch.float64))


def test_gradients_gathered_in_leaves_reach_the_parameters_as_they_would_at_once():
    """Of two passes over different texts; a frozen parameter gets none."""
    texts = [torch.tensor(random_prompts([7, 7], seed=seed)) for seed in (0, 1)]
    one, other = (tiny_llama(tie_word_embeddings=False, attention_bias=True) for _ in range(2))
    for model in (one, other):
        model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    weights = one.weights()
    leaves = leaves_of(weights)
    for ids in texts:
        (hidden_states(leaves, ids) @ leaves.head.T).square().sum().backward()
        (other(ids) @ other.head.T).square().sum().backward()
    assert all(parameter.grad is None for parameter in one.parameters())
    backward_from(leaves, weights)
    for (name, parameter), twin in zip(one.named_parameters(), other.parameters(), strict=True):
        if not parameter.requires_grad:
            assert parameter.grad is None
            continue
        assert twin.grad is not None and twin.grad.abs().max() > 1e-3, name
        torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-10, atol=1e-10)


def test_leaves_of_what_is_frozen_take_no_gradient():
    """Else each pass would compute gradients of the head and of all layers for nothing."""
    model = tiny_llama().requires_grad_(False)
    model.model.norm.weight.requires_grad_(True)
    leaves = leaves_of(model.weights())
    assert leaves.norm.requires_grad
    assert not any(tensor.requires_grad for tensor in tensors_of(leaves) if tensor is not leaves.norm)


@torch.no_grad()
def test_what_fills_the_padding_changes_no_real_position():
    model = tiny_llama()
    prompts = random_prompts(LENGTHS)
    one, other = (model(right_padded(prompts, fill)) for fill in (0, 5))
    for row, length in enumerate(LENGTHS):
        assert torch.equal(one[row, :length], other[row, :length])
    assert not torch.equal(one, other)


def test_a_config_survives_the_way_to_hugging_face_and_back():
    config = tiny_config(head_dim=6, attention_bias=True, tie_word_embeddings=False, rope_theta=123.0, eos_token_ids=(7,))
    assert config_from_hf(config.to_hf()) == config
    assert config_from_hf(TwinConfig(**config.to_hf()).to_dict()) == config


def test_eos_may_be_several():
    config = config_from_hf(raw_config(eos_token_id=[4, 1, 4]))
    assert config.eos_token_ids == (4, 1)
    assert config.to_hf()["eos_token_id"] == [4, 1]


def test_absent_fields_are_derived():
    """head_dim 24 / 4 = 6; as many key-value heads as heads; no biases; an untied head."""
    absent = dict.fromkeys(("head_dim", "num_key_value_heads", "attention_bias", "mlp_bias", "tie_word_embeddings"))
    config = config_from_hf(raw_config(**absent))
    assert (config.head_dim, config.num_key_value_heads) == (6, 4)
    assert (config.attention_bias, config.mlp_bias, config.tie_word_embeddings) == (False, False, False)


def test_old_and_new_rotary_fields_mean_the_same():
    assert config_from_hf(raw_config(rope_parameters=None, rope_theta=500.0)) == config_from_hf(raw_config())


REFUSED = {
    "another architecture": ({"model_type": "gpt2"}, r"model_type 'gpt2'.*'llama', 'qwen2'"),
    "no architecture": ({"model_type": None}, r"model_type None"),
    "another activation": ({"hidden_act": "gelu"}, r"hidden_act='gelu'.*'silu'"),
    "tensor-parallel weights": ({"pretraining_tp": 2}, r"pretraining_tp=2"),
    "a rotary scaling": ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, r"'yarn'.*'default', 'linear', 'llama3'"),
    "an old rotary scaling": ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, r"rope_type='dynamic'"),
    "a rotary scaling without its settings": (
        {"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0}},
        r"'llama3' needs low_freq_factor",
    ),
    "partly rotary positions": ({"partial_rotary_factor": 0.5}, r"partial_rotary_factor=0.5"),
    "a sliding window": ({"use_sliding_window": True}, r"use_sliding_window=True"),
    "a layer that slides": ({"layer_types": ["full_attention", "sliding_attention"]}, r"layer_type='sliding_attention'"),
    "a Qwen without key-value heads": ({"model_type": "qwen3", "num_key_value_heads": None}, r"lacks num_key_value_heads"),
    "no EOS": ({"eos_token_id": None}, r"eos_token_id None: must be"),
    "an EOS that is no id": ({"eos_token_id": [1, "</s>"]}, r"eos_token_id \[1, '</s>'\]: must be"),
    "a missing size": ({"intermediate_size": None}, r"lacks intermediate_size"),
    "missing heads": ({"num_attention_heads": None}, r"lacks num_attention_heads"),
    "several missing": ({"hidden_size": None, "rms_norm_eps": None}, r"lacks hidden_size, rms_norm_eps"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_decoder_cannot_represent_is_refused_by_name(changes, message):
    with pytest.raises(UnsupportedModel, match=message):
        config_from_hf(raw_config(**changes))


def test_fresh_weights_are_those_of_transformers_initialisation():
    """normal(0, 0.02) matrices: with 64 x 512 entries the sample deviation's standard error is 0.02 / sqrt(2 x 32768)."""
    model = Llama(tiny_config(vocab_size=512, hidden_size=64, attention_bias=True, mlp_bias=True))
    initialize(model, seed=3)
    embedding = model.model.embed_tokens.weight.detach()
    assert abs(embedding.std().item() - 0.02) < 5 * 0.02 / math.sqrt(2 * embedding.numel())
    assert abs(embedding.mean().item()) < 5 * 0.02 / math.sqrt(embedding.numel())
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert (parameter == 1).all(), name
        elif name.endswith("bias"):
            assert (parameter == 0).all(), name
        else:
            assert 0.015 < parameter.std() < 0.025, name


def test_fresh_weights_are_a_function_of_the_seed_alone():
    models = [Llama(tiny_config()) for _ in range(3)]
    for model, seed in zip(models, (3, 3, 4), strict=True):
        torch.manual_seed(seed + id(model) % 1000)
        before = torch.get_rng_state()
        initialize(model, seed)
        assert torch.equal(torch.get_rng_state(), before)
    same, again, other = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
