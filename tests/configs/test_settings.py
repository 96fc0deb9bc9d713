"""Settings check themselves: what an annotation does not admit is one line, wherever the value comes from."""

from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from configs.errors import UserError
from configs.experiment import (
    AdapterSettings,
    Experiment,
    GRPOSettings,
    LabelSettings,
    RoutingSettings,
    SamplingSettings,
)
from configs.setting_kinds import PART_OF_NAME
from configs.settings import settings

TAGS = "must be a list of texts of at most 64 characters, without commas"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdapterSettings(kind="qlora"), "--adapter.kind qlora: accepted are none, lora, dual_lora"),  # type: ignore[arg-type]
        (lambda: RoutingSettings(enabled=1), "--routing.enabled 1: must be true or false"),  # type: ignore[arg-type]
        (lambda: Experiment(max_steps="5"), "--max_steps 5: must be a whole number"),  # type: ignore[arg-type]
        (lambda: Experiment(max_steps=True), "--max_steps True: must be a whole number"),
        (lambda: Experiment(max_steps=5.0), "--max_steps 5.0: must be a whole number"),  # type: ignore[arg-type]
        (lambda: Experiment(max_steps=0), "--max_steps 0: must be at least 1"),
        (lambda: replace(Experiment(), max_steps=0), "--max_steps 0: must be at least 1"),
        (lambda: Experiment(lr="1e-5"), "--lr 1e-5: must be a number"),  # type: ignore[arg-type]
        (lambda: Experiment(lr=0), "--lr 0: must be a positive number"),
        (lambda: Experiment(lora_rank=2.0), "--lora_rank 2.0: must be a whole number"),  # type: ignore[arg-type]
        (lambda: Experiment(lora_rank=0), "--lora_rank 0: must be at least 1"),
        (lambda: Experiment(reward=3), "--reward 3: must be a text or must be a mapping, or in Python a function"),  # type: ignore[arg-type]
        (lambda: Experiment(model=None), "--model None: must be a text"),  # type: ignore[arg-type]
        (lambda: Experiment(output_dir=3), "--output_dir 3: must be a path"),  # type: ignore[arg-type]
        (lambda: Experiment(name="a/b"), f"--name a/b: {PART_OF_NAME}"),
        (lambda: Experiment(name=".hidden"), f"--name .hidden: {PART_OF_NAME}"),
        (lambda: Experiment(name="x" * 101), f"--name {'x' * 101}: {PART_OF_NAME}"),
        (lambda: Experiment(tags="one"), f"--tags one: {TAGS}"),  # type: ignore[arg-type]
        (lambda: Experiment(tags=("a,b",)), f"--tags a,b: {TAGS}"),
        (lambda: Experiment(tags=("x" * 65,)), f"--tags {'x' * 65}: {TAGS}"),
        (lambda: Experiment(grpo=SamplingSettings()), f"--grpo {SamplingSettings()!r}: must be GRPOSettings"),  # type: ignore[arg-type]
        (lambda: GRPOSettings(loss_type=None), "--grpo.loss_type None: accepted are grpo, dr_grpo, dapo"),  # type: ignore[arg-type]
        (lambda: LabelSettings(fraction=1.5), "--labels.fraction 1.5: must be between 0 and 1"),
        (lambda: LabelSettings(share=1.0), "--labels.share: no such setting; LabelSettings has fraction, noise"),  # type: ignore[call-arg]
    ],
)
def test_a_value_that_a_field_does_not_admit_is_refused_as_it_is_made(make: Any, message: str):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value) == message


def test_a_string_is_a_path():
    assert Experiment(output_dir="here/and/there") == Experiment(output_dir=Path("here/and/there"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x" * 100},
        {"name": ""},
        {"tags": ("a b", "x" * 64)},
        {"lr": 1},
        {"lr": None},
        {"reward": {"name": "happy_count"}},
        {"output_dir": Path("x")},
        {"lora_rank": 3},
        {"beta": 0},
    ],
)
def test_what_an_annotation_admits_passes(values: dict[str, Any]):
    assert vars(Experiment(**values)).items() >= values.items()


def test_whole_numbers_become_floats_where_floats_are_meant():
    assert repr(Experiment(lr=1, beta=0).lr) == "1.0"
    assert repr(AdapterSettings(alpha=4).alpha) == "4.0"


def test_a_declaration_stays_a_frozen_dataclass():
    @settings("shop")
    class Shop:
        floors: Annotated[int, Field(ge=1, description="must have a ground floor")] = 1

    assert is_dataclass(Shop)
    assert replace(Shop(), floors=2) == Shop(floors=2) == Shop(2)
    with pytest.raises(AttributeError):
        Shop().floors = 2
    with pytest.raises(UserError, match=r"--shop\.floors 0: must have a ground floor"):
        Shop(floors=0)
