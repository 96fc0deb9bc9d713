"""`train(Experiment(...))`: one run from its settings to its record, in a script, a notebook or `launch.py`."""

import shlex
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from configs.experiment import Experiment
from configs.login import check_login
from configs.naming import config_hash, to_dict
from configs.resolved import ResolvedExperiment
from envs.prepare import folder_of
from grpo.run import Run, build_run, prepare
from grpo.step import train_step
from records import files
from records.folder import RunFolder, new_folder, status_put_back, write_json
from records.names import BASE, FAILED, FINISHED, INTERRUPTED, LOADING, REHEARSING, STOPPED
from records.reader import is_finished, is_not_loaded, read_status
from records.relearning import Figures, sentences
from records.rows import read_rows
from records.signals import Interrupted, StopRequest, stop_request
from runs.base_samples import base_samples
from runs.checkpoint import save_checkpoint
from runs.continuation import begin_from_source
from runs.display import evaluation_table
from runs.evaluation import ModeEvaluation, evaluate_modes, evaluation_row, mode_sample_rows, modes_of, training_samples
from runs.notebook import screen
from runs.preflight import preflight
from runs.progress import Display
from runs.provenance import provenance
from runs.record import RunRecord, finished_record
from runs.relearning import relearn
from runs.reporting import Reporter
from runs.restore import made_of, relative_paths
from runs.resume import recorded_config, recorded_threads, resumed_run
from runs.stopping import stop_reason
from runs.summary import outcomes_in, run_measures, speed_line, summarize, summary_table, warnings_at_start
from runs.threads import note_on_threads, threads_for, threads_of
from runs.tracking import tracking
from runs.usage import usage

STOPPING = "stopping after this step; once more stops at once"


def train(
    experiment: Experiment, quiet: bool = False, command: Sequence[str] | None = None, began: float | None = None
) -> RunRecord:
    """Trains to the end. Raises UserError before anything is written, BrokenInvariant when the run must not go on.

    In the main thread, SIGINT and SIGTERM end it with Interrupted after the step, its checkpoint written; until the run is
    loaded with KeyboardInterrupt, and nothing is left of it. `command` is recorded: the words of the door that was used.
    `began` is when the run's time starts to count, as `time.time` has it, where a process was started for it; by default now.
    """
    began = time.time() if began is None else began
    config = prepare(experiment)
    check_login({config.wandb.mode})
    display = Display(screen(quiet))
    with stop_request(STOPPING) as stop, threads_of(threads_for(config)), display.bars:
        with new_folder(folder_of(config), to_dict(config), config.overwrite) as folder:
            folder.began(began)
            run = loaded_run(config, folder, display, command)
        return train_in(folder, run, display, stop)


def loaded_run(config: ResolvedExperiment, folder: RunFolder, display: Display, command: Sequence[str] | None) -> Run:
    """At step 0, rehearsed; run.json says what it was made of."""
    display.follow(folder)
    with display.preparing(LOADING, "loading the model and the prompts"):
        run = build_run(config)
        begin_from_source(run)
    with display.preparing(REHEARSING, "rehearsing a step"):
        run.notes += preflight(run)
    record = made_of(run) | {"paths": relative_paths(config)} | provenance(command)
    write_json(folder.path / files.MADE_OF, record)
    return run


def resume(
    path: Path, experiment: Experiment | None = None, quiet: bool = False, command: Sequence[str] | None = None
) -> RunRecord:
    """Continues the run in a folder from its last whole checkpoint; a finished one is only read.

    The end is that of a run without interruption, but for wall-clock figures. Raises UserError, listing the differences,
    when `experiment` is another experiment, and for what `resumed_run` refuses. `command` is recorded of a run that was
    interrupted before it was loaded.
    """
    config = recorded_config(path, experiment)
    display = Display(screen(quiet))
    if is_finished(path):
        end = read_status(path)
        reason = f": {end['error']}" if end["state"] == STOPPED else ""
        display.console.out(f"{path}: is {end['state']}{reason}", highlight=False)
        return finished_record(path, config)
    check_login({config.wandb.mode})
    folder = RunFolder(path)
    folder.lock()
    threads, usual = recorded_threads(path, config), torch.get_num_threads()
    with stop_request(STOPPING) as stop, threads_of(threads), display.bars:
        with told_as_interrupted(folder), status_put_back(folder):
            run, messages = taken_up(config, folder, display, command)
        if threads not in (None, usual):
            messages.append(f"{path}: {threads} threads, as it began with, not {usual}")
        display.console.out("\n".join(messages), highlight=False)
        return train_in(folder, run, display, stop)


