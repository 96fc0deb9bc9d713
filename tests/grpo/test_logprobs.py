"""Log-probabilities against log_softmax over whole logits, in float64, and what memory they take piece by piece."""

import math
import weakref
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grpo import logprobs as module
from grpo.logprobs import completion_logprobs, piece_logprobs, pieces, token_logprobs
from grpo.rollout import Rollout
from models.decoder import leaves_of
from models.llama import Llama, initialize
from models.llama_config import LlamaConfig

EOS = 1


def random_problem(count: int, vocab: int = 11, hidden: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(count, hidden, generator=generator, dtype=torch.float64)
    head = torch.randn(vocab, hidden, generator=generator, dtype=torch.float64)
    return states.requires_grad_(), head.requires_grad_(), torch.randint(vocab, (count,), generator=generator)


def naive_logprobs(hidden: Tensor, head: Tensor, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logprobs = (hidden @ head.T / temperature).log_softmax(1)
    return logprobs.gather(1, tokens[:, None]).squeeze(1), -(logprobs.exp() * logprobs).sum(1)


# ---- Values and gradients ----


def test_by_hand():
    # Logits 0 and log 9. At temperature 1 the probabilities are 1/10 and 9/10; at 2 the logits are 0 and log 3: 1/4, 3/4.
    hidden, head = torch.ones(2, 1, dtype=torch.float64), torch.tensor([[0.0], [math.log(9)]], dtype=torch.float64)
    for temperature, rare in ((1.0, 0.1), (2.0, 0.25)):
        logprobs, entropy = token_logprobs(hidden, head, torch.tensor([0, 1]), temperature)
        assert logprobs.tolist() == pytest.approx([math.log(rare), math.log(1 - rare)], rel=1e-14)
        assert entropy.tolist() == pytest.approx([-rare * math.log(rare) - (1 - rare) * math.log(1 - rare)] * 2, rel=1e-14)


@pytest.mark.parametrize("count", [1, 13])
@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
def test_values_and_both_gradients_equal_the_naive_form(count, temperature):
    hidden, head, tokens = random_problem(count)
    weights = torch.randn(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected, expected_entropy = naive_logprobs(hidden, head, tokens, temperature)
    logprobs, entropy = token_logprobs(hidden, head, tokens, temperature)
    assert_close(logprobs, expected, rtol=1e-13, atol=1e-13)
    assert_close(entropy, expected_entropy.detach(), rtol=1e-13, atol=1e-13)
    gradients = torch.autograd.grad((logprobs * weights).sum(), (hidden, head))
    for gradient, of_naive in zip(gradients, torch.autograd.grad((expected * weights).sum(), (hidden, head)), strict=True):
        assert_close(gradient, of_naive, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_gradients_equal_finite_differences(temperature):
    hidden, head, tokens = random_problem(7)
    assert gradcheck(lambda h, w: token_logprobs(h, w, tokens, temperature)[0], (hidden, head))


@pytest.mark.parametrize("trained", ["hidden", "head"])
def test_one_input_alone_may_require_a_gradient(trained):
    hidden, head, tokens = random_problem(7)
    (hidden if trained == "head" else head).requires_grad_(False)
    of = hidden if trained == "hidden" else head
    logprobs, _ = token_logprobs(hidden, head, tokens, 0.6)
    expected, _ = naive_logprobs(hidden, head, tokens, 0.6)
    (of_naive,) = torch.autograd.grad(expected.square().sum(), of)
    logprobs.square().sum().backward()
    assert of.grad is not None and (hidden if trained == "head" else head).grad is None
    assert_close(of.grad, of_naive, rtol=1e-12, atol=1e-12)


def test_entropy_is_left_out_where_it_is_not_wanted():
    hidden, head, tokens = random_problem(3)
    logprobs, entropy = token_logprobs(hidden, head, tokens, with_entropy=False)
    assert entropy is None
    assert torch.equal(logprobs, token_logprobs(hidden, head, tokens)[0])
    logprobs.sum().backward()
    assert hidden.grad is not None and hidden.grad.abs().sum() > 0


def test_entropy_carries_no_gradient():
    hidden, head, tokens = random_problem(3)
    logprobs, entropy = token_logprobs(hidden, head, tokens)
    assert logprobs.requires_grad and not entropy.requires_grad


def test_entropy_of_equal_logits_is_the_logarithm_of_the_vocabulary():
    _, entropy = token_logprobs(torch.zeros(4, 3, dtype=torch.float64), random_problem(4, 11, 3)[1], torch.tensor([0, 3, 5, 10]))
    assert entropy.tolist() == pytest.approx([math.log(11)] * 4, rel=1e-14)


def test_large_logits_neither_overflow_nor_lose_the_rare_token():
    # Logits 0 and 2000: log-probabilities -2000 and 0 (to e^-2000), entropy 0.
    hidden = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    head = torch.tensor([[0.0], [2000.0]], dtype=torch.float64)
    logprobs, entropy = token_logprobs(hidden, head, torch.tensor([0, 1]))
    assert logprobs.tolist() == [-2000, 0] and entropy.tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(logprobs.sum(), hidden)
    assert gradient.tolist() == [[-2000], [0]]  # head[token] - head[1]


def test_a_token_of_no_probability_in_float32_has_its_log_probability_all_the_same():
    """exp(-200) is 0 in float32; the logarithm of a probability would be minus infinity."""
    logprobs, _ = token_logprobs(torch.ones(1, 1), torch.tensor([[0.0], [200.0]]), torch.tensor([0]))
    assert logprobs.item() == -200


def test_no_tokens_give_no_values_and_zero_gradients():
    hidden, head, tokens = random_problem(0)
    logprobs, entropy = token_logprobs(hidden, head, tokens)
    logprobs.sum().backward()
    assert logprobs.shape == entropy.shape == (0,)
    assert head.grad is not None and torch.equal(head.grad, torch.zeros_like(head))


# ---- Completions under a model ----


def tiny_model(tied: bool) -> Llama:
    config = LlamaConfig(
        vocab_size=13,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        max_position_embeddings=32,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        tie_word_embeddings=tied,
        attention_bias=False,
        mlp_bias=False,
        eos_token_ids=(EOS,),
    )
    model = Llama(config).double()
    initialize(model, seed=4, std=0.5)
    return model


PROMPTS = [[5], [7, 2, 9], [3, 3, 12, 4, 8], [6, 10]]
COMPLETIONS = [[4, 2, 11, EOS], [EOS], [9, 9, 5], [2, 7, EOS]]  # ended, ended at once, cut at the limit, ended


def rollout(filler: int = EOS) -> Rollout:
    """With `filler` wherever nothing stands."""
    length, width = 9, 4
    rows = [prompt + completion for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)]
    ids = torch.tensor([row + [filler] * (length - len(row)) for row in rows])
    completion_ids = torch.tensor([row + [filler] * (width - len(row)) for row in COMPLETIONS])
    mask = torch.arange(width) < torch.tensor([len(row) for row in COMPLETIONS])[:, None]
    prompt_lengths, finished = torch.tensor([len(prompt) for prompt in PROMPTS]), torch.tensor([True, True, False, True])
    return Rollout(ids, prompt_lengths, completion_ids, mask, torch.zeros(mask.shape), finished)


def slow_completion_logprobs(model: Llama, temperature: float) -> tuple[Tensor, Tensor]:
    """Token by token from its own prefix, alone and without padding."""
    logprobs, entropies = torch.zeros(2, 4, 4, dtype=torch.float64).unbind()
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        for j, token in enumerate(completion):
            last = model(torch.tensor([prompt + completion[:j]]))[:, -1]
            value, entropy = naive_logprobs(last, model.head, torch.tensor([token]), temperature)
            place = (torch.tensor(row), torch.tensor(j))
            logprobs, entropies = logprobs.index_put(place, value[0]), entropies.index_put(place, entropy[0])
    return logprobs, entropies


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("tied", [True, False])
def test_completion_tokens_are_scored_from_their_own_prefix(tied, temperature):
    """For prompts of different lengths, EOS included, with the gradient of every parameter."""
    model = tiny_model(tied)
    logprobs, entropy = piece_logprobs(model.weights(), rollout(), temperature)
    assert_close(completion_logprobs(model, rollout(), temperature), logprobs, rtol=0, atol=1e-12)
    expected, expected_entropy = slow_completion_logprobs(model, temperature)
    assert_close(logprobs, expected, rtol=1e-11, atol=1e-12)
    assert_close(entropy, expected_entropy.detach(), rtol=1e-11, atol=1e-12)
    weights = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = torch.autograd.grad((logprobs * weights).sum(), list(model.parameters()))
    of_slow = torch.autograd.grad((expected * weights).sum(), list(model.parameters()))
    for (name, _), gradient, expected_gradient in zip(model.named_parameters(), gradients, of_slow, strict=True):
        assert expected_gradient.abs().max() > 1e-3, name
        assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-10)


def test_eos_is_scored_and_what_follows_it_is_zero():
    logprobs, entropy = piece_logprobs(tiny_model(True).weights(), rollout(), 1.0)
    mask = rollout().mask
    for values in (logprobs, entropy):
        assert torch.equal(values != 0, mask)
    at_eos = logprobs[[0, 1, 3], [3, 0, 2]]
    assert (at_eos < -0.1).all()


def test_padding_is_out_of_sight():
    weights = tiny_model(True).weights()
    for values, others in zip(piece_logprobs(weights, rollout(EOS), 1.0), piece_logprobs(weights, rollout(6), 1.0), strict=True):
        assert torch.equal(values, others)


def test_rows_masked_out_are_zero_and_leave_the_others_as_they_are():
    weights = tiny_model(True).weights()
    everything = rollout()
    kept = torch.tensor([True, True, False, True])
    whole = piece_logprobs(weights, everything, 1.0)
    partial = piece_logprobs(weights, replace(everything, mask=everything.mask & kept[:, None]), 1.0)
    for values, all_values in zip(partial, whole, strict=True):
        assert_close(values, all_values * kept[:, None], rtol=0, atol=1e-14)


# ---- Pieces ----

PIECE = 24  # tokens with padding


def many(copies: int) -> Rollout:
    """The four rows again and again; with their prompts they are 5, 4, 8 and 5 tokens long."""
    return rollout().rows(torch.arange(4).repeat(copies))


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", {"cpu": PIECE})


@pytest.mark.usefixtures("small_pieces")
def test_pieces_are_the_rows_by_length_as_many_as_fit():
    """Longest first: three rows of 8 are 24 tokens; a row of 8 and two of 5 are 24 with padding; then 5 by fours (20)."""
    lengths = [(many(4).prompt_lengths + many(4).mask.sum(1))[piece].tolist() for piece in pieces(many(4))]
    assert lengths == [[8, 8, 8], [8, 5, 5], [5, 5, 5, 5], [5, 5, 4, 4], [4, 4]]
    assert sorted(torch.cat(pieces(many(4))).tolist()) == list(range(16))


def test_a_row_longer_than_a_piece_is_one_by_itself(monkeypatch):
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", {"cpu": 5})
    assert [piece.tolist() for piece in pieces(rollout())] == [[2], [0], [3], [1]]


@pytest.mark.usefixtures("small_pieces")
def test_values_and_gradients_are_the_same_in_pieces_as_at_once(monkeypatch):
    model, both = tiny_model(False), []
    for size in (PIECE, 1000):
        monkeypatch.setattr(module, "TOKENS_AT_ONCE", {"cpu": size})
        logprobs = completion_logprobs(model, many(4), 0.7)
        both.append((logprobs, *torch.autograd.grad(logprobs.square().sum(), list(model.parameters()))))
    for one, other in zip(*both, strict=True):
        assert_close(one, other, rtol=1e-11, atol=1e-12)


class Meter(TorchDispatchMode):
    """Elements of the largest result of an operation, and of all results alive at once at the peak; views are left out."""

    def __init__(self):
        super().__init__()
        self.largest = self.alive = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {tensor.untyped_storage().data_ptr() for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self.largest = max(self.largest, tensor.numel())
                self.alive += tensor.numel()
                self.peak = max(self.peak, self.alive)
                weakref.finalize(tensor, self.freed, tensor.numel())
        return result

    def freed(self, elements: int) -> None:
        self.alive -= elements


def metered_pieces(copies: int, backward: bool) -> Meter:
    """Of scoring alone, or of forward and backward passes with the gradients gathered in leaves, as the update does it."""
    model, batch = tiny_model(False), many(copies)
    if not backward:
        with Meter() as meter, torch.no_grad():
            completion_logprobs(model, batch, 1.0)
        return meter
    leaves = leaves_of(model.weights())
    with Meter() as meter:
        for piece in pieces(batch):
            piece_logprobs(leaves, batch.rows(piece), 1.0)[0].sum().backward()
    return meter


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("backward", [False, True])
def test_peak_memory_does_not_grow_with_the_batch_but_for_a_few_numbers_a_token(monkeypatch, backward):
    """300 rows more have 3,900 more places for tokens; the logits of their tokens alone would be 11 times as many."""
    few, many_rows = metered_pieces(25, backward), metered_pieces(100, backward)
    assert many_rows.peak - few.peak <= 300 * 4 * 8
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", {"cpu": 10_000})
    assert metered_pieces(100, backward).peak - metered_pieces(25, backward).peak > 3 * 300 * 4 * 8  # the meter would show it
