"""A finished run's checkpoint evaluated again, with other samples and rewards than in training if wanted."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console

from configs.errors import UserError
from configs.resolve import require
from envs.binding import bind_reward
from envs.plugins import tables_of
from envs.prepare import lacks_hack
from envs.types import BoundReward, Prompt
from grpo.run import Learner, Run, unknown_id
from grpo.scoring import completions_of
from records import files
from records.folder import write_json, write_whole
from records.measures import LEARNT, Outcomes
from records.names import BASE, as_trained
from records.reader import outcomes_of, read_made_of
from records.relearning import sentences
from records.rows import Row, read_rows
from runs.display import evaluation_table, history_line, rewards_table, samples_table, training_history
from runs.evaluation import (
    evaluate_modes,
    evaluation_row,
    evaluation_uniforms,
    further_row,
    mode_sample_rows,
    modes_of,
    sample_mode,
)
from runs.notebook import screen
from runs.progress import Display
from runs.relearning import Relearning, relearn
from runs.reporting import one_line
from runs.restore import OF_THE_MACHINE, blamed_on, check_made_of, prompts_fingerprint
from runs.summary import measures_table, run_measures

Draw = Callable[[dict[str, Any], Path], None]  # evaluation.json's record, the checkpoint's folder


def evaluate_checkpoint(
    run: Run,
    checkpoint: Path,
    modes: Sequence[str],
    count: int,
    reward_calls: Sequence[str],
    shown_samples: int,
    draw: Draw,
    relearning: Callable[[], Relearning] | None = None,
) -> None:
    """Prints and writes into the checkpoint's folder, where `draw` leaves a picture. Raises UserError before that."""
    run_folder = checkpoint.absolute().parent
    history, prompts = training_history(run_folder, run.step), prompts_record(run, run_folder)
    rewards = further_rewards(run, reward_calls)
    evaluations = evaluate_modes(run, modes, count)
    rows = {mode: evaluation_row(evaluation) for mode, evaluation in evaluations.items()}
    for mode, reward in product(evaluations, rewards):
        rows[mode] |= further_row(run, evaluations[mode], reward)
    if not prompts["of_the_run"]:
        print(f"{prompts['eval_prompts']} prompts of {run.config.dataset}, which are not those of the run's own evaluations")
    print(evaluation_table(evaluations, run.step))
    if rewards:
        print(rewards_table(rows, [reward.name for reward in rewards]))
    measures = run_measures(run, evaluations)
    if measures:
        print(measures_table(measures["measures"]))
    print(history_line(history, run.step))
    if shown_samples:
        Console(file=sys.stdout).print(samples_table(evaluations, shown_samples))
    relearnt = Relearning([], {}) if relearning is None else relearning()
    for mode, figures in relearnt.figures.items():
        rows[mode] |= figures
    if relearnt.figures:
        print("\n".join(sentences(relearnt.figures)))
    record = {"step": run.step, "config_hash": read_made_of(run_folder)["config_hash"], "n_samples": count}
    record |= {"sampling": vars(run.config.sampling), "prompts": prompts} | {"history": history, "modes": rows} | measures
    samples = [row for evaluation in evaluations.values() for row in mode_sample_rows(evaluation)]
    print(write_evaluation(checkpoint, record, samples, relearnt.rows, draw))


