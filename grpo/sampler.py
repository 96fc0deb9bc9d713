"""Batched sampling with a static key-value cache.

Each distinct prompt is prefilled once and its cache is shared out to its group; then one token a row and step, with the
adapters merged into the weights. Finished rows leave the batch. A row's text is a function of its prompt and its uniforms
alone: exactly so in float64; in float32 products of few rows round differently, so fewer than 8 rows are never computed.

Within the loop nothing is asked of the device but every `CHECK_EVERY` tokens, and shapes change no more often than that.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from configs.experiment import SamplingSettings
from grpo.rollout import Rollout
from models.decoder import LanguageModel, Weights
from models.decoding import KVCache, decode, head_product, prefill

PromptIds = Sequence[Sequence[int]]
FEWEST_ROWS = 8
CHECK_EVERY = 8  # tokens, after which finished rows may leave
SHRINK_AT = 0.875  # they do once this share of the rows held, or less, is alive: leaving costs a copy of the cache


@torch.no_grad()
def sample(
    model: LanguageModel, prompts: PromptIds, group_size: int, uniforms: Float[Tensor, "n t"], settings: SamplingSettings
) -> Rollout:
    """`group_size` completions of each prompt, in the prompts' order, with `uniforms` [N, T] one a token.

    Raises ValueError when a prompt is empty or prompt and completion exceed the model's context.
    """
    limit, eos_ids, device = settings.max_completion_length, model.config.eos_token_ids, model.head.device
    lengths = [len(prompt) for prompt in prompts]
    shortest, longest = min(lengths), max(lengths)
    if shortest < 1 or longest + limit > model.config.max_position_embeddings:
        raise ValueError(f"prompts of {shortest} to {longest} tokens and completions of {limit} do not fit the context")
    assert uniforms.shape == (len(prompts) * group_size, limit), (uniforms.shape, len(prompts), group_size, limit)
    completion_ids = torch.full(uniforms.shape, eos_ids[0], device=device)
    logprobs = model.head.new_zeros(uniforms.shape)
    write_completions(model, prompts, uniforms.to(device), settings, completion_ids, logprobs)
    prompt_lengths = torch.tensor(lengths, device=device).repeat_interleave(group_size)
    return pack_rollout(prompts, group_size, prompt_lengths, completion_ids, logprobs, eos_ids)


@torch.inference_mode()
def write_completions(
    model: LanguageModel, prompts: PromptIds, uniforms: Float[Tensor, "n t"], settings: SamplingSettings,
    completion_ids: Int[Tensor, "n t"], logprobs: Float[Tensor, "n t"],
) -> None:  # fmt: skip
    """Fills `completion_ids` and `logprobs`; what stands after a row's first EOS means nothing."""
    weights, eos_ids, (count, limit) = model.weights(), model.config.eos_token_ids, uniforms.shape
    # Row r of the batch computes completion `held[r]`; rows beyond the completions only fill the batch up.
    held = torch.arange(max(count, FEWEST_ROWS), device=uniforms.device) % count
    prompt_of = held // (count // len(prompts))
    cache, hidden, positions = prefill_prompts(weights, prompts, limit, prompt_of)
    logits_of = head_product(weights)
    encodings = weights.position_encoding(torch.arange(int(positions.max()) + limit, device=held.device))  # [positions, ...]
    for t in range(limit):
        tokens, token_logprobs = choose_tokens(logits_of(hidden), uniforms[held, t], settings)
        completion_ids[held, t], logprobs[held, t] = tokens, token_logprobs
        if t + 1 == limit:
            break
        if (t + 1) % CHECK_EVERY == 0:
            alive = ~ends_completion(completion_ids[held, : t + 1], eos_ids).any(1)
            if not alive.any():
                break
            if (still := max(int(alive.sum()), FEWEST_ROWS)) <= SHRINK_AT * len(held):
                kept = torch.argsort(~alive, stable=True)[:still]  # finished ones, too, where too few live
                held, tokens, positions, cache = held[kept], tokens[kept], positions[kept], cache.select(kept)
        hidden = decode(weights, cache, tokens, encodings[positions + t])


