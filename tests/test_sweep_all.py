"""`configs/sweeps/all.py`: every sweep whose figures the documentation gives can be planned, and run in small to its page."""

from functools import partial
from pathlib import Path

import pytest

import sweep
from configs.sweep import Series, load_file
from envs.prepare import folder_of, prepare
from records.names import FINISHED
from records.reader import by_configuration, read_sweep
from sweep import parse_options
from sweeps.plan import Plan, make_plan
from tests.docs.pages import ROOT, commands_in

ALL = ROOT / "configs" / "sweeps" / "all.py"
DOCS = ROOT / "docs" / "sweeps.md"
FEWER_SEEDS = {"template_collapse": 2}  # than three


def plans_of(series: Series) -> dict[str, Plan]:
    return {name: make_plan(each, partial(prepare, cuda_available=False), folder_of) for name, each in series.sweeps.items()}


@pytest.fixture
def smoke(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of the command that docs/sweeps.md gives, in the repository's root."""
    monkeypatch.chdir(ROOT)
    small = [command.words[1:] for command in commands_in(DOCS.name, DOCS.read_text()) if "smoke" in command.words]
    (words,) = small
    assert words[0] == str(ALL.relative_to(ROOT))
    return [*words]


def test_all_of_them_can_be_planned_and_have_their_seeds():
    series = load_file(ALL)
    assert isinstance(series, Series)
    for name, plan in plans_of(series).items():
        seeds = {*series.sweeps[name].grid["seed"]}
        assert len(seeds) >= FEWER_SEEDS.get(name, 3), name
        groups: dict[str, list[int]] = {}
        for run in plan.runs:
            groups.setdefault(run.configuration, []).append(run.experiment.seed)
        assert all(sorted(group) == sorted(seeds) for group in groups.values()), groups
        assert len({run.name for run in plan.runs}) == len(plan.runs)


def test_the_small_version_has_a_part_of_each(smoke: list[str]):
    _, series = parse_options(smoke)
    assert isinstance(series, Series)
    plans = plans_of(series)
    assert [*plans] == [*load_file(ALL).sweeps]
    assert all(plan.folder == Path("output/smoke") / name for name, plan in plans.items())
    assert all(len([run for run in plan.runs if not run.baseline_of]) == 1 for plan in plans.values())


@pytest.mark.slow
def test_each_of_them_runs_to_its_page(smoke: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, printed = sweep.main([*smoke, "--output_dir", str(tmp_path)]), capsys.readouterr()
    assert code == 0, printed.err
    names = [*load_file(ALL).sweeps]
    for name in names:
        swept = read_sweep(tmp_path / "smoke" / name)
        assert [run.state for run in swept.runs] == [FINISHED] * len(swept.runs)
        page = tmp_path / "smoke" / name / "report.html"
        assert all(label in page.read_text() for label in by_configuration(swept.runs))
        assert f"{name}: {len(swept.runs)} of {len(swept.runs)} runs finished, 0 failed: {page}" in printed.out
    assert [line.partition(": ")[0] for line in printed.out.splitlines()[-len(names) :]] == names
