"""Random models of every family beside transformers' own: of real models' shapes, with fewer layers and tokens, and tiny ones.

The raw configs are as the real models' config.json have them, in the old form of Hugging Face.
"""

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from models.decoder import LanguageModel
from models.families import config_from_hf, model_of
from tests.helpers import VOCAB, randomize

Raw = dict[str, Any]

FEW = {"vocab_size": 512, "eos_token_id": 1}
QWEN = {**FEW, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0, "tie_word_embeddings": True,
        "num_hidden_layers": 1, "use_sliding_window": False, "sliding_window": 32_768, "rope_scaling": None}  # fmt: skip
PYTHIA = {**FEW, "model_type": "gpt_neox", "hidden_act": "gelu", "layer_norm_eps": 1e-5, "rotary_pct": 0.25, "bos_token_id": 0,
          "rotary_emb_base": 10_000, "use_parallel_residual": True, "tie_word_embeddings": False, "num_hidden_layers": 2,
          "max_position_embeddings": 2048}  # fmt: skip
TINYSTORIES = {**FEW, "model_type": "gpt_neo", "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "num_layers": 2,
               "attention_types": [[["global", "local"], 1]], "window_size": 256, "num_heads": 16, "intermediate_size": None,
               "max_position_embeddings": 2048, "bos_token_id": 0}  # fmt: skip
LLAMA3_ROPE = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}  # fmt: skip
SHAPES: dict[str, Raw] = {
    "Qwen2.5-0.5B": {**QWEN, "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14,
                     "num_key_value_heads": 2, "max_window_layers": 21, "max_position_embeddings": 32_768},
    "Qwen3-0.6B": {**QWEN, "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16,
                   "num_key_value_heads": 8, "head_dim": 128, "attention_bias": False, "max_position_embeddings": 40_960},
    "Pythia-14m": {**PYTHIA, "hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4},
    "Pythia-70m": {**PYTHIA, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8},
    "Pythia-160m": {**PYTHIA, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    "TinyStories-1M": {**TINYSTORIES, "hidden_size": 64},
    "TinyStories-33M": {**TINYSTORIES, "hidden_size": 768},
    "Llama-3.2-1B, a head": {**QWEN, "model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "rms_norm_eps": 1e-5,
                             "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64, "rope_theta": 500_000.0,
                             "rope_scaling": LLAMA3_ROPE, "max_position_embeddings": 131_072},
}  # fmt: skip
TINY: dict[str, Raw] = {
    "qwen2": {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24},
    "qwen3": {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24, "head_dim": 6},
    "gpt_neox": {"num_attention_heads": 2, "intermediate_size": 24},
    "gpt_neo": {"num_heads": 4, "window_size": 5, "num_layers": 3, "attention_types": [[["local", "global"], 1], [["local"], 1]]},
}
MORE_TINY = {"max_position_embeddings": 64, "hidden_size": 16, "vocab_size": VOCAB}
LIKE = {"qwen2": QWEN, "qwen3": QWEN, "gpt_neox": PYTHIA, "gpt_neo": TINYSTORIES}


def tiny_raw(kind: str, **changes: Any) -> Raw:
    return LIKE[kind] | MORE_TINY | TINY[kind] | {"model_type": kind} | changes


def without(raw: Raw, name: str) -> Raw:
    return {key: value for key, value in raw.items() if key != name}


def tiny_model(kind: str, seed: int = 2, dtype: torch.dtype = torch.float64, **changes: Any) -> LanguageModel:
    """With next-token distributions that are far from uniform."""
    return randomize(model_of(config_from_hf(tiny_raw(kind, **changes))), seed).to(dtype)


def twin_config(raw: Raw) -> Any:
    """transformers' reading of a config.json."""
    return AutoConfig.for_model(raw["model_type"], **{name: value for name, value in raw.items() if name != "model_type"})


def twin_of(raw: Raw) -> Any:
    """transformers' model of a config.json, with its own fresh weights."""
    return AutoModelForCausalLM.from_config(twin_config(raw)).eval()


def pair(raw: Raw, seed: int = 0, gain: float = 1.0) -> tuple[Any, LanguageModel]:
    """transformers' model with random weights, and ours with the same."""
    twin = randomize(twin_of(raw), seed, std=gain / math.sqrt(raw["hidden_size"]))
    ours = model_of(config_from_hf(raw)).eval()
    ours.load_state_dict(stored_weights(twin, ours), strict=True)
    return twin, ours


def stored_weights(twin: Any, ours: LanguageModel) -> dict[str, Tensor]:
    """As in files: a tied head once; a NeoX's head under the name that files have, another than in transformers' module."""
    weights = {name: tensor for name, tensor in twin.state_dict().items() if name != "lm_head.weight"}
    return weights if ours.config.tie_word_embeddings else weights | {ours.stored_head: twin.lm_head.weight}


def in_float64_throughout(twin: Any) -> Any:
    """transformers computes rotary angles, norms and GPT-Neo's scores in float32 whatever the dtype; from here on in float64."""
    twin = twin.double()
    for module in list(twin.modules()):
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            settings = {"normalized_shape": module.weight.shape, "weight": module.weight, "eps": module.variance_epsilon}
            module.forward = partial(F.rms_norm, **settings)
        elif kind.endswith("RotaryEmbedding"):
            module.forward = partial(rotary_in_float64, module)
        elif kind == "GPTNeoSelfAttention":
            module._attn = partial(attention_in_float64, module)
    return twin


def rotary_in_float64(module: Any, _: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    assert module.rope_type == "default"
    pairs = len(module.inv_freq)
    frequencies = module.config.rope_parameters["rope_theta"] ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
    angles = torch.cat([position_ids[:, :, None] * frequencies] * 2, dim=-1)
    return angles.cos(), angles.sin()


def attention_in_float64(module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Of [n, heads, t, head_dim], with the module's own mask of what each layer may see."""
    scores, (queries, keys) = q @ k.mT, (q.shape[-2], k.shape[-2])
    scores = scores.masked_fill(~module.bias[:, :, keys - queries : keys, :keys], -1e300)  # type: ignore[index, operator]
    weights = (scores if mask is None else scores + mask).softmax(-1)
    return weights @ v, weights
