"""Hack rates by kind of prompt, against counts by hand."""

import json
from pathlib import Path

import pytest

from bench.prompt_quadrants import DIFFERENCES, KINDS, rates_of, rates_of_sweep
from configs.errors import UserError
from configs.sweeps.prompt_quadrants import PLUGIN
from envs.plugins import tables_of
from records.reader import RunFiles, SweepFiles

BOTH, PAID, MONITORED, NEITHER = (KINDS[kind] for kind in ((True, True), (True, False), (False, True), (False, False)))
PROMPTS = {BOTH: "the cat, it", PAID: "the cat sat", MONITORED: "one cat, it", NEITHER: "one cat sat"}


def rows(**hacked: str) -> list[dict]:
    """Of each mode the kinds' samples: "10 0 1 00" are two of BOTH, the first hacked, one of PAID, and so on."""
    return [
        {"mode": mode, "prompt": prompt, "completion": "", "hacked": flag == "1"}
        for mode, flags in hacked.items()
        for prompt, sample in zip(PROMPTS.values(), flags.split(), strict=True)
        for flag in sample
    ]


def test_a_rate_is_that_of_its_mode_s_samples_on_prompts_of_its_kind():
    rates = rates_of(rows(both="1110 1 0 10", retain_only="1000 0 1 00"), tables_of((str(PLUGIN),)))
    assert rates.loc["both"].to_dict() == {BOTH: 0.75, PAID: 1.0, MONITORED: 0.0, NEITHER: 0.5}
    assert rates.loc["retain_only"].to_dict() == {BOTH: 0.25, PAID: 0.0, MONITORED: 1.0, NEITHER: 0.0}


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFiles:
    configs = [{"seed": seed, "plugins": [str(PLUGIN)]} for seed in (1, 2)]
    runs = tuple(
        RunFiles(f"run{i}", "routed", "classic", {}, state="finished", config=config) for i, config in enumerate(configs)
    )
    for run, flags in zip(runs, ("1110 1 0 10", "1000 1 1 00"), strict=True):
        (tmp_path / run.name).mkdir()
        lines = [json.dumps(row) for row in rows(both=flags)]
        (tmp_path / run.name / "evaluation_samples.jsonl").write_text("\n".join(lines) + "\n")
    return SweepFiles("sweep", ("seed",), runs, ())


def test_a_sweep_s_has_a_row_for_each_seed_and_the_differences_between_kinds(tmp_path: Path, sweep: SweepFiles):
    rates = rates_of_sweep(tmp_path, sweep)
    assert [*rates.index] == [("classic", 1, "both"), ("classic", 2, "both")]
    unseen, paid_seen, paid_unseen = (rates[name].tolist() for name in DIFFERENCES)
    assert unseen == [0.25, 0.75]  # 1 - 3/4, 1 - 1/4
    assert paid_seen == [0.75, -0.75]  # 3/4 - 0, 1/4 - 1
    assert paid_unseen == [0.5, 1.0]  # 1 - 1/2, 1 - 0


def test_an_unfinished_run_is_refused(tmp_path: Path, sweep: SweepFiles):
    waiting = RunFiles("run3", "routed", "classic", {"seed": 3})
    with pytest.raises(UserError, match=r"1 of 3 runs are not finished; the first is run3"):
        rates_of_sweep(tmp_path, SweepFiles("sweep", ("seed",), (*sweep.runs, waiting), ()))
