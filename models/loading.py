"""Checkpoint folders: a model with its tokenizer, embedded, in a local folder, or on the Hugging Face hub.

Nothing falls back on anything: what cannot be had is a UserError that names it.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.decoder import LanguageModel
from models.decoder_config import DecoderConfig, UnsupportedModel
from models.families import config_from_hf, model_of
from models.files import CONFIG, ModelFiles, model_files
from models.tokenizer import TOKENIZER_CONFIG, Bos, bos_of, count_tokens, load_tokenizer, named_tokens, token_of, unused_bos_note
from models.weights import are_equal, dtypes_note, fingerprint, load_weights, misfits

GENERATION = "generation_config.json"


@dataclass(frozen=True)
class Pretrained:
    """A model with its tokenizer. `fingerprint` is a SHA-256 over the names and bytes of the weights, in float32."""

    model: LanguageModel
    tokenizer: Tokenizer
    fingerprint: str
    source: str  # the folder or the hub's id that it came from
    bos: Bos
    notes: tuple[str, ...] = ()  # what a run's log says of it


def load_pretrained(name: str) -> Pretrained:
    """The model in float32 on the CPU. Raises UserError for what is missing, unreadable or does not fit together."""
    files = model_files(name)
    described, generation, tokenizer_config = map(files.read_json, (CONFIG, GENERATION, TOKENIZER_CONFIG))
    tokenizer = load_tokenizer(files)
    config = read_config(files, described | {"eos_token_id": eos_setting(files, described, generation)}, tokenizer)
    stored = load_weights(files)
    weights = {key: tensor.float() for key, tensor in stored.items()}
    model, bos = build_model(files, config, weights), bos_of(tokenizer, tokenizer_config, described)
    notes = [
        *eos_notes(tokenizer, config, described, generation),
        *padding_note(config),
        *untied_note(config, model),
        *dtypes_note(stored),
        *unused_bos_note(bos, tokenizer_config),
    ]
    return Pretrained(model, tokenizer, fingerprint(weights), str(files.source), bos, tuple(notes))


def read_config(files: ModelFiles, described: dict[str, Any], tokenizer: Tokenizer) -> DecoderConfig:
    """With the embedding's rows beyond the tokenizer's tokens counted as padding. Raises UserError."""
    try:
        config = config_from_hf(described)
    except (UnsupportedModel, KeyError, TypeError) as error:
        raise files.error(f"{CONFIG}: {error}") from error
    config = replace(config, padding_rows=config.vocab_size - count_tokens(files, tokenizer, config.vocab_size))
    special = {added.content for added in tokenizer.get_added_tokens_decoder().values()}
    for eos in config.eos_token_ids:
        if (token := token_of(tokenizer, eos)) not in special:
            raise files.error(f"eos_token_id {eos} is {token!r}, not a special token of its tokenizer")
    return config


def padding_note(config: DecoderConfig) -> list[str]:
    tokens, rows = config.token_count, config.padding_rows
    return [f"the last {rows} rows of the embedding stand for no token of the {tokens}; they are never sampled"] if rows else []


# EOS


def eos_setting(files: ModelFiles, described: dict[str, Any], generation: dict[str, Any]) -> int | list[int]:
    """Where transformers' generate() ends: what generation_config.json says comes before config.json. Raises UserError."""
    for settings in (generation, described):
        if (eos := settings.get("eos_token_id")) is not None:
            return eos
    raise files.error(f"names no EOS: neither {GENERATION} nor {CONFIG} has eos_token_id")


def eos_notes(tokenizer: Tokenizer, config: DecoderConfig, described: dict[str, Any], generation: dict[str, Any]) -> list[str]:
    """What is said where the two files differ."""
    ends = f"completions end with {named_tokens(tokenizer, config.eos_token_ids, ' or ')}"
    general, special = described.get("eos_token_id"), generation.get("eos_token_id")
    if special is None:
        return [f"{ends}, the EOS of {CONFIG}; {GENERATION} names none"] if generation else []
    same = {*config.eos_token_ids} == {*(general if isinstance(general, list) else [general])}
    return [] if same else [f"{ends}, the EOS of {GENERATION}, as in transformers; {CONFIG} has {general}"]


# Weights


def build_model(files: ModelFiles, config: DecoderConfig, weights: dict[str, Tensor]) -> LanguageModel:
    """A tied head that is stored a second time is left out; one that differs from the embedding stands, as in transformers."""
    with torch.device("meta"):
        model = model_of(config)
        if config.tie_word_embeddings and not are_equal(weights, model.stored_head, stored_embedding(model)):
            model = model_of(replace(config, tie_word_embeddings=False))
    if model.config.tie_word_embeddings:
        weights = {name: tensor for name, tensor in weights.items() if name != model.stored_head}
    weights = {name: tensor for name, tensor in weights.items() if not re.fullmatch(model.stored_buffers, name)}
    if fault := misfits(model.state_dict(), weights):
        raise files.error(f"its weights do not fit its {CONFIG}: {fault}")
    model.load_state_dict(weights, strict=True, assign=True)
    return model


def stored_embedding(tied: LanguageModel) -> str:
    """The name of the embedding, which is the head as well."""
    return next(name for name, parameter in tied.named_parameters() if parameter is tied.output_embedding)


def untied_note(described: DecoderConfig, model: LanguageModel) -> list[str]:
    if described.tie_word_embeddings == model.config.tie_word_embeddings:
        return []
    return [f"{model.stored_head} differs from the embedding, so it is the head, as in transformers, although {CONFIG} ties them"]
