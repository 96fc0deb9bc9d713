"""What every test of the pages has: doors that lose no time, and registries that forget what a page put into them."""

from collections.abc import Iterator
from typing import Any

import pytest

import runs.resume
import runs.trainer
import sweep
from envs import ENVIRONMENTS
from envs.registry import DETECTORS, REWARDS
from sweeps.costs import Costs


@pytest.fixture(autouse=True)
def quick_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No preflight, which takes longer than a tiny run, no GPU, and no step measured."""
    for module in (runs.trainer, runs.resume):
        monkeypatch.setattr(module, "preflight", lambda _: ())
    monkeypatch.setattr(sweep, "gpus", list)
    monkeypatch.setattr(sweep, "measured_costs", lambda *_: Costs(9.0, 0.1, 0.01, "a test"))


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    tables: tuple[dict[str, Any], ...] = (REWARDS, DETECTORS, ENVIRONMENTS)
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
