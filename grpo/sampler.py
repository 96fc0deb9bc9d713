"""Batched sampling with a static key-value cache.

Each distinct prompt is prefilled once and its cache is shared out to its group; then one token a row and step.
Finished rows leave the batch. A row's text is a function of its prompt and its uniforms alone: exactly so in
float64; in float32 products of few rows round differently, so fewer than 8 rows are never computed.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from configs.experiment import SamplingSettings
from grpo.rollout import Rollout
from models.llama import KVCache, Llama, empty_cache

PromptIds = Sequence[Sequence[int]]
FEWEST_ROWS = 8
SHRINK_AT = 0.75  # finished rows are dropped once this share of the rows held, or less, is alive


@torch.no_grad()
def sample(
    model: Llama, prompts: PromptIds, group_size: int, uniforms: Float[Tensor, "n t"], settings: SamplingSettings
) -> Rollout:
    """`group_size` completions of each prompt, in the prompts' order, with `uniforms` [N, T] one a token.

    Raises ValueError when a prompt is empty or prompt and completion exceed the model's context.
    """
    device, eos, limit = model.head.device, model.config.eos_token_id, settings.max_completion_length
    lengths = [len(prompt) for prompt in prompts]
    shortest, longest = min(lengths), max(lengths)
    if shortest < 1 or longest + limit > model.config.max_position_embeddings:
        raise ValueError(f"prompts of {shortest} to {longest} tokens and completions of {limit} do not fit the context")
    assert uniforms.shape == (len(prompts) * group_size, limit), (uniforms.shape, len(prompts), group_size, limit)

    cache, hidden = prefill(model, prompts, longest + limit)
    count = len(uniforms)
    # Row r of the batch computes completion `held[r]`; rows beyond the completions only fill the batch up.
    held = torch.arange(max(count, FEWEST_ROWS), device=device) % count
    alive = torch.arange(len(held), device=device) < count
    prompt_of, uniforms = held // group_size, uniforms.to(device)
    cache, hidden = cache.select(prompt_of), hidden[prompt_of]  # from a row a prompt to a row a completion: [rows, hidden]
    prompt_lengths = torch.tensor(lengths, device=device).repeat_interleave(group_size)
    completion_ids = torch.full((count, limit), eos, device=device)  # [n, t]
    logprobs = hidden.new_zeros(count, limit)

    for t in range(limit):
        tokens, token_logprobs = choose_tokens(hidden @ model.head.T, uniforms[held, t], settings)
        completion_ids[held[alive], t], logprobs[held[alive], t] = tokens[alive], token_logprobs[alive]
        alive = alive & (tokens != eos)
        if t + 1 == limit or not alive.any():
            break
        if alive.sum() <= SHRINK_AT * len(alive) and len(alive) > FEWEST_ROWS:
            kept = torch.argsort(~alive, stable=True)[: max(int(alive.sum()), FEWEST_ROWS)]  # finished ones where too few live
            held, alive, tokens, cache = held[kept], alive[kept], tokens[kept], cache.select(kept)
        hidden = model(tokens[:, None], cache, prompt_lengths[held] + t)[:, 0]
    return pack_rollout(prompts, group_size, prompt_lengths, completion_ids, logprobs, eos)


def prefill(model: Llama, prompts: PromptIds, positions: int) -> tuple[KVCache, Float[Tensor, "p hidden"]]:
    """One cache row a prompt, and the hidden state of each prompt's last token."""
    rows = [prompts[i % len(prompts)] for i in range(max(len(prompts), FEWEST_ROWS))]
    ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(model.head.device)
    cache = empty_cache(model, len(rows), positions)
    hidden = model(ids, cache)
    last = torch.tensor([len(row) - 1 for row in rows], device=ids.device)
    return cache, hidden[torch.arange(len(rows)), last]


def choose_tokens(
    logits: Float[Tensor, "n vocab"], uniforms: Float[Tensor, " n"], settings: SamplingSettings
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
    """The token at which each row's cumulative distribution passes its uniform, and its log-probability.

    Temperature 0 takes the likeliest token, with its log-probability at temperature 1.
    """
    if settings.temperature == 0:
        tokens = logits.argmax(1)
        return tokens, logits.log_softmax(1).gather(1, tokens[:, None]).squeeze(1)
    scaled = truncate(logits / settings.temperature, settings.top_k, settings.top_p)
    logprobs = scaled.log_softmax(1)
    cumulative = logprobs.double().exp().cumsum(1)  # [n, vocab]
    threshold = uniforms[:, None] * cumulative[:, -1:]  # [n, 1]
    tokens = torch.searchsorted(cumulative, threshold, right=True)  # [n, 1]
    # uniform * total may round up to the total, beyond the last token of positive probability
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    # clamped, so that logits of NaN give a log-probability of NaN and not an error about indices
    tokens = torch.minimum(tokens, last).clamp(max=logits.shape[1] - 1)
    return tokens.squeeze(1), logprobs.gather(1, tokens).squeeze(1)


def truncate(logits: Float[Tensor, "n vocab"], top_k: int, top_p: float) -> Float[Tensor, "n vocab"]:
    """Keeps the `top_k` likeliest tokens, and of those the fewest that hold a probability of `top_p`."""
    if top_k:
        lowest = logits.topk(min(top_k, logits.shape[1]), dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(dim=1, descending=True)
        before = ordered.softmax(1).cumsum(1) - ordered.softmax(1)
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before >= top_p)
        logits = logits.masked_fill(dropped, -torch.inf)
    return logits


def pack_rollout(
    prompts: PromptIds, group_size: int, prompt_lengths: Int[Tensor, " n"],
    completion_ids: Int[Tensor, "n limit"], logprobs: Float[Tensor, "n limit"], eos: int,
) -> Rollout:  # fmt: skip
    """Cuts at the first EOS and the longest completion; lays prompts and completions out without gaps."""
    ended = completion_ids == eos
    before_eos = ended.cumsum(1) - ended.long() == 0
    lengths = before_eos.sum(1)
    width = int(lengths.max())
    repeated = (prompt for prompt in prompts for _ in range(group_size))
    parts = zip(repeated, completion_ids, lengths.tolist(), strict=True)
    rows = [torch.cat([completion.new_tensor(prompt), completion[:length]]) for prompt, completion, length in parts]
    ids = pad_sequence(rows, batch_first=True, padding_value=eos)
    return Rollout(ids, prompt_lengths, completion_ids[:, :width], before_eos[:, :width], logprobs[:, :width], ended.any(1))
