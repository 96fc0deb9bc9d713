"""Tests of models see no hub."""

import huggingface_hub.constants
import pytest


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No hub, and no cache but an empty one of this test's."""
    import datasets

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
