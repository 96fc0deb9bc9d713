"""The families of models that are supported, by the `model_type` of their `config.json`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from models.decoder import LanguageModel
from models.decoder_config import DecoderConfig, UnsupportedModel, listing
from models.gpt_neo import GPTNeo, gpt_neo_config
from models.gpt_neox import GPTNeoX, gpt_neox_config
from models.llama import Llama
from models.llama_config import llama_config


class Family(NamedTuple):
    read: Callable[[dict[str, Any]], DecoderConfig]  # a config.json; raises UnsupportedModel
    model: type[LanguageModel]


FAMILIES = {
    "llama": Family(llama_config, Llama),
    "qwen2": Family(llama_config, Llama),  # Qwen2.5, too
    "qwen3": Family(llama_config, Llama),
    "gpt_neox": Family(gpt_neox_config, GPTNeoX),  # Pythia
    "gpt_neo": Family(gpt_neo_config, GPTNeo),  # TinyStories
}


def config_from_hf(config: dict[str, Any]) -> DecoderConfig:
    """Reads a Hugging Face `config.json`. Every row of the embedding counts as a token; who knows the tokenizer knows better.

    Raises UnsupportedModel for another architecture or a setting that its decoder does not implement.
    """
    if (kind := config.get("model_type")) not in FAMILIES:
        raise UnsupportedModel(f"model_type {kind!r} is not supported; supported: {listing(FAMILIES)}")
    return FAMILIES[kind].read(config)


def model_of(config: DecoderConfig) -> LanguageModel:
    """With fresh parameters, on the current device."""
    return FAMILIES[config.model_type].model(config)
