"""The files of a model: embedded, in a local folder, or on the Hugging Face hub. What is missing is said for what it is."""

import json
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from configs.errors import UserError, option_error
from models.hub import NURSERY, fetch, hub_error
from models.nursery.generator import DATA
from records.reader import is_run

CONFIG, WEIGHTS, INDEX, TOKENIZER = "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class ModelFiles:
    """`source` is the model's folder, or its id on the hub; `name` what the user called it."""

    name: str
    source: Path | str

    @property
    def is_cached(self) -> bool:
        """On the hub, which is not to be asked."""
        from huggingface_hub import is_offline_mode

        return isinstance(self.source, str) and is_offline_mode()

    def find(self, file: str) -> Path | None:
        """None where the model has no such file. Raises UserError where the hub does not answer."""
        if isinstance(self.source, str):
            return fetch("--model", self.source, file)
        path = self.source / file
        return path if path.is_file() else None

    def need(self, file: str) -> Path:
        """Raises UserError where there is none, and says what is there instead."""
        path = self.find(file)
        if path is None:
            raise self.error(missing(self, file))
        return path

    def read_json(self, file: str) -> dict[str, Any]:
        """The object in a file, empty where there is no such file, config.json apart. Raises UserError for anything else."""
        path = self.need(file) if file == CONFIG else self.find(file)
        try:
            content = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self.error(f"{file} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise self.error(f"{file} cannot be read: it holds {type(content).__name__}, not an object")
        return content

    def error(self, reason: str) -> UserError:
        return option_error(f"--model {self.name}: {' '.join(reason.split())}")


def model_files(name: str) -> ModelFiles:
    """Raises UserError for a name that can be none."""
    folder = DATA if name == NURSERY else Path(name)
    if folder.is_dir():
        return ModelFiles(name, folder)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise option_error(f"--model {name}: no such folder; accepted are nursery, a local folder, or a hub id OWNER/NAME")
    return ModelFiles(name, name)


def missing(files: ModelFiles, file: str) -> str:
    name, there, export = files.name, names(files), f"uv run evaluate.py export --model_path {quote(files.name)}"
    if file == CONFIG and "adapter.json" in there:
        return f"is the checkpoint of adapters, no model; {export} --out NEW makes one of it"
    if file == CONFIG and "adapter_config.json" in there:
        merge = f'PeftModel.from_pretrained(BASE, "{name}").merge_and_unload().save_pretrained("NEW")'
        return f"is an adapter of PEFT, no model; {merge}, with the tokenizer beside it, makes one of it"
    if file == CONFIG and isinstance(files.source, Path) and is_run(files.source):
        return f"is a run, no model; {export}/checkpoint-STEP --out NEW makes one of it"
    if file == WEIGHTS and there.intersection(PICKLED):
        saving = f'transformers.AutoModelForCausalLM.from_pretrained("{name}").save_pretrained("NEW")'
        return f"has its weights as pytorch_model.bin, which can run code; {saving} writes {WEIGHTS}"
    if file == TOKENIZER:
        saving = f'transformers.AutoTokenizer.from_pretrained("{name}").save_pretrained("NEW")'
        return f"has no {TOKENIZER}; where transformers knows its tokenizer, {saving} writes one"
    return f"has no {file}" + (" in the local cache, which is all there is offline" if files.is_cached else "")


def names(files: ModelFiles) -> set[str]:
    """Of the files there are; on the hub, those it lists now."""
    if isinstance(files.source, Path):
        return {path.name for path in files.source.iterdir()}
    from huggingface_hub import list_repo_files

    try:
        return set() if files.is_cached else set(list_repo_files(files.source))
    except OSError as error:
        raise hub_error("--model", files.source, error) from error
