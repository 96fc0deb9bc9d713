"""Model folders written, as transformers and `models.loading` read them."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from configs.errors import UserError
from models.decoder import LanguageModel
from models.files import CONFIG, TOKENIZER, WEIGHTS, model_files
from models.hub import silence_retries
from models.tokenizer import TOKENIZER_CONFIG

CARD, SPECIAL_TOKENS = "README.md", "special_tokens_map.json"
# Beside a model's weights, what is copied as it is. No code, which nobody here has read.
COPIED = (
    SPECIAL_TOKENS, "generation_config.json", "added_tokens.json", "chat_template.jinja", "chat_template.json",
    "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model",
    "LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "license", "license.txt", "NOTICE", "NOTICE.txt", "USE_POLICY.md",
)  # fmt: skip
# The class that reads tokenizer.json as it stands, as training did; others build a tokenizer of their own from it.
TOKENIZER_CLASS = "PreTrainedTokenizerFast"
PROBE = "a"  # any text


def save_pretrained(model: LanguageModel, tokenizer: Tokenizer, folder: Path) -> None:
    """A folder that `AutoModelForCausalLM.from_pretrained` and `load_pretrained` read, made of these two alone."""
    save_weights(model, folder)
    write_object(folder / CONFIG, model.config.to_hf())
    tokenizer.save(str(folder / TOKENIZER))
    eos = tokenizer.id_to_token(model.config.eos_token_ids[0])
    write_object(folder / TOKENIZER_CONFIG, {"tokenizer_class": TOKENIZER_CLASS, "eos_token": eos})


def save_like(base: Mapping[str, Path], model: LanguageModel, bos: Sequence[str], folder: Path) -> list[str]:
    """The same with all that came with the base, of which only the weights change; `base` is what `files_of` finds.

    The tokenizer puts the tokens `bos` before a text, and nothing behind. Tells in what the files differ from the base's, a
    line of Markdown each. Raises OSError.
    """
    save_weights(model, folder)
    for name in base.keys() & {*COPIED}:
        (folder / name).write_bytes(base[name].read_bytes())
    config = read_object(base[CONFIG])
    changes = config_changes(config, model)
    write_object(folder / CONFIG, {name: value for name, value in config.items() if name != "torch_dtype"} | changes)
    tokenizer = Tokenizer.from_file(str(base[TOKENIZER]))
    differences = [*said(CONFIG, changes), *prepare_for_prompts(tokenizer, bos)]
    tokenizer.save(str(folder / TOKENIZER))
    eos = tokenizer.id_to_token(model.config.eos_token_ids[0])
    settings = read_object(base[TOKENIZER_CONFIG]) if TOKENIZER_CONFIG in base else {}
    named = settings | (read_object(base[SPECIAL_TOKENS]) if SPECIAL_TOKENS in base else {})
    changes = tokenizer_changes(named, bos, eos)
    write_object(folder / TOKENIZER_CONFIG, settings | changes)
    return [*differences, *said(TOKENIZER_CONFIG, changes)]


def said(file: str, changes: Mapping[str, Any]) -> list[str]:
    return [f"`{file}`: `{name}` is {json.dumps(value)}." for name, value in changes.items()]


def files_of(name: str) -> dict[str, Path]:
    """By file name, what a model has beside its weights: its configuration, tokenizer and card, and what is copied.

    Raises UserError when the hub does not answer, so that nothing counts as missing that only could not be asked for.
    """
    files = model_files(name)
    find = partial(hub_file, name) if files.source == name else files.find
    paths = {file: find(file) for file in (CONFIG, TOKENIZER, TOKENIZER_CONFIG, CARD, *COPIED)}
    return {file: path for file, path in paths.items() if path is not None}


def hub_file(name: str, file: str) -> Path | None:
    """None where the hub says that there is no such file. Raises UserError when it does not answer."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    silence_retries()
    try:
        return Path(hf_hub_download(name, file))
    except (OSError, EntryNotFoundError) as error:
        # The local one is both: the file is not at hand, and the hub could not be asked.
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            return None
        reason = " ".join(str(error).strip().split("\n")[0].split())
        raise UserError(f"--base_model {name}: the Hugging Face hub does not say whether it has {file} ({reason}); "
                        f"of a copy, as `hf download {name}` makes one, take its folder") from error  # fmt: skip


def save_weights(model: LanguageModel, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def config_changes(config: Mapping[str, Any], model: LanguageModel) -> dict[str, Any]:
    """What config.json has to say otherwise of the weights that are written: their dtype, and that a head is there after all."""
    wanted = {"dtype": "float32"}
    wanted |= {"tie_word_embeddings": False} if config.get("tie_word_embeddings") and not model.config.tie_word_embeddings else {}
    return {name: value for name, value in wanted.items() if config.get(name) != value}


def prepare_for_prompts(tokenizer: Tokenizer, bos: Sequence[str]) -> list[str]:
    """In place; tells what is different now."""
    changes = []
    if tokenizer.padding or tokenizer.truncation:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        changes.append(f"`{TOKENIZER}`: the padding and truncation that were saved in it are left out.")
    before, plain = tokenizer.encode(PROBE).tokens, tokenizer.encode(PROBE, add_special_tokens=False).tokens
    after = [*bos, *plain]
    if before != after:
        special = [(token, tokenizer.token_to_id(token)) for token in bos]
        tokenizer.post_processor = TemplateProcessing([*bos, "$A"], [*bos, "$A", "$B:1"], special)
        changes.append(f"`{TOKENIZER}`: makes `{after}` of `{PROBE}`, as of prompts in training, where the base's makes "
                       f"`{before}`.")  # fmt: skip
    return changes


def tokenizer_changes(settings: Mapping[str, Any], bos: Sequence[str], eos: str | None) -> dict[str, Any]:
    """What in tokenizer_config.json has to be said or said otherwise, so that tokenizer.json is read as it stands."""
    wanted = {"tokenizer_class": TOKENIZER_CLASS}
    wanted |= {flag: on for flag, on in (("add_bos_token", bool(bos)), ("add_eos_token", False)) if flag in settings}
    wanted |= {} if settings.get("eos_token") else {"eos_token": eos}
    return {name: value for name, value in wanted.items() if settings.get(name) != value}


def read_object(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def write_object(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