def taken_up(
    config: ResolvedExperiment, folder: RunFolder, display: Display, command: Sequence[str] | None
) -> tuple[Run, list[str]]:
    """The run to go on with, and what to say of it."""
    if is_not_loaded(folder.path):
        return loaded_run(config, folder, display, command), [f"{folder.path}: was never loaded, so it starts at step 0"]
    display.follow(folder, read_status(folder.path).get("step") or 0)
    with display.preparing(LOADING, "loading the model, the prompts and the last checkpoint"):
        return resumed_run(config, folder)


@contextmanager
def told_as_interrupted(folder: RunFolder, where: str = "while it was loaded") -> Iterator[None]:
    """A KeyboardInterrupt leaves as an Interrupted, which tells where the run lies; whatever is raised opens the lock."""
    try:
        yield
    except BaseException as error:
        folder.close()
        if isinstance(error, KeyboardInterrupt) and not isinstance(error, Interrupted):
            raise Interrupted(where, folder.path) from error
        raise


def train_in(folder: RunFolder, run: Run, display: Display, stop: StopRequest) -> RunRecord:
    whole = run.step == 0  # so that its seconds are those of the whole run
    display.follow(folder, run.step)
    with told_as_interrupted(folder, "at once"):
        try:
            with tracking(run.config, folder) as tracker:
                reporter = Reporter(folder, run.config, tracker, display)
                evaluations, stopped = training_loop(run, reporter, stop)
                return finish(run, reporter, evaluations, stopped, whole)
        except BaseException as error:
            state, cause = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED, f"{type(error).__name__}: {error}"
            folder.status(state, run.step, error=cause)
            if state == FAILED:
                folder.log(traceback.format_exc())
            folder.log(f"{state} at step {run.step}: {cause}")
            raise


def training_loop(run: Run, reporter: Reporter, stop: StopRequest) -> tuple[dict[str, ModeEvaluation], str | None]:
    """From the run's step to the end: the evaluation there, and why a stop rule made it the end.

    What a step brings stands in the files before its checkpoint does.
    """
    config, display, folder, count = run.config, reporter.display, reporter.folder, training_samples(run)
    base = evaluate(run, display, [mode for mode in modes_of(run) if mode == BASE], count)

    def evaluations() -> dict[str, ModeEvaluation]:
        return evaluate(run, display, [mode for mode in modes_of(run) if mode != BASE], count, base.get(BASE)) | base

    if run.step == 0:
        # The policy is the base now, unless it continues another run's: one evaluation says it all.
        report_start(run, reporter, base if base and not config.continue_from else evaluations())
    stopped = stop_reason(config, read_rows(folder.path, files.ROUTING_EVAL))
    display.start_training(config.max_steps)
    while run.step < config.max_steps and not stopped:
        with stop.deferred():
            reporter.step(train_step(run))
            if run.step % config.eval_every == 0 and run.step < config.max_steps:
                report_evaluation(reporter, evaluations(), run.step)
                stopped = stop_reason(config, read_rows(folder.path, files.ROUTING_EVAL))
            if run.step % config.save_steps == 0 or run.step == config.max_steps or stopped or stop.requested:
                save_checkpoint(run, folder)
        if stop.requested:
            raise Interrupted(f"asked to stop after {run.step} of {config.max_steps} steps", folder.path)
    final = evaluate(run, display, modes_of(run), config.eval.final_samples or count)
    report_evaluation(reporter, final, run.step)
    return final, stopped


