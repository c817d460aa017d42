"""The metacontroller: finds temporally abstract controllers in a frozen model's residual stream (arXiv 2512.20605).

At one site it watches the activations e of an episode and writes into them::

    h_t = GRU(e_t, h_t-1)                                 what has happened
    s = f_emb(e_1:T)                                      what will happen (not causal; discovery only)
    mu_t, sigma_t = f_enc(e_t, h_t-1, s)                  z~_t ~ N(mu_t, sigma_t)
    beta_t = f_switch(e_t, h_t-1, z_t-1) in [0, 1]        the switch: causal, a scalar
    z_t = beta_t z~_t + (1 - beta_t) z_t-1                the code that is held
    U_t = A(z_t) B(z_t)                                   the hypernetwork's low-rank controller
    e_t <- e_t + U_t e_t

and is trained to make the frozen model predict the expert's actions at little KL of the codes to N(0, I).  The networks
see the activation after a layer norm without parameters; U acts on the activation itself.  The first position always
switches (z_0 would be an arbitrary code).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import SpecError

Gate = str | float
"""``learned`` (beta), ``hard`` (beta > 0.5), ``sampled`` (open or shut, drawn with probability beta; gradients pass as
through a relaxed draw), ``always`` (forced switching), or the probability of a random switch."""
_TEMPERATURE = 0.5  # of the relaxed draw
_FIRST_RATE = 0.2  # what an untrained switch says
_AT_ONCE = 1024  # positions that the hypernetwork writes at once on a CPU, where no gradient is asked for


@dataclass(frozen=True)
class MetacontrollerShape:
    """Sizes; the defaults are the paper's for the gridworld."""

    d_model: int = 256
    history: int = 32
    summary: int = 32
    encoder: int = 64
    code: int = 8
    hyper: int = 32
    rank: int = 16
    switch: int = 64
    log_sigma: float = -2.0


@dataclass(frozen=True)
class Controlled:
    """What the metacontroller did: ``activation`` [batch, pos, d]; ``mu``, ``log_sigma``, ``z`` [batch, pos, code];
    ``beta`` [batch, pos] (the gate that was applied) and ``probability`` [batch, pos] (what the switch said)."""

    activation: Float[Tensor, "batch pos d"]
    mu: Float[Tensor, "batch pos code"]
    log_sigma: Float[Tensor, "batch pos code"]
    z: Float[Tensor, "batch pos code"]
    beta: Float[Tensor, "batch pos"]
    probability: Float[Tensor, "batch pos"]

    @property
    def kl(self) -> Float[Tensor, "batch pos"]:
        """KL(N(mu_t, sigma_t) || N(0, I)) at every position, in nats."""
        return 0.5 * (self.mu**2 + (2 * self.log_sigma).exp() - 1 - 2 * self.log_sigma).sum(-1)


