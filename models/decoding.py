"""Decoding a token at a time against a static cache of keys and values.

Prompts of different lengths are laid into the cache so that all of them end in the same slot. Then every step writes one slot
and reads a beginning of the cache, the same for all rows; `visible` alone knows which slots a row may look at.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from models.decoder import Weights, causal_attention

BLOCK = 16  # slots read are rounded up to a multiple of it, so that shapes change once in so many tokens


@dataclass
class KVCache:
    """`visible` is added to the scores of attention: 0 for slots that a row may look at, minus infinity for the others."""

    keys: Float[Tensor, "layers n heads slots head_dim"]
    values: Float[Tensor, "layers n heads slots head_dim"]
    visible: Float[Tensor, "n heads slots"]
    filled: int  # slots written so far

    def select(self, rows: Int[Tensor, " m"]) -> "KVCache":
        """The cache of some rows, in the order given; a row may come up several times. Copies no more than what is filled."""

        def selected(tensor: Tensor) -> Tensor:
            shape = (tensor.shape[0], len(rows), *tensor.shape[2:])
            kept = tensor.new_zeros(shape)
            kept[:, :, :, : self.filled] = tensor[:, :, :, : self.filled].index_select(1, rows)
            return kept

        return KVCache(selected(self.keys), selected(self.values), self.visible[rows], self.filled)


def whole_blocks(slots: int) -> int:
    return -(-slots // BLOCK) * BLOCK


def empty_cache(weights: Weights, rows: int, slots: int) -> KVCache:
    c, slots = weights.config, whole_blocks(slots)
    heads, new = (c.num_hidden_layers, rows, c.num_key_value_heads), weights.embedding.new_zeros
    return KVCache(new(*heads, slots, c.head_dim), new(*heads, slots, c.head_dim), new(*heads[1:], slots) - torch.inf, 0)


def prefill(
    weights: Weights, ids: Int[Tensor, "n t"], lengths: Int[Tensor, " n"], slots: int
) -> tuple[KVCache, Float[Tensor, "n hidden"]]:
    """A cache of at least `slots` holding right-padded prompts, and the hidden state of each prompt's last token."""
    c, (n, longest) = weights.config, ids.shape
    cache = empty_cache(weights, n, slots)
    rows = torch.arange(n, device=ids.device)
    position = torch.arange(longest, device=ids.device) - (longest - lengths)[:, None]  # [n, t], of what a slot holds
    held = rows[:, None], position.clamp(min=0)
    cache.visible[:, :, :longest] = torch.where(position < 0, -torch.inf, 0.0).to(cache.visible.dtype)[:, None]
    cache.filled = longest

    def attend(i: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cache.keys[i, :, :, :longest] = k[held].transpose(1, 2)
        cache.values[i, :, :, :longest] = v[held].transpose(1, 2)
        return causal_attention(q, k, v, c.windows[i], c.attention_scale)

    encoding = weights.position_encoding(torch.arange(longest, device=ids.device))
    hidden = weights.hidden(ids, encoding, attend)
    return cache, hidden[rows, lengths - 1]


def head_product(weights: Weights) -> Callable[[Float[Tensor, "n hidden"]], Float[Tensor, "n vocab"]]:
    """The product with the head. On a CPU oneDNN's, which for few rows and a large vocabulary takes half as long as MKL's."""
    head = weights.head
    if head.device.type != "cpu" or head.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return lambda hidden: hidden @ head.T
    prepared = head.to_mkldnn()
    return lambda hidden: F.linear(hidden.to_mkldnn(), prepared).to_dense()


def decode(
    weights: Weights, cache: KVCache, tokens: Int[Tensor, " n"], encoding: Float[Tensor, "n ..."]
) -> Float[Tensor, "n hidden"]:
    """The hidden state of one more token a row, which is added to the cache. `encoding` is that of each row's position."""
    c, n, slot = weights.config, len(tokens), cache.filled
    length, windows = whole_blocks(slot + 1), c.windows
    scale = c.head_dim**-0.5 if c.attention_scale is None else c.attention_scale
    cache.visible[:, :, slot] = 0
    # As many matrices as there are rows and heads: [layers, n * heads, ...], in the cache's own memory.
    new_keys, new_values = (each[:, :, :, slot] for each in (cache.keys, cache.values))  # [layers, n, heads, head_dim]
    keys, values = (each.flatten(1, 2)[:, :, :length] for each in (cache.keys, cache.values))
    whole = cache.visible.flatten(0, 1)[:, None, :length]
    visible = {window: whole if window is None else seen_within(whole, slot, window) for window in set(windows)}

    def attend(i: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        new_keys[i], new_values[i] = k, v
        grouped = q.reshape(len(whole), -1, c.head_dim)  # the queries that share a key
        scores = torch.baddbmm(visible[windows[i]], grouped, keys[i].mT, alpha=scale)
        return torch.bmm(scores.softmax(-1), values[i]).view(n, -1)

    cache.filled += 1
    return weights.hidden(tokens, encoding, attend)


def seen_within(visible: Float[Tensor, "n 1 slots"], slot: int, window: int) -> Float[Tensor, "n 1 slots"]:
    """What a token in `slot` sees where it sees the last `window` alone."""
    if slot < window:
        return visible
    near = visible.clone()
    near[:, :, : slot + 1 - window] = -torch.inf
    return near
