"""A sweep's folder. `sweep.json` tells what belongs together.

OUTPUT/SWEEP/
sweep.json          name, axes, sample, one entry a run      RUN/          the runs' own folders
configs/RUN.yaml    a run's resolved settings                logs/RUN.log  what a run's process printed, all attempts
failures.jsonl      one row a failed attempt                 summary.csv, summary.json, report.html
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.naming import to_dict
from records import files
from records.folder import write_json, write_yaml
from sweeps.plan import Plan


def plan_record(plan: Plan) -> dict[str, Any]:
    """sweep.json."""
    runs = [
        {
            "name": run.name,
            "config_hash": run.config_hash,
            "kind": run.kind,
            "configuration": run.configuration,
            "values": {name: str(value) if isinstance(value, Path) else value for name, value in run.values.items()},
            "baseline_of": list(run.baseline_of),
        }
        for run in plan.runs
    ]
    sample = None if plan.sample is None else asdict(plan.sample)
    return {"name": plan.name, "axes": list(plan.axes), "sample": sample, "runs": runs}


def make_folder(plan: Plan) -> None:
    """Raises UserError where it can not be written."""
    try:
        (plan.folder / files.CONFIGS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {plan.folder.parent}: cannot be written: {error.strerror}") from error


def write_plan(plan: Plan) -> None:
    """sweep.json and configs/, the same bytes for the same plan."""
    make_folder(plan)
    for run in plan.runs:
        write_yaml(plan.folder / files.CONFIGS / f"{run.name}.yaml", to_dict(run.experiment))
    write_json(plan.folder / files.PLAN, plan_record(plan))


def strangers(plan: Plan) -> list[str]:
    """Runs that lie in the sweep's folder and are none of the plan's."""
    planned = {run.name for run in plan.runs}
    return sorted(path.parent.name for path in plan.folder.glob(f"*/{files.CONFIG}") if path.parent.name not in planned)
