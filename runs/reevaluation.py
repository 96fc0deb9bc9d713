"""A finished run's checkpoint evaluated again, with other samples and rewards than in training if wanted."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from configs.afterwards import EvaluateOptions, reward_calls
from configs.errors import UserError
from configs.experiment import SamplingSettings
from configs.naming import config_hash
from envs.rewards import BoundReward, bind
from envs.types import Prompt
from grpo.run import BASE, Run, unknown_id
from grpo.scoring import completions_of
from records.folder import read_rows, write_json, write_whole
from runs.display import history_line, rewards_table, stories_table, training_history
from runs.evaluation import ModeEvaluation, evaluate_modes, evaluation_row, further_row, modes_of, sample_mode, sample_rows, table
from runs.plots import plot_modes
from runs.reporting import one_line
from runs.restore import load_run


def evaluate_checkpoint(options: EvaluateOptions) -> None:
    """Prints and writes into the checkpoint's folder. Raises UserError before it writes anything."""
    run = load_run(options.model_path, options.device, keep_base=True)
    run_folder = options.model_path.absolute().parent
    history = training_history(run_folder, run.step)
    made_of = {"step": run.step, "config_hash": config_hash(run.config), "n_samples": options.n_samples}
    rewards = further_rewards(run, reward_calls(options))
    settings = sample_differently(run, options)
    evaluations = evaluate_modes(run, chosen_modes(run, options), options.n_samples)
    rows = {mode: evaluation_row(evaluation) for mode, evaluation in evaluations.items()}
    for mode, evaluation in evaluations.items():
        for reward in rewards:
            rows[mode] |= further_row(run, evaluation, reward)
    show(run, evaluations, rows, [reward.name for reward in rewards], history, options.show)
    record = made_of | {"sampling": vars(settings), "history": history, "modes": rows}
    write(options.model_path, record, evaluations, read_rows(run_folder, "routing_eval.jsonl"))


def chosen_modes(run: Run, options: EvaluateOptions) -> Sequence[str]:
    modes = modes_of(run)
    return modes if options.routing_eval else (modes[0], BASE)


def sample_differently(run: Run, options: EvaluateOptions) -> SamplingSettings:
    """From here on the run samples as the options say."""
    settings = replace(run.config.sampling, top_k=options.top_k, top_p=options.top_p)
    if options.temperature is not None:
        settings = replace(settings, temperature=options.temperature)
    run.config = replace(run.config, sampling=settings)
    return settings


def further_rewards(run: Run, calls: Sequence[str]) -> list[BoundReward]:
    try:
        return [bind(call, run.config.env.name) for call in calls]
    except ValueError as error:
        raise UserError(f"--eval_rewards {','.join(calls)}: {error}") from error


def show(
    run: Run,
    evaluations: Mapping[str, ModeEvaluation],
    rows: Mapping[str, Mapping[str, Any]],
    rewards: Sequence[str],
    history: Mapping[str, Any],
    samples: int,
) -> None:
    print(table(dict(evaluations), run.step))
    if rewards:
        print(rewards_table(rows, rewards))
    print(history_line(history, run.step))
    if samples:
        Console(file=sys.stdout).print(stories_table(evaluations, samples))


def write(
    checkpoint: Path, record: Mapping[str, Any], evaluations: Mapping[str, ModeEvaluation], training: Sequence[dict[str, Any]]
) -> None:
    """In place of an earlier evaluation, and says so. Without evaluations during training there is no picture."""
    replaced = " (in place of an earlier evaluation)" if (checkpoint / "evaluation.json").exists() else ""
    samples = [json.dumps(row) + "\n" for evaluation in evaluations.values() for row in sample_rows(evaluation)]
    write_whole(checkpoint / "evaluation_samples.jsonl", lambda temporary: temporary.write_text("".join(samples)))
    write_json(checkpoint / "evaluation.json", record)
    print(f"{checkpoint}: evaluation.json, evaluation_samples.jsonl", end="")
    if training:
        plot_modes(training, checkpoint.absolute().parent.name, record["step"], checkpoint / "evaluation.png")
    picture = ", evaluation.png" if training else "; no evaluation.png, since training was never evaluated"
    print(f"{picture}{replaced}")


def say_modes(options: EvaluateOptions) -> None:
    """Prints what each mode says to a prompt, a line a mode."""
    run = load_run(options.model_path, options.device, keep_base=True)
    sample_differently(run, options)
    prompt = read_prompt(run, str(options.prompt))
    for mode in chosen_modes(run, options):
        (completion,) = completions_of(run, [prompt], sample_mode(run, mode, [prompt], [0]))
        print(f"{mode:<12} {one_line(prompt.text)} >> {one_line(completion.text)}")


def read_prompt(run: Run, text: str) -> Prompt:
    """Raises UserError for a prompt that is empty or too long, or that holds EOS or what the tokenizer does not know."""
    ids = run.tokenizer.encode(text, add_special_tokens=False).ids
    limit, context = run.config.sampling.max_completion_length, run.policy.config.max_position_embeddings
    faults = {
        "holds no token": not ids,
        f"is {len(ids)} tokens long; with completions of {limit} the model takes {context - limit}": len(ids) + limit > context,
        "holds the end-of-text token": run.policy.config.eos_token_id in ids,
        "holds text that the tokenizer does not know": unknown_id(run.tokenizer) in ids,
    }
    for fault in (fault for fault, found in faults.items() if found):
        raise UserError(f"--prompt {text}: {fault}")
    return Prompt(-1, run.tokenizer.decode(ids), tuple(ids))  # no prompt of the environment shares its draws
