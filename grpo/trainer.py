"""`train(Experiment(...))`: one run from its settings to its record, in a script, a notebook or `launch.py`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.experiment import Experiment
from configs.naming import config_hash, to_dict
from envs.binding import folder_of
from grpo.checkpoint import save_checkpoint
from grpo.evaluation import ModeEvaluation, evaluate_modes, evaluation_row, modes_of, sample_rows, table
from grpo.metrics import Number
from grpo.preflight import preflight
from grpo.reporting import Reporter, default_console, wandb_run
from grpo.run import BASE, Run, build_run, made_of, prepare
from grpo.runfolder import RunFolder, check_free, create, write_json
from grpo.step import train_step
from grpo.summary import speed_line, summarize, summary_table


@dataclass(frozen=True)
class RunRecord:
    """What a finished run leaves behind; all of it stands in the run's folder, too."""

    folder: Path
    config: Experiment  # resolved
    metrics: list[dict[str, Number]]  # one row a step
    evaluation: dict[str, dict[str, Number]]  # by mode, at the end
    summary: dict[str, Any]


def train(experiment: Experiment, quiet: bool = False) -> RunRecord:
    """Trains to the end. Raises UserError before anything is written, BrokenInvariant when the run must not go on."""
    config = prepare(experiment)
    path = folder_of(config)
    check_free(path, config.overwrite)
    console = default_console(quiet)
    with console.status("loading the model and the prompts"):
        run = build_run(config)
    with console.status("rehearsing a step"):
        preflight(run)
    folder = create(path, to_dict(config), made_of(run), config.overwrite)
    folder.status("running", run.step)
    try:
        with wandb_run(config, folder) as tracked:
            reporter = Reporter(folder, config, tracked, default_console(quiet))
            with reporter.progress:
                evaluations = training_loop(run, reporter)
            return finish(run, reporter, evaluations)
    except BaseException as error:
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        folder.status(state, run.step, error=f"{type(error).__name__}: {error}")
        folder.log(f"{state} at step {run.step}: {type(error).__name__}: {error}")
        raise


def training_loop(run: Run, reporter: Reporter) -> dict[str, ModeEvaluation]:
    config = run.config
    reporter.say(
        f"{reporter.folder.path}: device {config.device}, adapter {config.adapter.kind}, lr {config.lr:g}, "
        f"{len(run.environment.train_prompts)} prompts, config {config_hash(config)}"
    )
    count = min(config.eval.num_prompts, len(run.environment.eval_prompts))
    base = evaluate_modes(run, [mode for mode in modes_of(run) if mode == BASE], count)
    report_evaluation(reporter, base, 0)
    while run.step < config.max_steps:
        reporter.step(train_step(run))
        if run.step % config.save_steps == 0 and run.step < config.max_steps:
            save_checkpoint(run, reporter.folder.path)
        if run.step % config.eval_every == 0 and run.step < config.max_steps:
            trained = evaluate_modes(run, [mode for mode in modes_of(run) if mode != BASE], count, base.get(BASE))
            report_evaluation(reporter, trained | base, run.step)
    save_checkpoint(run, reporter.folder.path)
    final = evaluate_modes(run, modes_of(run), config.eval.final_samples or count)
    report_evaluation(reporter, final, run.step)
    return final


def report_evaluation(reporter: Reporter, evaluations: dict[str, ModeEvaluation], step: int) -> None:
    if evaluations:
        reporter.say(table(evaluations, step))
    for mode, evaluation in evaluations.items():
        reporter.folder.append("routing_eval.jsonl", {"step": step, "mode": mode} | evaluation_row(evaluation))
        if reporter.wandb is not None:
            numbers = {f"routing_eval/{mode}/{k}": float(v) for k, v in evaluation.metrics.items() if v is not None}
            reporter.wandb.log(numbers, step=max(step - 1, 0))


def finish(run: Run, reporter: Reporter, evaluations: dict[str, ModeEvaluation]) -> RunRecord:
    folder: RunFolder = reporter.folder
    metrics = {mode: evaluation.metrics for mode, evaluation in evaluations.items()}
    summary = summarize(run.config, reporter.metrics, metrics)
    for evaluation in evaluations.values():
        for row in sample_rows(evaluation):
            folder.append("evaluation_samples.jsonl", row)
    write_json(folder.path / "evaluation.json", {"step": run.step, "modes": metrics})
    write_json(folder.path / "summary.json", summary)
    reporter.say(summary_table(summary))
    reporter.show(speed_line(reporter.timing))
    reporter.say(f"{folder.path}\nnext: uv run evaluate.py --model_path {folder.path}/checkpoint-{run.step}")
    folder.status("finished", run.step)
    return RunRecord(folder.path, run.config, reporter.metrics, metrics, summary)
