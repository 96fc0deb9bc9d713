"""Model folders as users have them: what is in one changed, and what loading says of it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from configs.errors import UserError
from models.llama import Llama
from models.loading import load_pretrained
from tests.helpers import random_prompts, right_padded

IDS = right_padded(random_prompts([7, 7]))


@torch.no_grad()
def logits_of(model: Llama) -> Tensor:
    return model(IDS) @ model.head.T


def rewrite_weights(folder: Path, change: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]) -> None:
    """Replaces the folder's weights by what `change` makes of them."""
    weights = load_file(folder / "model.safetensors")
    save_file(dict(change(weights)), folder / "model.safetensors")


def rewrite_json(file: Path, **changes: Any) -> None:
    """None takes an entry out."""
    content = (json.loads(file.read_text()) if file.exists() else {}) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def rewrite_config(folder: Path, **changes: Any) -> None:
    rewrite_json(folder / "config.json", **changes)


def error_of(name: object) -> str:
    with pytest.raises(UserError) as caught:
        load_pretrained(str(name))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"--model {name}: ")
    return message
