"""`train(Experiment(...))`: one run from its settings to its record, in a script, a notebook or `launch.py`."""

import shlex
import traceback
from pathlib import Path

from rich.console import Console

from configs.experiment import Experiment
from configs.login import check_login
from configs.naming import config_hash, to_dict
from envs.prepare import folder_of
from grpo.run import Run, build_run, prepare
from grpo.step import train_step
from records import files
from records.folder import RunFolder, check_free, create, write_json
from records.names import BASE, FAILED, FINISHED, INTERRUPTED, RUNNING
from records.reader import is_finished
from records.rows import read_rows
from records.signals import Interrupted, StopRequest, stop_request
from runs.base_samples import base_samples
from runs.checkpoint import save_checkpoint
from runs.continuation import begin_from_source
from runs.display import evaluation_table
from runs.evaluation import ModeEvaluation, evaluate_modes, evaluation_row, mode_sample_rows, modes_of, training_samples
from runs.notebook import doing, screen
from runs.preflight import preflight
from runs.record import RunRecord, finished_record
from runs.reporting import Reporter
from runs.restore import made_of, relative_paths
from runs.resume import recorded_config, resumed_run
from runs.summary import run_measures, speed_line, summarize, summary_table, warnings_at_start
from runs.tracking import tracking

STOPPING = "stopping after this step; once more stops at once"


def train(experiment: Experiment, quiet: bool = False) -> RunRecord:
    """Trains to the end. Raises UserError before anything is written, BrokenInvariant when the run must not go on.

    In the main thread, SIGINT and SIGTERM end it with Interrupted after the step, its checkpoint written.
    """
    config = prepare(experiment)
    check_login({config.wandb.mode})
    path = folder_of(config)
    check_free(path, config.overwrite)
    console = screen(quiet)
    with doing(console, "loading the model and the prompts"):
        run = build_run(config)
        begin_from_source(run)
    with doing(console, "rehearsing a step"):
        run.notes += preflight(run)
    record = made_of(run) | {"paths": relative_paths(config)}
    return train_in(create(path, to_dict(config), record, config.overwrite), run, console)


def resume(path: Path, experiment: Experiment | None = None, quiet: bool = False) -> RunRecord:
    """Continues the run in a folder from its last whole checkpoint; a finished one is only read.

    The end is that of a run without interruption, but for wall-clock figures. Raises UserError, listing the differences,
    when `experiment` is another experiment, and for what `resumed_run` refuses.
    """
    config = recorded_config(path, experiment)
    console = screen(quiet)
    if is_finished(path):
        console.out(f"{path}: is finished", highlight=False)
        return finished_record(path, config)
    check_login({config.wandb.mode})
    folder = RunFolder(path)
    folder.lock()
    with doing(console, "loading the model, the prompts and the last checkpoint"):
        run, messages = resumed_run(config, folder)
    console.out("\n".join(messages), highlight=False)
    return train_in(folder, run, console)


def train_in(folder: RunFolder, run: Run, console: Console) -> RunRecord:
    folder.status(RUNNING, run.step)
    try:
        with stop_request(STOPPING) as stop, tracking(run.config, folder) as tracker:
            reporter = Reporter(folder, run.config, tracker, console)
            with reporter.progress:
                evaluations = training_loop(run, reporter, stop)
            return finish(run, reporter, evaluations)
    except BaseException as error:
        state, cause = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED, f"{type(error).__name__}: {error}"
        folder.status(state, run.step, error=cause)
        if state == FAILED:
            folder.log(traceback.format_exc())
        folder.log(f"{state} at step {run.step}: {cause}")
        raise
    finally:
        folder.close()


def training_loop(run: Run, reporter: Reporter, stop: StopRequest) -> dict[str, ModeEvaluation]:
    """From the run's step to the end. What a step brings stands in the files before its checkpoint does."""
    config = run.config
    count = training_samples(run)
    base = evaluate_modes(run, [mode for mode in modes_of(run) if mode == BASE], count, sampled=base_samples(run, count))
    trained = [mode for mode in modes_of(run) if mode != BASE]
    if run.step == 0:
        # The policy is the base now, unless it continues another run's: one evaluation says it all.
        start = base if base and not config.continue_from else evaluate_modes(run, trained, count, base.get(BASE)) | base
        reporter.say(
            f"{reporter.folder.path}: device {config.device}, adapter {config.adapter_kind}, lr {config.lr:g}, "
            f"{len(run.environment.train_prompts)} prompts, config {config_hash(config)}"
        )
        for note in run.notes:
            reporter.say(note)
        report_evaluation(reporter, start, 0)
        for warning in warnings_at_start(config, [evaluation.metrics for evaluation in start.values()][:1]):
            reporter.say(f"WARNING: {warning}")
    while run.step < config.max_steps:
        with stop.deferred():
            reporter.step(train_step(run))
            if run.step % config.eval_every == 0 and run.step < config.max_steps:
                now = evaluate_modes(run, trained, count, base.get(BASE))
                report_evaluation(reporter, now | base, run.step)
            if run.step % config.save_steps == 0 or run.step == config.max_steps or stop.requested:
                save_checkpoint(run, reporter.folder)
        if stop.requested:
            raise Interrupted(f"asked to stop after {run.step} of {config.max_steps} steps")
    final_count = config.eval.final_samples or count
    final = evaluate_modes(run, modes_of(run), final_count, sampled=base_samples(run, final_count))
    report_evaluation(reporter, final, run.step)
    return final


def report_evaluation(reporter: Reporter, evaluations: dict[str, ModeEvaluation], step: int) -> None:
    if evaluations:
        reporter.say(evaluation_table(evaluations, step))
    rows = [{"step": step, "mode": mode} | evaluation_row(evaluation) for mode, evaluation in evaluations.items()]
    reporter.folder.append(files.ROUTING_EVAL, *rows)
    if reporter.tracker is not None and rows:
        reporter.tracker.evaluation(rows)


def finish(run: Run, reporter: Reporter, evaluations: dict[str, ModeEvaluation]) -> RunRecord:
    folder = reporter.folder
    metrics = {mode: evaluation.metrics for mode, evaluation in evaluations.items()}
    start = [row for row in read_rows(folder.path, files.ROUTING_EVAL) if row["step"] == 0]
    summary = summarize(run.config, reporter.metrics, metrics, warnings_at_start(run.config, start[:1]))
    summary |= run_measures(run, evaluations)
    for evaluation in evaluations.values():
        folder.append(files.EVALUATION_SAMPLES, *mode_sample_rows(evaluation))
    write_json(folder.path / files.EVALUATION, {"step": run.step, "modes": metrics})
    write_json(folder.path / files.SUMMARY, summary)
    reporter.say(summary_table(summary))
    reporter.print(speed_line(reporter.timing))
    checkpoint = shlex.quote(f"{folder.path}/{files.CHECKPOINT}{run.step}")
    reporter.say(f"{folder.path}\nnext: uv run evaluate.py --model_path {checkpoint}")
    folder.status(FINISHED, run.step)
    return RunRecord(folder.path, run.config, reporter.metrics, metrics, summary)
