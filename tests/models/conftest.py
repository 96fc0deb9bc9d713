"""Tests of models see no hub."""

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from models.saving import save_pretrained
from tests.helpers import tiny_llama, tiny_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder as `save_pretrained` writes it."""
    save_pretrained(tiny_llama(dtype=torch.float32), tiny_tokenizer(), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No hub, and no cache but an empty one of this test's."""
    import datasets

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