class Hypernetwork(nn.Module):
    """Code -> controller: ``A(z) = sum_k phi_k(z) A_k`` and ``B(z)`` likewise, phi one hidden layer and a constant."""

    def __init__(self, shape: MetacontrollerShape) -> None:
        super().__init__()
        self.hidden = nn.Linear(shape.code, shape.hyper)
        k = shape.hyper + 1
        self.up = nn.Parameter(torch.randn(k, shape.d_model, shape.rank) * (0.1 / (k * shape.rank) ** 0.5))
        self.down = nn.Parameter(torch.randn(k, shape.rank, shape.d_model) / (k * shape.d_model) ** 0.5)

    def features(self, z: Tensor) -> Tensor:
        """phi(z) [..., hyper + 1]."""
        hidden = torch.tanh(self.hidden(z))
        return torch.cat([hidden, torch.ones_like(hidden[..., :1])], -1)

    def factors(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """A(z) [..., d, rank] and B(z) [..., rank, d]."""
        phi = self.features(z)
        up, down = ((phi @ w.flatten(1)).unflatten(-1, w.shape[1:]) for w in (self.up, self.down))
        return up, down

    def forward(self, activation: Tensor, z: Tensor) -> Tensor:
        """``e + A(z) B(z) e`` without building a matrix a position: e @ all B_k, mixed by phi, @ all A_k."""
        positions, alike = z.shape[:-1].numel(), activation.shape[:-1] == z.shape[:-1]
        if torch.is_grad_enabled() or activation.device.type != "cpu" or not alike or positions <= _AT_ONCE:
            return self._written(activation, z)
        # What lies between is wider than the activation: a part at a time, it stays in the processor's cache.
        parts = -(-positions // _AT_ONCE)
        pairs = zip(activation.flatten(0, -2).chunk(parts), z.flatten(0, -2).chunk(parts), strict=True)
        return torch.cat([self._written(e, code) for e, code in pairs]).view_as(activation)

    def _written(self, activation: Tensor, z: Tensor) -> Tensor:
        phi = self.features(z)  # [batch pos k]
        inner = activation @ rearrange(self.down, "k rank d -> (k rank) d").mT
        inner = rearrange(inner, "... (k rank) -> ... k rank", k=len(self.down))
        mixed = (phi[..., None, :] @ inner)[..., 0, :]  # [batch pos rank]
        spread = rearrange(phi[..., :, None] * mixed[..., None, :], "... k rank -> ... (k rank)")
        return activation + spread @ rearrange(self.up, "k d rank -> (k rank) d")


class Metacontroller(nn.Module):
    """See the module's text.  ``forward`` controls whole episodes, :meth:`advance` and :meth:`switch` one step."""

    def __init__(self, shape: MetacontrollerShape) -> None:
        super().__init__()
        self.shape = shape
        d, n = shape.d_model, shape.history
        self.history = nn.GRU(d, n, batch_first=True)
        self.future = nn.GRU(d, shape.summary, batch_first=True)
        said = nn.Linear(shape.encoder, 2 * shape.code)
        self.encode = nn.Sequential(nn.Linear(d + n + shape.summary, shape.encoder), nn.ReLU(), said)
        self.switch_in = nn.Linear(d + n, shape.switch)
        self.switch_code = nn.Linear(shape.code, shape.switch, bias=False)
        self.switch_out = nn.Linear(shape.switch, 1)
        self.hyper = Hypernetwork(shape)
        with torch.no_grad():
            self.switch_out.bias.fill_(math.log(_FIRST_RATE / (1 - _FIRST_RATE)))
            said.bias[shape.code :].fill_(shape.log_sigma)

    def seen(self, activation: Tensor) -> Tensor:
        """The activation as the networks see it."""
        return functional.layer_norm(activation.float(), activation.shape[-1:])

    def forward(
        self,
        activation: Float[Tensor, "batch pos d"],
        mask: Bool[Tensor, "batch pos"],
        gate: Gate = "learned",
        generator: torch.Generator | None = None,
        sample: bool = True,
        mirror_image: Float[Tensor, "batch pos d"] | None = None,
    ) -> Controlled:
        """Control whole episodes; ``mask`` is False at padding.  Without ``sample`` the codes are their means.

        ``mirror_image``: activations of an image of the same episodes, which the encoder reads in place of these; the
        switch and the controller never see it.
        """
        x = self.seen(activation)
        past = self.past(x)
        read = x if mirror_image is None else self.seen(mirror_image)
        mu, log_sigma = self._posterior(read, past if mirror_image is None else self.past(read), mask)
        noise = _noise(mu, generator) if sample else 0.0
        drawn = mu + log_sigma.exp() * noise
        z, beta, probability = self._hold(x, past, drawn, gate, generator)
        return Controlled(self.hyper(activation, z), mu, log_sigma, z, beta, probability)

    def past(self, x: Tensor) -> Tensor:
        """h_t-1 at every position [batch, pos, history]."""
        return functional.pad(self.history(x)[0], (0, 0, 1, -1))

    def _posterior(self, x: Tensor, past: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        ends, _ = self.future(x)  # its state at the last step of each episode has seen all of it
        last = mask.sum(1).clamp(min=1) - 1
        summary = ends[torch.arange(len(x), device=x.device), last][:, None].expand(-1, x.shape[1], -1)
        joined = torch.cat([x, past, summary], -1)
        mu, log_sigma = self.encode(joined).chunk(2, -1)
        return mu, log_sigma.clamp(-7, 3)

    def _hold(self, x: Tensor, past: Tensor, drawn: Tensor, gate: Gate, generator: Any) -> tuple[Tensor, ...]:
        still = self.switch_in(torch.cat([x, past], -1))  # [batch pos switch]: all but the code
        z, codes, betas, said = torch.zeros_like(drawn[:, 0]), [], [], []
        chances = _gates(gate, drawn, generator)
        for t in range(x.shape[1]):
            logit = self.switch_out((still[:, t] + self.switch_code(z)).relu())[:, 0]
            p = logit.sigmoid()
            beta = torch.ones_like(p) if t == 0 else _apply_gate(gate, logit, chances, t)
            z = beta[:, None] * drawn[:, t] + (1 - beta[:, None]) * z
            codes.append(z)
            betas.append(beta)
            said.append(p)
        return torch.stack(codes, 1), torch.stack(betas, 1), torch.stack(said, 1)

    def advance(self, x: Tensor, past: Tensor) -> Tensor:
        """h_t [batch, history] from the seen activation [batch, d] and h_t-1."""
        return self.history(x[:, None], past[None])[1][0]

    def switch(self, x: Tensor, past: Tensor, z: Tensor) -> Tensor:
        """beta_t [batch] of one step."""
        still = self.switch_in(torch.cat([x, past], -1))
        return self.switch_out((still + self.switch_code(z)).relu())[:, 0].sigmoid()


def _noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def _gates(gate: Gate, drawn: Tensor, generator: torch.Generator | None) -> Tensor | None:
    """Uniform draws [batch, pos] for the gates that need them."""
    if isinstance(gate, float | int) or gate == "sampled":
        return torch.rand(drawn.shape[:2], generator=generator, device=drawn.device).clamp(1e-6, 1 - 1e-6)
    if gate not in ("learned", "hard", "always"):
        raise SpecError(f"unknown gate {gate!r}: learned, sampled, hard, always, or a probability")
    return None


def _apply_gate(gate: Gate, logit: Tensor, chances: Tensor | None, t: int) -> Tensor:
    if chances is not None and gate == "sampled":
        soft = ((logit + chances[:, t].logit()) / _TEMPERATURE).sigmoid()
        return (soft > 0.5).to(soft.dtype) + soft - soft.detach()
    if chances is not None and not isinstance(gate, str):
        return (chances[:, t] < gate).to(logit.dtype)
    if gate == "always":
        return torch.ones_like(logit)
    return (logit > 0).to(logit.dtype) if gate == "hard" else logit.sigmoid()
