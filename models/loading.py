"""Models, tokenizers and texts from where a user has them: embedded, a local folder, or the Hugging Face hub.

Nothing falls back on anything: what cannot be had is a UserError that names it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from configs.errors import UserError
from models.llama import Llama, LlamaConfig, UnsupportedModel, config_from_hf
from models.nursery import generator

NURSERY = "nursery"
TEXT_FILES = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


@dataclass(frozen=True)
class Pretrained:
    """A model with its tokenizer. `fingerprint` is a SHA-256 over the names and bytes of the weights."""

    model: Llama
    tokenizer: Tokenizer
    fingerprint: str


def model_files(name: str) -> Callable[[str], Path]:
    """Finds a model's files by name: `find("config.json")`; fetches them where `name` is a hub id."""
    folder = generator.HERE if name == NURSERY else Path(name)
    if folder.is_dir():
        return lambda file: folder / file
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"--model {name}: no such folder; accepted are nursery, a local folder, or a hub id OWNER/NAME")

    def fetch(file: str) -> Path:
        from transformers.utils.hub import cached_file

        say_no_retries()
        try:
            return Path(str(cached_file(name, file)))
        except OSError as error:
            raise UserError(unreachable("--model", name, error)) from error

    return fetch


def say_no_retries() -> None:
    """The hub's client tries several times and logs each; where it fails, one line says so."""
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()


def unreachable(option: str, name: str, error: BaseException) -> str:
    reason = str(error).strip().split("\n")[0]
    return f"{option} {name}: cannot be had from the Hugging Face hub ({reason}); the embedded choice is {option} {NURSERY}"


def load_pretrained(name: str) -> Pretrained:
    """The model in float32 on the CPU. Raises UserError for what is missing, unreadable or does not fit together."""
    find = model_files(name)
    try:
        config = config_from_hf(json.loads(find("config.json").read_text()))
        weights = load_weights(find)
    except (OSError, ValueError, KeyError, SafetensorError, UnsupportedModel) as error:
        raise UserError(f"--model {name}: cannot be read: {' '.join(str(error).split())}") from error
    try:
        tokenizer = Tokenizer.from_file(str(find("tokenizer.json")))
    except UserError:
        raise
    except Exception as error:  # the tokenizers library raises nothing narrower for a damaged file
        raise UserError(f"--model {name}: tokenizer.json cannot be read: {error}") from error
    check_tokenizer(name, tokenizer, config)
    return Pretrained(build(name, config, weights), tokenizer, fingerprint(weights))


def load_weights(find: Callable[[str], Path]) -> dict[str, torch.Tensor]:
    """All tensors of `model.safetensors`, or of the shards that its index lists."""
    try:
        files = [find("model.safetensors")]
        if files[0].parent.exists() and not files[0].exists():
            raise FileNotFoundError(files[0])
    except (UserError, FileNotFoundError):
        index = find("model.safetensors.index.json")
        if not index.exists():
            raise
        files = [find(shard) for shard in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    weights: dict[str, torch.Tensor] = {}
    for file in files:
        weights |= {name: tensor.float() for name, tensor in load_file(file).items()}
    return weights


def build(name: str, config: LlamaConfig, weights: dict[str, torch.Tensor]) -> Llama:
    if config.tie_word_embeddings:  # some checkpoints store the tied head a second time
        weights = {key: tensor for key, tensor in weights.items() if key != "lm_head.weight"}
    with torch.device("meta"):
        model = Llama(config)
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


def check_tokenizer(name: str, tokenizer: Tokenizer, config: LlamaConfig) -> None:
    size, eos = tokenizer.get_vocab_size(), tokenizer.id_to_token(config.eos_token_id)
    if size != config.vocab_size:
        raise UserError(f"--model {name}: its tokenizer has {size} tokens, its weights {config.vocab_size}; they do not fit")
    if eos is None or eos not in {added.content for added in tokenizer.get_added_tokens_decoder().values()}:
        raise UserError(f"--model {name}: eos_token_id {config.eos_token_id} is {eos!r}, not a special token of its tokenizer")


def save_pretrained(model: Llama, tokenizer: Tokenizer, folder: Path) -> None:
    """A folder that `AutoModelForCausalLM.from_pretrained` and `load_pretrained` read."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(model.config.to_hf(), indent=2) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": tokenizer.id_to_token(model.config.eos_token_id)}
    (folder / "tokenizer_config.json").write_text(json.dumps(special, indent=2) + "\n")


def load_texts(dataset: str, column: str) -> Callable[[str], Iterator[str]]:
    """`texts(split)` yields the texts of `train` or `test`. Raises UserError when the dataset or its column is missing."""
    if dataset == NURSERY:
        if column != "story":
            raise UserError(f"--text_column {column}: the embedded dataset has the column story only")
        return generator.stories

    def texts(split: str) -> Iterator[str]:
        rows = load_rows(dataset, split)
        if column not in rows.column_names:
            raise UserError(f"--text_column {column}: {dataset} has the columns {', '.join(rows.column_names)}")
        for row in rows:
            if not isinstance(row[column], str):
                raise UserError(f"--text_column {column}: {dataset} holds {type(row[column]).__name__} there, not text")
            yield row[column]

    return texts


def load_rows(dataset: str, split: str) -> Any:
    import datasets
    from datasets.exceptions import DatasetsError

    path = Path(dataset)
    try:
        if not path.is_dir():
            if dataset.count("/") > 1 or dataset.startswith((".", "/", "~")):
                raise UserError(f"--dataset {dataset}: no such folder; accepted are nursery, a local folder, or a hub id")
            say_no_retries()
            return datasets.load_dataset(dataset, split=split)
        files = [file for file in sorted(path.glob(f"{split}*")) if file.suffix in TEXT_FILES]
        if not files:
            raise UserError(f"--dataset {dataset}: holds no {split}* file of {', '.join(TEXT_FILES)}")
        if empty := [file.name for file in files if not file.stat().st_size]:
            raise UserError(f"--dataset {dataset}: {empty[0]} is empty")
        kind = TEXT_FILES[files[0].suffix]
        with no_progress_bars():
            return datasets.load_dataset(kind, data_files={split: [str(file) for file in files]}, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        unread = f"--dataset {dataset}: cannot be read: {error.__cause__ or error}"
        reason = unread if path.is_dir() else unreachable("--dataset", dataset, error)
        raise UserError(" ".join(reason.split())) from error


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """A local folder is read in a moment; what is wrong with it is to stand alone on the screen."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
