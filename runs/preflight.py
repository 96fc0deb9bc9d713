"""Before the first step: a rehearsal on a throwaway copy.

It checks that memory suffices for a step at the longest length, EOS can be reached, sampler and scorer agree, and two updates
with made-up advantages move every trainable tensor (two, because a LoRA's A stays while B is zero). It draws from keys of its
own, so that the run's samples are those it would have without.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from grpo.checks import LARGEST_LOGP_DIFFERENCE, BrokenInvariant
from grpo.logprobs import completion_logprobs
from grpo.randomness import group_keys
from grpo.rollout import Rollout
from grpo.run import Run, build_optimizer, per_completion, reference_model, step_prompts
from grpo.sampler import sample
from grpo.step import reference_logprobs
from grpo.update import Batch, update
from models.loading import load_pretrained
from routing.router import route
from runs.checkpoint import trained_tensors

FEW = 8  # rows that say as much as a whole batch, where memory is not the question
SHORT = 16  # tokens of a completion, likewise
LEAST_EOS = 1e-3  # expected number of EOS in a completion, below which it counts as out of reach


class PreflightFailure(BrokenInvariant):
    """The run as configured cannot work; nothing has been written yet."""


def preflight(run: Run) -> tuple[str, ...]:
    """Raises PreflightFailure naming what fails; leaves `run` as it was. Gives what a user should know beside."""
    policy = copy.deepcopy(run.policy)
    at_peak = run.config.grpo.warmup_steps  # the step with the full learning rate: a smaller one might move no float32
    rehearsal = replace(run, policy=policy, optimizer=build_optimizer(policy, run.config.grpo), step=at_peak)
    try:
        rollout = rehearse_sampling(rehearsal)
        few = first_rows(rollout)
        check_agreement(rehearsal, few)
        if run.config.require_eos:
            check_eos(rehearsal, few)
        notes = notes_on_rounding(run, few)
        check_updates(rehearsal, rollout)
    except torch.OutOfMemoryError as error:
        raise PreflightFailure(f"preflight: a step does not fit into the memory of {run.config.device}: {error}") from error
    return notes


def rehearse_sampling(run: Run) -> Rollout:
    prompts, settings = step_prompts(run, 0), run.config.sampling
    keys = group_keys(run.config.seed, 0, [prompt.index for prompt in prompts], run.group_size)
    uniforms = keys.uniforms("preflight", settings.max_completion_length)  # [n, t]
    return sample(run.policy, [prompt.token_ids for prompt in prompts], run.group_size, uniforms, settings)


def first_rows(rollout: Rollout) -> Rollout:
    return rollout.rows(torch.arange(min(FEW, len(rollout)), device=rollout.ids.device))


@torch.no_grad()
def check_agreement(run: Run, rollout: Rollout) -> None:
    logprobs = completion_logprobs(run.policy, rollout, run.config.sampling.temperature)
    largest = (logprobs - rollout.logprobs).abs().max().item()
    if not largest <= LARGEST_LOGP_DIFFERENCE:
        raise PreflightFailure(
            f"preflight: sampler and scorer differ by {largest:.3g} nats on a token; up to {LARGEST_LOGP_DIFFERENCE} is rounding"
        )


@torch.no_grad()
def check_eos(run: Run, rollout: Rollout) -> None:
    """Sums the probability of EOS, whichever, over the positions of each completion."""
    expected, eos_ids = 0.0, run.policy.config.eos_token_ids
    for eos in eos_ids:
        drawing_eos = replace(rollout, completion_ids=torch.full_like(rollout.completion_ids, eos))
        logprobs = completion_logprobs(run.policy, drawing_eos, run.config.sampling.temperature)
        expected += (logprobs.exp() * rollout.mask).sum(1).mean().item()
    if not expected >= LEAST_EOS:
        raise PreflightFailure(
            f"preflight: the model expects {expected:.2g} EOS ({named_tokens(run, eos_ids)}) a completion of "
            f"{run.config.sampling.max_completion_length} tokens, so no completion would end; is it the right token? "
            "(--no-require_eos, for smoke tests)"
        )


def named_tokens(run: Run, ids: Sequence[int]) -> str:
    return ", ".join(f"token {each} {run.vocabulary[each]!r}" for each in ids)


@torch.no_grad()
def notes_on_rounding(run: Run, rollout: Rollout) -> tuple[str, ...]:
    """How far rounded base weights are from those of the checkpoint, which are read again for it."""
    if run.config.model_dtype == "float32":
        return ()
    exact, temperature = load_pretrained(run.config.model).model.to(run.device), run.config.sampling.temperature
    with reference_model(run) as rounded:
        gap = completion_logprobs(rounded, rollout, temperature) - completion_logprobs(exact, rollout, temperature)
    gap = gap.abs()[rollout.mask]
    return (f"base weights in {run.config.model_dtype}: log-probabilities of {len(gap)} sampled tokens differ from float32's by "
            f"{gap.mean():.2g} nats in the mean, {gap.max():.2g} at the most",)  # fmt: skip


def made_up_rollout(run: Run, rollout: Rollout, limit: int) -> Rollout:
    """The same prompts, as if every completion had run to `limit` tokens without EOS."""
    n = len(rollout)
    positions = torch.arange(int(rollout.prompt_lengths.max()) + limit, device=run.device)  # [length]
    filler = (positions + torch.arange(n, device=run.device)[:, None]) % run.policy.config.token_count  # [n, length]
    in_prompt = positions < rollout.prompt_lengths[:, None]
    prompt_part = torch.nn.functional.pad(rollout.ids, (0, len(positions) - rollout.ids.shape[1]))[:, : len(positions)]
    ids = torch.where(in_prompt, prompt_part, filler)
    completion_at = rollout.prompt_lengths[:, None] + torch.arange(limit, device=run.device)  # [n, limit]
    mask = torch.ones(n, limit, dtype=torch.bool, device=run.device)
    blank = rollout.logprobs.new_zeros(n, limit)
    made_up = Rollout(ids, rollout.prompt_lengths, ids.gather(1, completion_at), mask, blank, finished=mask[:, 0])
    with torch.no_grad():
        logprobs = completion_logprobs(run.policy, made_up, run.config.sampling.temperature)
    return replace(made_up, logprobs=logprobs)


def check_updates(run: Run, rollout: Rollout) -> None:
    """Every other sample is labelled bad, every other pair of samples punished. The first update is on the whole batch at the
    longest length, so that it needs the memory of a step; the second on a few short rows.
    """
    tensors = trained_tensors(run)
    before = {name: parameter.detach().clone() for name, parameter in tensors.items()}
    prompts, limit = per_completion(run, step_prompts(run, 0)), run.config.sampling.max_completion_length
    for part, length in ((rollout, limit), (first_rows(rollout), min(SHORT, limit))):
        made_up, rows = made_up_rollout(run, part, length), prompts[: len(part)]
        number = torch.arange(len(rows), device=run.device)  # [n]
        advantages = torch.where(number // 2 % 2 == 0, 1.0, -1.0).to(rollout.logprobs.dtype)
        routes = route(number % 2 == 1, run.config.treatment.mode)
        ref_logprobs = reference_logprobs(run, made_up, rows) if run.config.beta else None
        update(run, Batch(rows, made_up, advantages, ref_logprobs, routes))
    if still := [name for name, parameter in tensors.items() if torch.equal(parameter, before[name])]:
        raise PreflightFailure(
            f"preflight: two updates left {len(still)} of {len(before)} trainable tensors as they were: {still[0]}"
        )
