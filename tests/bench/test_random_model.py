"""The folder of random weights loads as a model of the shape it is named for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.random_model import main
from bench.workloads import SMOLLM2
from models.decoder import hidden_states
from models.loading import load_pretrained


def test_it_has_the_shape_and_never_ends_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "model"
    assert main([str(folder), "--layers", "1"]) == 0
    pretrained = load_pretrained(str(folder))
    assert pretrained.model.config == replace(SMOLLM2, num_hidden_layers=1)
    count = sum(parameter.numel() for parameter in pretrained.model.parameters())
    assert capsys.readouterr().out == f"{folder}: {count:,} parameters\n"
    with torch.no_grad():
        logits = hidden_states(pretrained.model.weights(), torch.arange(5, 25)[None]) @ pretrained.model.head.T
    assert logits.softmax(-1)[..., SMOLLM2.eos_token_ids[0]].max() < 1e-6

    assert main([str(folder), "--layers", "1"]) == 2
    assert capsys.readouterr().err == f"error: {folder}: exists\n"
