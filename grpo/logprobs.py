"""Log-probabilities of chosen tokens, from hidden states, without ever holding [tokens, vocab].

For a model of thousands of tokens the logits are the largest tensor by far. So the forward pass walks over
chunks of tokens and keeps one number each, and the backward pass computes each chunk's logits again.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

from grpo.rollout import Rollout
from models.llama import Llama

CHUNK = 1024  # tokens whose logits exist at once: 16 MB in float32 for 4,096 tokens


class ChunkedLogprobs(Function):
    @staticmethod
    def forward(ctx, hidden, head, tokens, temperature, chunk):
        logprobs, entropy, log_normalizer = (hidden.new_empty(len(tokens)) for _ in range(3))
        for part in chunks(len(tokens), chunk):
            logits = hidden[part] @ head.T / temperature  # [chunk, vocab]
            chosen = logits.gather(1, tokens[part, None]).squeeze(1)
            log_normalizer[part] = logits.logsumexp(1)
            logprobs[part] = chosen - log_normalizer[part]
            probabilities = (logits - log_normalizer[part, None]).exp()
            entropy[part] = log_normalizer[part] - (probabilities * logits).sum(1)
        ctx.save_for_backward(hidden, head, tokens, log_normalizer)
        ctx.temperature, ctx.chunk = temperature, chunk
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx, *grads):
        hidden, head, tokens, log_normalizer = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_head = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        for part in chunks(len(tokens), ctx.chunk):
            logits = hidden[part] @ head.T / ctx.temperature
            # d log p(token) / d logits = onehot(token) - p, times the upstream gradient and 1/temperature
            grad_logits = (logits - log_normalizer[part, None]).exp_().neg_()
            grad_logits[torch.arange(len(grad_logits)), tokens[part]] += 1
            grad_logits *= grads[0][part, None] / ctx.temperature
            if grad_hidden is not None:
                grad_hidden[part] = grad_logits @ head
            if grad_head is not None:
                grad_head += grad_logits.T @ hidden[part]
        return grad_hidden, grad_head, None, None, None


def chunks(length: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, length, size)]


def chunked_logprobs(
    hidden: Float[Tensor, "m hidden"], head: Float[Tensor, "vocab hidden"], tokens: Int[Tensor, " m"],
    temperature: float = 1.0, chunk: int = CHUNK,
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:  # fmt: skip
    """log softmax(hidden @ head.T / temperature)[tokens] in nats, and the entropy of that distribution.

    Differentiable in `hidden` and `head` through the log-probabilities; the entropy carries no gradient.
    """
    return ChunkedLogprobs.apply(hidden, head, tokens, temperature, chunk)  # type: ignore[return-value]


def completion_logprobs(model: Llama, rollout: Rollout, temperature: float) -> tuple[Float[Tensor, "n t"], Float[Tensor, "n t"]]:
    """Log-probabilities and entropies of the rollout's completion tokens under the model, zero where its mask is False.

    Completion token j of row n stands at prompt_lengths[n] + j and is predicted from the position before.
    """
    hidden = model(rollout.ids)  # [n, length, hidden]
    rows, columns = rollout.mask.nonzero(as_tuple=True)  # [m] each, of all completion tokens
    predicting = hidden[rows, rollout.prompt_lengths[rows] + columns - 1]  # [m, hidden]
    logprobs, entropy = chunked_logprobs(predicting, model.head, rollout.completion_ids[rollout.mask], temperature)
    blank = hidden.new_zeros(rollout.mask.shape)
    return blank.index_put((rows, columns), logprobs), blank.index_put((rows, columns), entropy)
