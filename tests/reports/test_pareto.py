"""What is said of marks at one place."""

import shutil
from pathlib import Path

from records.reader import read_sweep
from reports.numbers import end_rows
from reports.pareto import pareto
from tests.reports.report_runs import write_sweep


def test_marks_at_one_place_are_said(tmp_path: Path):
    """Of both adapters beta 0.01 and 0.02 have the means of the runs a1 and a2; their base is one place, too."""
    folder = write_sweep(tmp_path / "sweep")
    for mine, others in (("b1", "a1"), ("b2", "a2")):
        shutil.copy(folder / others / "evaluation.json", folder / mine / "evaluation.json")
    sweep = read_sweep(folder, [], iter)
    charts = pareto(end_rows(sweep.runs), sweep)
    assert charts is not None
    assert charts.notes == [
        f"{mode}: 2 configurations coincide: routed beta=0.01, routed beta=0.02."
        for mode in ("both (or policy)", "retain_only", "forget_only", "base")
    ]
