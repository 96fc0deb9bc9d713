"""The spec of adapters: from and to JSON, and what no spec is."""

import copy
import json

import pytest
import torch

from routing.modes import LORA
from routing.spec import AdapterSpec, spec_from_dict
from tests.routing.adapted import DUAL, IDS, SINGLE, adapted_llama, fill_adapters


@pytest.mark.parametrize("spec", [DUAL, SINGLE, AdapterSpec("lora", {LORA: 16}, 0.5, 3, "float64")])
def test_spec_survives_json(spec: AdapterSpec):
    assert spec_from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_spec_names_everything_needed_to_rebuild_but_the_targets():
    assert DUAL.to_dict() == {
        "kind": "dual_lora",
        "ranks": {"retain": 2, "forget": 3},
        "alpha": 8.0,
        "stride": 1,
        "dtype": "float32",
    }


def test_a_rebuilt_model_is_the_same_function():
    model = adapted_llama()
    fill_adapters(model)
    rebuilt = adapted_llama(spec_from_dict(json.loads(json.dumps(DUAL.to_dict()))), seed=99)
    rebuilt.load_state_dict(copy.deepcopy(model.state_dict()), strict=True)
    assert torch.equal(rebuilt(IDS), model(IDS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": None}, "missing or unknown alpha"),
        ({"beta": 3}, "missing or unknown beta"),
        ({"kind": "dora"}, "kind 'dora' with ranks for ['forget', 'retain'] is not known"),
        ({"kind": "lora"}, "kind 'lora' with ranks for ['forget', 'retain'] is not known"),
        ({"ranks": {"lora": 3}}, "kind 'dual_lora' with ranks for ['lora'] is not known"),
        ({"ranks": {"retain": 3}}, "kind 'dual_lora' with ranks for ['retain'] is not known"),
        ({"ranks": {"retain": 3, "forget": 3, "third": 3}}, "ranks for ['forget', 'retain', 'third'] is not known"),
    ],
)
def test_wrong_specs_are_refused(change: dict, message: str):
    values = {name: value for name, value in (DUAL.to_dict() | change).items() if value is not None}
    with pytest.raises(ValueError) as caught:
        spec_from_dict(values)
    assert message in str(caught.value)
