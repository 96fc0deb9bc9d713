"""How many threads compute is measured, unless somebody has set it; and said."""

from collections.abc import Callable, Iterator

import pytest
import torch

from configs.experiment import Experiment
from grpo.run import prepare
from runs import threads
from runs.threads import ROUNDS, SET_OUTSIDE, fastest, note_on_threads, seconds_with, threads_for, threads_of


@pytest.fixture
def four_threads() -> Iterator[None]:
    with threads_of(4):
        yield


def taking(times: dict[int, list[float]]) -> Callable[[int], float]:
    """The seconds of each number, one round after another."""
    left = {count: iter(each) for count, each in times.items()}
    return lambda count: next(left[count])


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({1: [4.0], 2: [2.0], 4: [1.0]}, 4),
        ({1: [1.0], 2: [1.0], 4: [1.0]}, 4),
        ({1: [0.9], 2: [1.0], 4: [1.0]}, 4),  # within the noise
        ({1: [1.0], 2: [0.7], 4: [9.0]}, 2),
        ({1: [1.0], 2: [5.0], 4: [9.0]}, 1),
        ({1: [1.0, 1.0, 1.0], 2: [0.1, 5.0, 5.0], 4: [0.1, 9.0, 9.0]}, 1),  # one lucky round
        ({1: [1.0, 1.0, 1.0], 2: [1.1, 1.1, 1.1], 4: [50.0, 0.6, 0.6]}, 4),  # one unlucky round
    ],
)
def test_the_fastest_number_is_taken_and_all_of_them_where_fewer_are_hardly_faster(times: dict[int, list[float]], expected: int):
    rounds = {count: each * (ROUNDS // len(each)) for count, each in times.items()}
    assert fastest(4, taking(rounds)) == expected


def test_numbers_that_are_no_power_of_two():
    measured: list[int] = []
    assert fastest(6, lambda count: float(measured.append(count) is None)) == 6
    assert measured == [1, 2, 4, 6] * ROUNDS


def test_products_are_computed_with_as_many_and_the_number_is_put_back():
    before = torch.get_num_threads()
    assert seconds_with(before + 1) > 0
    assert torch.get_num_threads() == before
    with threads_of(before + 2):
        assert torch.get_num_threads() == before + 2
        with threads_of(None):
            assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("four_threads")
def test_a_run_takes_what_is_fastest_and_says_so(monkeypatch: pytest.MonkeyPatch):
    config = prepare(Experiment(device="cpu"))
    monkeypatch.setattr(threads, "seconds_with", lambda count: {1: 1.0, 2: 5.0, 4: 9.0}[count])
    with threads_of(threads_for(config, {})):
        few = "1 thread, with which small products are fastest now; --threads N sets them"
        assert (torch.get_num_threads(), note_on_threads(config, {})) == (1, [few])
    monkeypatch.setattr(threads, "seconds_with", lambda count: 1 / count)
    assert (threads_for(config, {}), note_on_threads(config, {})) == (4, [few.replace("1 thread", "4 threads")])


@pytest.mark.parametrize("name", SET_OUTSIDE)
@pytest.mark.usefixtures("four_threads")
def test_what_is_set_is_not_measured(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "seconds_with", None)
    config = prepare(Experiment(device="cpu"))
    assert (threads_for(config, {name: "4"}), note_on_threads(config, {name: "4"})) == (None, ["4 threads"])
    assert [threads_for(prepare(Experiment(device="cpu", threads=3)), outside) for outside in ({}, {name: "4"})] == [3, 3]
    with threads_of(1):
        assert note_on_threads(prepare(Experiment(device="cpu", threads=1)), {}) == ["1 thread"]
