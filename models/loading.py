"""Checkpoint folders: a model with its tokenizer, embedded, in a local folder, or on the Hugging Face hub.

Nothing falls back on anything: what cannot be had is a UserError that names it.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer

from configs.errors import UserError
from models.decoder import LanguageModel
from models.decoder_config import DecoderConfig, UnsupportedModel
from models.families import config_from_hf, model_of
from models.hub import NURSERY, hub_error, silence_retries
from models.nursery.generator import DATA


@dataclass(frozen=True)
class Pretrained:
    """A model with its tokenizer. `fingerprint` is a SHA-256 over the names and bytes of the weights."""

    model: LanguageModel
    tokenizer: Tokenizer
    fingerprint: str


def model_files(name: str) -> Callable[[str], Path]:
    """Finds a model's files by name: `find("config.json")`; fetches them where `name` is a hub id."""
    folder = DATA if name == NURSERY else Path(name)
    if folder.is_dir():
        return lambda file: folder / file
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"--model {name}: no such folder; accepted are nursery, a local folder, or a hub id OWNER/NAME")

    def fetch(file: str) -> Path:
        from transformers.utils.hub import cached_file

        silence_retries()
        try:
            return Path(str(cached_file(name, file)))
        except OSError as error:
            raise hub_error("--model", name, error) from error

    return fetch


def load_pretrained(name: str) -> Pretrained:
    """The model in float32 on the CPU. Raises UserError for what is missing, unreadable or does not fit together."""
    find = model_files(name)
    try:
        config = config_from_hf(json.loads(find("config.json").read_text()))
        weights = load_weights(find)
        tokenizer_file = find("tokenizer.json")
    except (OSError, ValueError, KeyError, SafetensorError, UnsupportedModel) as error:
        raise UserError(f"--model {name}: cannot be read: {' '.join(str(error).split())}") from error
    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the tokenizers library raises nothing narrower for a damaged file
        raise UserError(f"--model {name}: tokenizer.json cannot be read: {error}") from error
    check_tokenizer(name, tokenizer, config)
    return Pretrained(build_model(name, config, weights), tokenizer, fingerprint(weights))


def load_weights(find: Callable[[str], Path]) -> dict[str, torch.Tensor]:
    """All tensors of `model.safetensors`, or of the shards that its index lists."""
    try:
        files = [find("model.safetensors")]
        if not files[0].exists():
            raise FileNotFoundError(files[0])
    except (UserError, FileNotFoundError):
        index = find("model.safetensors.index.json")
        if not index.exists():
            raise
        files = [find(shard) for shard in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    return {name: tensor.float() for file in files for name, tensor in load_file(file).items()}


def build_model(name: str, config: DecoderConfig, weights: dict[str, torch.Tensor]) -> LanguageModel:
    with torch.device("meta"):
        model = model_of(config)
    weights = {key: tensor for key, tensor in weights.items() if not re.fullmatch(model.stored_buffers, key)}
    if config.tie_word_embeddings:  # some checkpoints store the tied head a second time
        weights.pop(model.stored_head, None)
    try:
        model.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        raise UserError(f"--model {name}: its weights do not fit its config.json: {' '.join(str(error).split())}") from error
    return model


def fingerprint(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(key.encode())
        digest.update(weights[key].contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_tokenizer(name: str, tokenizer: Tokenizer, config: DecoderConfig) -> None:
    size, special = tokenizer.get_vocab_size(), {added.content for added in tokenizer.get_added_tokens_decoder().values()}
    if size != config.vocab_size:
        raise UserError(f"--model {name}: its tokenizer has {size} tokens, its weights {config.vocab_size}; they do not fit")
    for eos in config.eos_token_ids:
        if (token := tokenizer.id_to_token(eos)) not in special:
            raise UserError(f"--model {name}: eos_token_id {eos} is {token!r}, not a special token of its tokenizer")