def write_evaluation(
    checkpoint: Path, record: dict[str, Any], samples: Sequence[Row], relearning: Sequence[Row], draw: Draw
) -> str:
    """What was written where."""
    replaced = " (in place of an earlier evaluation)" if (checkpoint / files.EVALUATION).exists() else ""
    write_rows(checkpoint / files.EVALUATION_SAMPLES, samples)
    write_rows(checkpoint / files.RELEARNING, relearning)
    write_json(checkpoint / files.EVALUATION, record)
    draw(record, checkpoint)
    beside = [files.EVALUATION_SAMPLES, *([files.RELEARNING] if relearning else []), files.EVALUATION_PICTURE]
    return f"{checkpoint}: {', '.join([files.EVALUATION, *beside])}{replaced}"


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Without any, what an earlier evaluation left is gone."""
    if rows:
        write_whole(file, lambda temporary: temporary.write_text("".join(json.dumps(row) + "\n" for row in rows)))
    else:
        file.unlink(missing_ok=True)


def relearning_of(run: Run, checkpoint: Path, steps: int, threshold: float | None) -> Callable[[], Relearning]:
    """What takes long, to be called; raises UserError at once for a run that it has no meaning for, or whose threshold or
    training prompts are not at hand."""
    require(run.reward.hack is not None, "relearn_steps", steps, lacks_hack(run.reward))
    run_folder = checkpoint.absolute().parent
    with blamed_on(checkpoint):
        check_made_of(run, run_folder, but=OF_THE_MACHINE)
    outcomes: Outcomes = {} if threshold is not None else final_outcomes(run_folder, steps)
    display = Display(screen(quiet=False))

    def relearning() -> Relearning:
        with display.bars:
            return relearn(run, steps, threshold, outcomes, display)

    return relearning


def final_outcomes(run_folder: Path, steps: int) -> Outcomes:
    """Of the samples of the run's final evaluation. Raises UserError where the policy or the base has none."""
    samples = read_rows(run_folder, files.EVALUATION_SAMPLES)
    outcomes = outcomes_of(run_folder / files.EVALUATION_SAMPLES, samples, read_made_of(run_folder))
    missing = {*LEARNT} - {as_trained(mode) for mode in outcomes}
    require(not missing, "relearn_steps", steps, "the run's final evaluation has no policy and base, between whose hack rates "
            "the threshold lies; --relearn_hack_rate X sets one")  # fmt: skip
    return outcomes


def prompts_record(run: Run, run_folder: Path) -> dict[str, Any]:
    """What `run` is evaluated on, and whether the run's own evaluations had the same prompts."""
    prompts = run.environment.eval_prompts
    digest = prompts_fingerprint(prompts)
    return {
        "dataset": run.config.dataset,
        "text_column": run.config.text_column,
        "eval_split": run.config.eval_split,
        "eval_prompts": len(prompts),
        "eval_prompts_fingerprint": digest,
        "of_the_run": digest == read_made_of(run_folder)["eval_prompts_fingerprint"],
    }


def chosen_modes(run: Learner, every_mode: bool) -> Sequence[str]:
    """All modes, or the policy as it was trained and the base."""
    return modes_of(run) if every_mode else (modes_of(run)[0], BASE)


def sample_differently(run: Learner, temperature: float | None, top_k: int, top_p: float) -> None:
    """From here on the run samples so; without a temperature, at that of its training."""
    trained = run.config.sampling
    changes = {"temperature": trained.temperature if temperature is None else temperature, "top_k": top_k, "top_p": top_p}
    run.config = replace(run.config, sampling=replace(trained, **changes))


def further_rewards(run: Run, calls: Sequence[str]) -> list[BoundReward]:
    try:
        return [bind_reward(call, run.config.env.name, tables_of(run.config.plugins)) for call in calls]
    except ValueError as error:
        raise UserError(f"--eval_rewards {','.join(calls)}: {error}") from error


def replies(run: Learner, modes: Sequence[str], text: str) -> Iterator[str]:
    """What each mode says to a prompt, a line a mode."""
    prompt = read_prompt(run, text)
    uniforms = evaluation_uniforms(run.config, [prompt], [0])
    for mode in modes:
        (completion,) = completions_of(run, [prompt], sample_mode(run, mode, [prompt], uniforms))
        yield f"{mode:<12} {one_line(prompt.text)} >> {one_line(completion.text)}"


def read_prompt(run: Learner, text: str) -> Prompt:
    """Raises UserError for a prompt that is empty or too long, or that holds EOS or what the tokenizer does not know."""
    said, ids = run.tokenizer.encode(text, add_special_tokens=False).ids, run.prompting.ids(text)
    limit, context = run.config.sampling.max_completion_length, run.policy.config.max_position_embeddings
    faults = {
        "holds no token": not said,
        f"is {len(ids)} tokens long; with completions of {limit} the model takes {context - limit}": len(ids) + limit > context,
        "holds the end-of-text token": not {*run.policy.config.eos_token_ids}.isdisjoint(said),
        "holds text that the tokenizer does not know": unknown_id(run.tokenizer) in said,
    }
    if fault := next((fault for fault, is_at_fault in faults.items() if is_at_fault), None):
        raise UserError(f"--prompt {one_line(text)}: {fault}")
    return Prompt(-1, run.tokenizer.decode(said), ids)  # no prompt of the environment shares its draws
