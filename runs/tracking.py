"""A run as wandb has it: one wandb run of its own, in the run's folder, made of the rows of the run's files."""

import html
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from configs.naming import to_dict
from configs.resolved import ResolvedExperiment
from records.folder import RunFolder

SAMPLES_ON_PANEL = 8
Row = Mapping[str, Any]


class Tracker:
    """Tells wandb what the run's files tell, row by row."""

    def __init__(self, wandb_run: Any):
        self.run = wandb_run

    def step(self, metrics: Row, timing: Row, samples: Sequence[Row]) -> None:
        """One row of metrics.jsonl and one of timing.jsonl; samples are those of a logged step, else none."""
        panel = {"sample_text": samples_panel(samples)} if samples else {}
        numbers = {name: value for name, value in {**metrics, **timing}.items() if value is not None}
        self.run.log(numbers | panel, step=metrics["step"])

    def evaluation(self, step: int, mode: str, metrics: Row) -> None:
        """One mode's figures after `step` steps, which stand at the last of these."""
        numbers = {f"routing_eval/{mode}/{name}": float(value) for name, value in metrics.items() if value is not None}
        self.run.log(numbers, step=max(step - 1, 0))


@contextmanager
def tracking(config: ResolvedExperiment, folder: RunFolder) -> Iterator[Tracker | None]:
    """A wandb run named like the folder and kept in it, the one of before an interruption; None when disabled."""
    if config.wandb.mode == "disabled":
        yield None
        return
    import wandb

    settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, disable_git=True)
    earlier = sorted(folder.path.glob("wandb/*run-*"))  # named by date, time and the run's id
    again = earlier[-1].name.rpartition("-")[2] if earlier else None
    run = wandb.init(project=config.wandb.project, group=config.wandb.group or None, name=folder.path.name, dir=folder.path,
                     mode=config.wandb.mode, config=to_dict(config), settings=settings, id=again,
                     resume="allow" if config.wandb.mode == "online" else None)  # fmt: skip
    exit_code = 1
    try:
        yield Tracker(run)
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)


def samples_panel(samples: Sequence[Row]) -> Any:
    """The first samples as an HTML table; everything the model wrote is escaped."""
    import wandb

    heads = ("prompt", "completion", "reward", "advantage")
    rows = [[f"<td>{html.escape(str(row[head]))}</td>" for head in heads] for row in samples[:SAMPLES_ON_PANEL]]
    lines = [f"<tr>{''.join(cells)}</tr>" for cells in ([f"<th>{head}</th>" for head in heads], *rows)]
    return wandb.Html(f"<table>{''.join(lines)}</table>", inject=False)
