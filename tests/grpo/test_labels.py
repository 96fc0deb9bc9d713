"""Eligibility and labels: rates, keys, and what they may depend on."""

import inspect

import pytest
import torch

from configs.experiment import LabelSettings
from grpo.labels import eligible_samples, label_samples
from grpo.randomness import SampleKeys

N = 4000


def keys(step: int = 3, n: int = N) -> SampleKeys:
    return SampleKeys(42, step, [i // 16 for i in range(n)], [i % 16 for i in range(n)])


def test_everything_detected_is_labelled_and_nothing_else_by_default():
    detected = torch.arange(N) % 3 == 0
    assert torch.equal(label_samples(detected, LabelSettings(), keys()), detected)


@pytest.mark.parametrize(("fraction", "noise"), [(0.2, 0.0), (0.5, 0.1), (0.0, 0.3), (1.0, 1.0)])
def test_shares_of_labelled_samples(fraction: float, noise: float):
    # 2,000 draws each: the standard error is at most 0.0112, so 0.045 is four of them; a share off by 0.09 is found
    # with a probability above 0.9999.
    detected = torch.arange(N) % 2 == 0
    labelled = label_samples(detected, LabelSettings(fraction, noise), keys())
    assert labelled[detected].double().mean().item() == pytest.approx(fraction, abs=0.045)
    assert labelled[~detected].double().mean().item() == pytest.approx(noise, abs=0.045)


def test_a_label_depends_on_its_own_key_and_detection_alone():
    settings = LabelSettings(fraction=0.5, noise=0.2)
    detected = torch.arange(N) % 2 == 0
    whole = label_samples(detected, settings, keys())
    rows = [17, 5, 901]
    few_keys = SampleKeys(42, 3, [keys().prompts[i] for i in rows], [keys().generations[i] for i in rows])
    few = label_samples(detected[rows], settings, few_keys)
    assert torch.equal(few, whole[rows])
    assert not torch.equal(label_samples(detected, settings, keys(step=4)), whole)


def test_eligibility_and_labels_are_drawn_apart():
    # Of two independent fair draws half agree; the standard error over 4,000 is 0.0079.
    eligible = torch.tensor(eligible_samples(0.5, keys()))
    known = label_samples(torch.ones(N, dtype=torch.bool), LabelSettings(fraction=0.5), keys())
    assert (eligible == known).double().mean().item() == pytest.approx(0.5, abs=0.035)
    assert eligible.double().mean().item() == pytest.approx(0.5, abs=0.035)


def test_all_or_none_are_eligible_at_the_ends():
    assert all(eligible_samples(1.0, keys(n=200)))
    assert not any(eligible_samples(0.0, keys(n=200)))


def test_labels_have_no_place_for_the_truth():
    assert list(inspect.signature(label_samples).parameters) == ["detected", "settings", "keys"]
