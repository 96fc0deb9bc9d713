"""Model folders written, as transformers and `models.loading` read them."""

import json
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer

from models.llama import Llama


def save_pretrained(model: Llama, tokenizer: Tokenizer, folder: Path) -> None:
    """A folder that `AutoModelForCausalLM.from_pretrained` and `load_pretrained` read."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(model.config.to_hf(), indent=2) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": tokenizer.id_to_token(model.config.eos_token_ids[0])}
    (folder / "tokenizer_config.json").write_text(json.dumps(special, indent=2) + "\n")