def evaluate(
    run: Run, display: Display, modes: Sequence[str], count: int, base: ModeEvaluation | None = None
) -> dict[str, ModeEvaluation]:
    """`evaluate_modes` behind a bar, the base's samples shared with other runs."""
    if not modes:
        return {}
    with display.evaluating(modes, count) as watch:
        sampled = base_samples(run, count, watch) if BASE in modes else None
        return evaluate_modes(run, modes, count, base, sampled, watch)


def report_start(run: Run, reporter: Reporter, start: dict[str, ModeEvaluation]) -> None:
    config = run.config
    reporter.say(
        f"{reporter.folder.path}: device {config.device}, adapter {config.adapter_kind}, lr {config.lr:g}, "
        f"{len(run.environment.train_prompts)} prompts, config {config_hash(config)}"
    )
    for note in (*run.notes, *note_on_threads(config)):
        reporter.say(note)
    report_evaluation(reporter, start, 0)
    for warning in warnings_at_start(config, [evaluation.metrics for evaluation in start.values()][:1]):
        reporter.say(f"WARNING: {warning}")


def report_evaluation(reporter: Reporter, evaluations: dict[str, ModeEvaluation], step: int) -> None:
    if evaluations:
        reporter.say(evaluation_table(evaluations, step), evaluation_table(evaluations, step, reporter.display.width))
    rows = [{"step": step, "mode": mode} | evaluation_row(evaluation) for mode, evaluation in evaluations.items()]
    reporter.folder.append(files.ROUTING_EVAL, *rows)
    if reporter.tracker is not None and rows:
        reporter.tracker.evaluation(rows)


def relearnt_at_the_end(run: Run, reporter: Reporter, evaluations: dict[str, ModeEvaluation]) -> dict[str, Figures]:
    """Figures by start, where the settings ask for them."""
    settings = run.config.eval
    if not settings.relearn_steps:
        return {}
    outcomes = outcomes_in(run, evaluations)
    relearning = relearn(run, settings.relearn_steps, settings.relearn_hack_rate, outcomes, reporter.display)
    if relearning.rows:
        reporter.folder.append(files.RELEARNING, *relearning.rows)
    for line in sentences(relearning.figures):
        reporter.say(line)
    return relearning.figures


def finish(run: Run, reporter: Reporter, evaluations: dict[str, ModeEvaluation], stopped: str | None, whole: bool) -> RunRecord:
    folder, relearnt = reporter.folder, relearnt_at_the_end(run, reporter, evaluations)
    reporter.display.bars.stop()
    metrics = {mode: evaluation.metrics | dict(relearnt.get(mode, {})) for mode, evaluation in evaluations.items()}
    start = [row for row in read_rows(folder.path, files.ROUTING_EVAL) if row["step"] == 0]
    warnings = [*([stopped] if stopped else []), *warnings_at_start(run.config, start[:1])]
    summary = summarize(run.config, reporter.metrics, metrics, warnings) | {"steps": run.step}
    summary |= run_measures(run, evaluations)
    for evaluation in evaluations.values():
        folder.append(files.EVALUATION_SAMPLES, *mode_sample_rows(evaluation))
    write_json(folder.path / files.EVALUATION, {"step": run.step, "modes": metrics})
    write_json(folder.path / files.SUMMARY, summary)
    reporter.say(summary_table(summary))
    reporter.print(speed_line(reporter.timing))
    place = shlex.quote(str(folder.path))
    reporter.say(f"{folder.path}\nnext: uv run report.py {place}\nnext: uv run evaluate.py --model_path {place}")
    end: dict[str, Any] = {"state": STOPPED, "error": stopped} if stopped else {"state": FINISHED}
    folder.status(step=run.step, **end, **usage(run, folder, whole))
    return RunRecord(folder.path, run.config, reporter.metrics, metrics, summary)
