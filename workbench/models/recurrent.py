"""The recurrent block of Hawk: a gated linear recurrence in the place of attention (arXiv 2402.19427, section 2.4).

The real-gated linear recurrent unit (RG-LRU) keeps one number a channel,

    r_t = sigmoid(W_a x_t + b_a),   i_t = sigmoid(W_x x_t + b_x),   log a_t = -8 softplus(decay) r_t,
    h_t = a_t h_{t-1} + sqrt(1 - a_t^2) (i_t x_t),

so an episode of any length is stepped through in constant memory.  Whole sequences run in chunks: all chunks of
sqrt(time) steps at once, then the carry from chunk to chunk, about 2 sqrt(time) operations in a row instead of time.
Products of decays are at most 1, so nothing is divided and nothing overflows.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_C = 8.0
_CONV = 4
_INITIAL = (0.9, 0.999)  # range of a_t where the recurrence gate is open


class RecurrentCache:
    """What the recurrent blocks remember of the steps so far; as large after a thousand steps as after one.

    >>> cache = RecurrentCache(layers=2)
    >>> cache.get_seq_length()
    0
    """

    def __init__(self, layers: int) -> None:
        self._states: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self._seen = [0] * layers

    def get_seq_length(self) -> int:
        """Steps that every layer has seen."""
        return self._seen[-1]

    def state(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """The last inputs of the convolution [batch, 3, d] and the recurrent state [batch, d]; None at the start."""
        return self._states[layer]

    def update(self, layer: int, tail: Tensor, state: Tensor, steps: int) -> None:
        """Put what is left after ``steps`` more steps in the place of what was."""
        self._states[layer] = (tail, state)
        self._seen[layer] += steps

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        self._states = [None if each is None else (each[0][rows], each[1][rows]) for each in self._states]


def linear_recurrence(
    decay: Float[Tensor, "batch time d"], x: Float[Tensor, "batch time d"], start: Float[Tensor, "batch d"]
) -> Float[Tensor, "batch time d"]:
    """``h_t = decay_t h_{t-1} + x_t`` for every t, with ``h_{-1} = start``.  ``decay`` must lie in [0, 1].

    >>> linear_recurrence(torch.full((1, 3, 1), 0.5), torch.ones(1, 3, 1), torch.zeros(1, 1)).flatten().tolist()
    [1.0, 1.5, 1.75]
    """
    return _Recurrence.apply(decay, x, start)


class _Recurrence(torch.autograd.Function):
    """The recurrence and its gradient, which is the same recurrence backwards in time: only the states are kept."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, x: Tensor, start: Tensor) -> Tensor:
        states = _scan(decay, x, start)
        ctx.save_for_backward(decay, states, start)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay, states, start = ctx.saved_tensors
        following = torch.cat([decay[:, 1:], torch.zeros_like(decay[:, :1])], 1)
        carried = _scan(following.flip(1), grads[0].flip(1), torch.zeros_like(start)).flip(1)
        before = torch.cat([start[:, None], states[:, :-1]], 1)
        return carried * before, carried, carried[:, 0] * decay[:, 0]


def _scan(decay: Tensor, x: Tensor, start: Tensor) -> Tensor:
    time = x.shape[1]
    if time == 1:
        return decay * start[:, None] + x
    chunk = math.isqrt(time - 1) + 1
    room = (0, 0, 0, -time % chunk)
    cut = "batch (chunks time) d -> batch chunks time d"
    a, b = (rearrange(functional.pad(each, room), cut, time=chunk) for each in (decay, x))
    products, sums = [a[:, :, 0]], [b[:, :, 0]]  # [batch chunks d] each, as if every chunk began at zero
    for i in range(1, chunk):
        products.append(a[:, :, i] * products[-1])
        sums.append(torch.addcmul(b[:, :, i], a[:, :, i], sums[-1]))
    carries = [start]
    for c in range(a.shape[1] - 1):
        carries.append(torch.addcmul(sums[-1][:, c], products[-1][:, c], carries[-1]))
    carry = torch.stack(carries, 1)[:, :, None]
    whole = torch.addcmul(torch.stack(sums, 2), torch.stack(products, 2), carry)
    return rearrange(whole, "batch chunks time d -> batch (chunks time) d")[:, :time]


class RgLru(nn.Module):
    """The real-gated linear recurrent unit; its gates are block-diagonal, one block a head.

    ``forward(x [batch, time, d], start [batch, d] or None)`` gives the states [batch, time, d] in float32.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        each = width // heads
        self.decay = nn.Parameter(torch.empty(width))
        self.input_gate = nn.Parameter(torch.empty(heads, each, each))
        self.input_bias = nn.Parameter(torch.empty(heads, each))
        self.recurrence_gate = nn.Parameter(torch.empty(heads, each, each))
        self.recurrence_bias = nn.Parameter(torch.empty(heads, each))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew: a_t is uniform in [0.9, 0.999] where the recurrence gate is open."""
        std = self.input_gate.shape[1] ** -0.5
        with torch.no_grad():
            for weight in (self.input_gate, self.recurrence_gate):
                weight.normal_(std=std)
            for bias in (self.input_bias, self.recurrence_bias):
                bias.zero_()
            self.decay.uniform_(*_INITIAL).log_().neg_().div_(_C).expm1_().log_()

    def forward(self, x: Tensor, start: Tensor | None = None) -> Tensor:
        log_a = (
            -_C * functional.softplus(self.decay.float()) * self._gate(x, self.recurrence_gate, self.recurrence_bias)
        )
        # 1 - a^2 without cancellation; the bound keeps the gradient of the root finite.
        root = (-torch.expm1(2 * log_a)).clamp(min=1e-6).sqrt()
        inputs = root * self._gate(x, self.input_gate, self.input_bias) * x.float()
        start = torch.zeros_like(inputs[:, 0]) if start is None else start
        return linear_recurrence(log_a.exp(), inputs, start)

    def _gate(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        heads = rearrange(x, "batch time (heads each) -> batch time heads each", heads=self.heads)
        gates = (torch.einsum("bthi,hij->bthj", heads, weight) + bias).float().sigmoid()
        return rearrange(gates, "batch time heads each -> batch time (heads each)")


class RecurrentMixing(nn.Module):
    """Hawk's mixing over time: a causal convolution of width 4 and the RG-LRU, times a GeLU gate."""

    def __init__(self, d: int, heads: int, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.gate, self.inner = nn.Linear(d, d), nn.Linear(d, d)
        self.conv = nn.Conv1d(d, d, _CONV, groups=d)
        self.rg_lru = RgLru(d, heads)
        self.out = nn.Linear(d, d)

    def forward(self, x: Tensor, cache: RecurrentCache | None = None) -> Tensor:
        inner = self.inner(x)  # [batch pos d]
        known = cache.state(self.layer) if cache is not None else None
        tail, start = known or (inner.new_zeros(len(x), _CONV - 1, x.shape[2]), None)
        inner = torch.cat([tail.to(inner.dtype), inner], 1)
        states = self.rg_lru(self.conv(inner.transpose(1, 2)).transpose(1, 2), start)
        if cache is not None:
            cache.update(self.layer, inner[:, 1 - _CONV :], states[:, -1], x.shape[1])
        gate = functional.gelu(self.gate(x), approximate="tanh")
        return self.out(states.to(gate.dtype) * gate)


class GatedMlp(nn.Module):
    """Hawk's MLP: a GeLU gate times a linear branch."""

    def __init__(self, d: int, inner: int) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(d, inner), nn.Linear(d, inner), nn.Linear(inner, d)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.gelu(self.gate(x), approximate="tanh") * self.up(x))