def prefill_prompts(
    weights: Weights, prompts: PromptIds, limit: int, prompt_of: Int[Tensor, " n"]
) -> tuple[KVCache, Float[Tensor, "n hidden"], Int[Tensor, " n"]]:
    """Computes each prompt once. Row r of the batch gets what belongs to prompt `prompt_of[r]`: a cache with room for `limit`
    tokens more, the hidden state of the last token, and the position of the next one.
    """
    rows = [torch.tensor(prompts[i % len(prompts)]) for i in range(max(len(prompts), FEWEST_ROWS))]
    ids = pad_sequence(rows, batch_first=True).to(prompt_of.device)
    lengths = torch.tensor([len(row) for row in rows], device=ids.device)
    cache, hidden = prefill(weights, ids, lengths, ids.shape[1] + limit)
    return cache.select(prompt_of), hidden[prompt_of], lengths[prompt_of]


def choose_tokens(
    logits: Float[Tensor, "n vocab"], uniforms: Float[Tensor, " n"], settings: SamplingSettings
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
    """The token at which each row's cumulative distribution passes its uniform, and its log-probability.

    Temperature 0 takes the likeliest token, with its log-probability at temperature 1.
    """
    if settings.temperature == 0:
        tokens = logits.argmax(1)
        return tokens, logits.log_softmax(1).gather(1, tokens[:, None]).squeeze(1)
    scaled = logits if settings.temperature == 1 else logits / settings.temperature
    probabilities = truncate(scaled, settings.top_k, settings.top_p).softmax(1)
    # The sum over the vocabulary in two steps: first the block of tokens in which the uniform is passed, then the token.
    width = block_width(probabilities.shape[1])
    blocks = probabilities.unflatten(1, (-1, width))
    cumulative = blocks.sum(2).double().cumsum(1)
    block, beyond = passed_at(cumulative, uniforms[:, None] * cumulative[:, -1:])
    within = blocks.gather(1, block[:, :, None].expand(-1, 1, width)).squeeze(1)  # [n, width]
    token, _ = passed_at(within.double().cumsum(1), beyond)
    tokens = block * width + token
    return tokens.squeeze(1), probabilities.gather(1, tokens).log().squeeze(1)


def passed_at(
    cumulative: Float[Tensor, "n k"], threshold: Float[Tensor, "n 1"]
) -> tuple[Int[Tensor, "n 1"], Float[Tensor, "n 1"]]:
    """Where a cumulative sum first exceeds a threshold, and by how much the threshold exceeds the sum before."""
    # A threshold may round up to the total, beyond the last entry of positive probability.
    below = threshold.minimum(cumulative[:, -1:].nextafter(threshold.new_zeros(())))
    # Clamped, so that logits of NaN give a log-probability of NaN and not an error about indices.
    at = torch.searchsorted(cumulative, below, right=True).clamp(max=cumulative.shape[1] - 1)
    before = cumulative.gather(1, (at - 1).clamp(min=0)).where(at > 0, 0.0)
    return at, below - before


def block_width(vocab: int) -> int:
    """The divisor of the vocabulary that is nearest to its root from below."""
    return next(width for width in range(math.isqrt(vocab), 0, -1) if vocab % width == 0)


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


def ends_completion(ids: Int[Tensor, "n t"], eos_ids: Sequence[int]) -> Bool[Tensor, "n t"]:
    return ids == eos_ids[0] if len(eos_ids) == 1 else torch.isin(ids, ids.new_tensor(eos_ids))


def pack_rollout(
    prompts: PromptIds, group_size: int, prompt_lengths: Int[Tensor, " n"],
    completion_ids: Int[Tensor, "n limit"], logprobs: Float[Tensor, "n limit"], eos_ids: Sequence[int],
) -> Rollout:  # fmt: skip
    """Cuts behind the first EOS and the longest completion; lays prompts and completions out without gaps."""
    ended, padding = ends_completion(completion_ids, eos_ids), eos_ids[0]
    mask = ended.cumsum(1) - ended.long() == 0  # [n, limit]
    lengths = mask.sum(1)
    width, length = int(lengths.max()), int((prompt_lengths + lengths).max())
    completion_ids, logprobs = completion_ids.where(mask, padding)[:, :width], logprobs.where(mask, 0.0)[:, :width]
    mask = mask[:, :width]
    column = torch.arange(length, device=mask.device)
    in_prompt, in_text = column < prompt_lengths[:, None], column < (prompt_lengths + lengths)[:, None]  # [n, length]
    ids = completion_ids.new_full((len(mask), length), padding)
    ids[in_prompt] = torch.tensor([i for prompt in prompts for i in [*prompt] * group_size], device=ids.device)
    ids[in_text & ~in_prompt] = completion_ids[mask]
    return Rollout(ids, prompt_lengths, completion_ids, mask, logprobs, ended.any(1))
