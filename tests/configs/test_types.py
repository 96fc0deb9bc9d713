"""From Python, nothing but `resolve` looks at values: what an annotation does not admit is one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.errors import UserError
from configs.experiment import AdapterSettings, Experiment, GRPOSettings, RoutingSettings, SamplingSettings
from configs.resolve import resolve


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adapter": AdapterSettings(kind="qlora")}, "--adapter.kind qlora: accepted are none, lora, dual_lora"),  # type: ignore[arg-type]
        ({"routing": RoutingSettings(enabled=1)}, "--routing.enabled 1: must be true or false"),  # type: ignore[arg-type]
        ({"max_steps": "5"}, "--max_steps 5: must be a whole number"),
        ({"max_steps": True}, "--max_steps True: must be a whole number"),
        ({"max_steps": 5.0}, "--max_steps 5.0: must be a whole number"),
        ({"lr": "1e-5"}, "--lr 1e-5: must be a number"),
        ({"lora_rank": 2.0}, "--lora_rank 2.0: must be a whole number"),
        ({"reward": 3}, "--reward 3: must be a text or must be a mapping"),
        ({"model": None}, "--model None: must be a text"),
        ({"output_dir": "here"}, "--output_dir here: must be a path"),
        ({"grpo": SamplingSettings()}, f"--grpo {SamplingSettings()!r}: must be GRPOSettings"),
        ({"grpo": GRPOSettings(loss_type=None)}, "--grpo.loss_type None: accepted are grpo, dr_grpo, dapo"),  # type: ignore[arg-type]
    ],
)
def test_a_value_of_another_type_is_refused(settings: dict[str, Any], message: str):
    with pytest.raises(UserError) as error:
        resolve(replace(Experiment(), **settings), cuda_available=False)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "settings",
    [{"lr": 1}, {"lr": None}, {"reward": {"name": "happy_count"}}, {"output_dir": Path("x")}, {"lora_rank": 3}, {"beta": 0}],
)
def test_what_an_annotation_admits_passes(settings: dict[str, Any]):
    resolve(replace(Experiment(), **settings), cuda_available=False)
