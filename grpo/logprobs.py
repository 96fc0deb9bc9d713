"""Log-probabilities of chosen tokens, a few rows at a time, so that the logits of a whole batch never exist.

For a model of thousands of tokens the logits are the largest tensor by far. Pieces of a batch that fit the processor's cache
are also faster than the whole, and sorted by length they hold hardly any padding.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

from grpo.rollout import Rollout
from models.decoder import LanguageModel, Weights, hidden_states

TOKENS_AT_ONCE = {"cpu": 640}  # with padding: 10 MB of float32 logits for a vocabulary of 4,096
TOKENS_ELSEWHERE = 16_384


class TokenLogprobs(Function):
    """Keeps the probabilities for the backward pass, so that nothing is computed twice."""

    @staticmethod
    def forward(ctx, hidden, head, tokens, temperature, with_entropy):
        logits = hidden @ head.T  # [m, vocab]
        if temperature != 1:
            logits /= temperature
        probabilities = logits.softmax(1)
        # The logarithm of the sum of exp(logits), from the likeliest token: a third of the time of logsumexp.
        log_normalizer = logits.amax(1) - probabilities.amax(1).log()
        logprobs = logits.gather(1, tokens[:, None]).squeeze(1) - log_normalizer
        entropy = log_normalizer - torch.linalg.vecdot(probabilities, logits) if with_entropy else None
        ctx.save_for_backward(hidden, head, tokens, probabilities)
        ctx.temperature = temperature
        if with_entropy:
            ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx, *grads):
        hidden, head, tokens, probabilities = ctx.saved_tensors
        grad = (grads[0] / ctx.temperature)[:, None]
        # d log p(token) / d logits = onehot(token) - p, times the upstream gradient and 1/temperature
        grad_logits = (probabilities * -grad).scatter_add_(1, tokens[:, None], grad)
        grad_hidden = grad_logits @ head if ctx.needs_input_grad[0] else None
        grad_head = grad_logits.T @ hidden if ctx.needs_input_grad[1] else None
        return grad_hidden, grad_head, None, None, None


def token_logprobs(
    hidden: Float[Tensor, "m hidden"], head: Float[Tensor, "vocab hidden"], tokens: Int[Tensor, " m"],
    temperature: float = 1.0, with_entropy: bool = True,
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"] | None]:  # fmt: skip
    """log softmax(hidden @ head.T / temperature)[tokens] in nats, and the entropy of that distribution where it is wanted.

    Differentiable in `hidden` and `head` through the log-probabilities; the entropy carries no gradient.
    """
    return TokenLogprobs.apply(hidden, head, tokens, temperature, with_entropy)  # type: ignore[return-value]


def pieces(rollout: Rollout) -> list[Int[Tensor, " m"]]:
    """The rows, longest first, in pieces of at most `TOKENS_AT_ONCE` tokens with padding, or of one row."""
    lengths = rollout.prompt_lengths + rollout.mask.sum(1)  # [n]
    order = lengths.argsort(descending=True, stable=True)
    device = order.device
    sizes, longest, limit = [0], 0, TOKENS_AT_ONCE.get(device.type, TOKENS_ELSEWHERE)
    for length in lengths[order].tolist():
        if sizes[-1] and (sizes[-1] + 1) * longest > limit:
            sizes.append(0)
        longest = longest if sizes[-1] else length
        sizes[-1] += 1
    return list(order.split(sizes))


def piece_logprobs(
    weights: Weights, piece: Rollout, temperature: float, with_entropy: bool = True
) -> tuple[Float[Tensor, "n t"], Float[Tensor, "n t"] | None]:
    """As `completion_logprobs`, of few rows at once, and the entropies where they are wanted."""
    hidden = hidden_states(weights, piece.ids)  # [n, length, hidden]
    rows, columns = piece.mask.nonzero(as_tuple=True)  # [m] each, of all completion tokens
    predicting = hidden[rows, piece.prompt_lengths[rows] + columns - 1]  # [m, hidden]
    values = token_logprobs(predicting, weights.head, piece.completion_ids[piece.mask], temperature, with_entropy)
    blank = hidden.new_zeros(piece.mask.shape)
    logprobs, entropy = (None if value is None else blank.index_put((rows, columns), value) for value in values)
    return logprobs, entropy  # type: ignore[return-value]


def completion_logprobs(model: LanguageModel, rollout: Rollout, temperature: float) -> Float[Tensor, "n t"]:
    """Log-probabilities of the rollout's completion tokens under the model, zero where its mask is False.

    Completion token j of row n stands at prompt_lengths[n] + j and is predicted from the position before.
    """
    weights = model.weights()
    logprobs = weights.embedding.new_zeros(rollout.mask.shape)
    for rows in pieces(rollout):
        values, _ = piece_logprobs(weights, rollout.rows(rows), temperature, with_entropy=False)
        logprobs = logprobs.index_put((rows[:, None], torch.arange(values.shape[1], device=rows.device)), values)
    return logprobs
