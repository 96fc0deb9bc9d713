"""The scales of adapters: set, read, put back, and refused."""

import contextlib

import pytest

from routing.adapters import (
    get_scales,
    scaled,
    set_adapter_scales,
    set_scales,
)
from routing.modes import FORGET, LORA, RETAIN
from routing.spec import AdapterSpec
from tests.helpers import tiny_llama
from tests.routing.adapted import SINGLE, adapted_llama


def test_scales_start_at_one_and_are_read_back():
    model = adapted_llama()
    assert get_scales(model) == {RETAIN: 1.0, FORGET: 1.0}
    set_scales(model, 0.5, 0.0)
    assert get_scales(model) == {RETAIN: 0.5, FORGET: 0}
    get_scales(model)[RETAIN] = 7.0
    assert get_scales(model) == {RETAIN: 0.5, FORGET: 0}, "the scales that were read are not a copy"


def test_scales_of_one_layer_are_not_shared_with_another():
    model = adapted_llama()
    set_scales(model, 1.0, 0.0)
    set_scales(model.model.layers[0], 0.0, 1.0)
    assert [get_scales(layer) for layer in model.model.layers] == [{RETAIN: 0, FORGET: 1}, {RETAIN: 1, FORGET: 0}]
    with pytest.raises(ValueError, match="different scales"):
        get_scales(model)


@pytest.mark.parametrize(
    ("spec", "message"),
    [(None, "scales for ['forget', 'retain'] do not fit the model's adapters: none"),
     (SINGLE, "scales for ['forget', 'retain'] do not fit the model's adapters: ['lora']")],
)  # fmt: skip
def test_dual_scales_need_dual_adapters(spec: AdapterSpec | None, message: str):
    model = tiny_llama() if spec is None else adapted_llama(spec)
    with pytest.raises(ValueError) as caught:
        set_scales(model, 1.0, 0.0)
    assert str(caught.value) == message


@pytest.mark.parametrize("scales", [{LORA: 1.0}, {RETAIN: 1.0}, {RETAIN: 1.0, FORGET: 1.0, LORA: 1.0}, {}])
def test_wrong_scales_change_nothing(scales: dict[str, float]):
    model = adapted_llama()
    set_scales(model, 0.5, 0.25)
    with pytest.raises(ValueError, match="do not fit the model's adapters"):
        set_adapter_scales(model, scales)
    assert get_scales(model) == {RETAIN: 0.5, FORGET: 0.25}


@pytest.mark.parametrize("raises", [True, False])
def test_scales_within_a_block_are_put_back_after_it(raises: bool):
    model = adapted_llama()
    set_scales(model, 0.5, 0.25)
    with contextlib.suppress(ZeroDivisionError), scaled(model, {RETAIN: 0.0, FORGET: 2.0}):
        assert get_scales(model) == {RETAIN: 0.0, FORGET: 2.0}
        assert not raises or 1 / 0
    assert get_scales(model) == {RETAIN: 0.5, FORGET: 0.25}
    with scaled(model, None):
        assert get_scales(model) == {RETAIN: 0.5, FORGET: 0.25}


def test_scales_of_a_model_without_adapters_cannot_be_read():
    with pytest.raises(ValueError, match="no adapters"):
        get_scales(tiny_llama())
