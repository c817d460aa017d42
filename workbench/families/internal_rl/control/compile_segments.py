"""CompILE on a frozen model: the baseline that cuts an episode into a fixed number of segments (arXiv 1812.01483).

A recognition network reads an episode's activations once for each of M segments and says where the segment ends and
which code it has; the masks of the segments follow from the soft ends b_i, one-hot over time in the limit::

    C_i(t) = sum_{s <= t} b_i(s)                       has segment i ended at t?
    m_i(t) = (1 - C_i(t)) prod_{j < i} C_j(t)          segment i is the one at t (the last one never ends)
    z(t) = sum_i m_i(t) z_i                            the code that is held

so the masks sum to one.  Ends are drawn by Gumbel-softmax, codes from Gaussians; the loss is the nats of the expert's
moves, the KL of each code once a segment, and the KL of the first end to a Poisson prior, times the number of segments
(as the authors' code has it).  What decodes a code is that of internal RL: the low-rank hypernetwork at one site of the
frozen model.

CompILE executes with a known number of segments; reinforcement needs a causal termination instead.  The switch of a
:class:`Metacontroller` is trained beside the rest to imitate the cuts, so ``SegmentModel.controller`` plays like any
other metacontroller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.families.internal_rl.control.discovery import mirror_activations, steered_pass
from workbench.families.internal_rl.control.frozen import frozen
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.models.sequence_model import SequenceModel
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.training.loop import Schedule, train
from workbench.worlds.pinpad.expert import Episodes

_NEVER = -1e9


@dataclass(frozen=True)
class SegmentCourse:
    """Weights of the KL of codes (``alpha``) and of ends (``end_weight``), the temperature of the ends, and the mean
    length of a segment a priori.  Both KLs are per episode, divided by its moves, like the metacontroller's.
    ``mirrored``: the recognition network reads a mirror_image, as in ``discovery.Course``."""

    alpha: float = 0.1
    end_weight: float = 0.1
    temperature: float = 1.0
    segment_length: float = 7.0
    mirrored: bool = True


@dataclass(frozen=True)
class Segmented:
    """``activation`` [batch, pos, d] as steered; ``masks`` [batch, segments, pos]; ``ends`` [batch, segments - 1, pos]
    and ``end_logits`` likewise; ``mu``, ``log_sigma``, ``codes`` [batch, segments, code]; ``z`` [batch, pos, code];
    ``beta`` [batch, pos] (where a segment begins, 1 at the start) and ``probability`` [batch, pos] (what the causal
    termination says)."""

    activation: Float[Tensor, "batch pos d"]
    masks: Float[Tensor, "batch segments pos"]
    ends: Float[Tensor, "batch ends pos"]
    end_logits: Float[Tensor, "batch ends pos"]
    mu: Float[Tensor, "batch segments code"]
    log_sigma: Float[Tensor, "batch segments code"]
    codes: Float[Tensor, "batch segments code"]
    z: Float[Tensor, "batch pos code"]
    beta: Float[Tensor, "batch pos"]
    probability: Float[Tensor, "batch pos"]

    @property
    def kl(self) -> Float[Tensor, " batch"]:
        """KL of the codes to N(0, I), summed over the segments of an episode, in nats."""
        kl = 0.5 * (self.mu**2 + (2 * self.log_sigma).exp() - 1 - 2 * self.log_sigma)
        return kl.sum((1, 2))


def segment_masks(ends: Float[Tensor, "batch ends pos"]) -> Float[Tensor, "batch segments pos"]:
    """The masks of ``ends + 1`` segments; they sum to one at every position.

    >>> segment_masks(torch.tensor([[[0.0, 1.0, 0.0]]])).tolist()  # ends at 1: positions 1 and 2 are the next one's
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]]
    """
    ended = ends.cumsum(-1).clamp(max=1.0)
    reached = torch.cat([torch.ones_like(ended[:, :1]), ended.cumprod(1)], 1)  # all before it have ended
    going = torch.cat([1 - ended, torch.ones_like(ended[:, :1])], 1)
    return reached * going


class SegmentModel(nn.Module):
    """The recognition network, and ``controller``: decoder and causal termination, a metacontroller to play with."""

    def __init__(self, shape: MetacontrollerShape, segments: int = 4) -> None:
        super().__init__()
        self.segments = segments
        self.controller = Metacontroller(shape)
        n = shape.encoder
        self.read = nn.GRUCell(shape.d_model, n)
        self.end = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 1))
        said = nn.Linear(n, 2 * shape.code)
        self.code = nn.Sequential(nn.Linear(n, n), nn.ReLU(), said)
        with torch.no_grad():
            said.bias[shape.code :].fill_(shape.log_sigma)

    def forward(
        self,
        activation: Float[Tensor, "batch pos d"],
        mask: Bool[Tensor, "batch pos"],
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        sample: bool = True,
        mirror_image: Float[Tensor, "batch pos d"] | None = None,
    ) -> Segmented:
        """Segment whole episodes; ``mask`` is False at padding.  Without ``sample``, ends are the likeliest positions
        (hard) and codes their means.  ``mirror_image``: activations of an image of the same episodes, which the
        recognition network reads in place of these."""
        x = self.controller.seen(activation)
        read = x if mirror_image is None else self.controller.seen(mirror_image)
        ends: list[Tensor] = []
        logits: list[Tensor] = []
        posteriors: list[Tensor] = []
        for segment in range(self.segments):
            begun = _product([end.cumsum(-1).clamp(max=1.0) for end in ends], x)  # [batch pos]
            encoded = self._encode(read, begun)
            if segment < self.segments - 1:
                logits.append(self._end_logits(encoded, mask))
                ends.append(_draw_end(logits[-1], generator, temperature, sample))
                at = ends[-1]
            else:
                at = _last(mask).to(x.dtype)
            posteriors.append(self.code(_before(at, segment == self.segments - 1) @ encoded))
        return self._finish(activation, x, torch.stack(ends, 1), torch.stack(logits, 1),
                            torch.cat(posteriors, 1), generator, sample)  # fmt: skip

    def _encode(self, x: Tensor, begun: Tensor) -> Tensor:
        """Hidden states [batch, pos, n] of a pass that forgets all before the segment."""
        hidden, states = x.new_zeros(len(x), self.read.hidden_size), []
        for t in range(x.shape[1]):
            hidden = self.read(x[:, t], hidden) * begun[:, t, None]
            states.append(hidden)
        return torch.stack(states, 1)

    def _end_logits(self, encoded: Tensor, mask: Tensor) -> Tensor:
        logits = self.end(encoded)[..., 0].masked_fill(~mask, _NEVER)
        return torch.cat([torch.full_like(logits[:, :1], _NEVER), logits[:, 1:]], 1)  # no segment ends at the start

    def _finish(self, activation: Tensor, x: Tensor, ends: Tensor, logits: Tensor, posterior: Tensor,
                generator: torch.Generator | None, sample: bool) -> Segmented:  # fmt: skip
        mu, log_sigma = posterior.chunk(2, -1)
        log_sigma = log_sigma.clamp(-7, 3)
        noise = torch.randn(mu.shape, generator=generator, device=mu.device) if sample else 0.0
        codes = mu + log_sigma.exp() * noise
        masks = segment_masks(ends)
        z = masks.mT @ codes  # [batch pos code]
        moved = 0.5 * (masks[..., 1:] - masks[..., :-1]).abs().sum(1)
        beta = torch.cat([torch.ones_like(moved[:, :1]), moved], 1)
        steered = self.controller.hyper(activation, z)
        return Segmented(steered, masks, ends, logits, mu, log_sigma, codes, z, beta, self._termination(x, z))

    def _termination(self, x: Tensor, z: Tensor) -> Tensor:
        """What the causal switch says [batch, pos], given the code held before; the cuts do not learn from it."""
        c, held = self.controller, functional.pad(z.detach(), (0, 0, 1, -1))
        rows = (rearrange(each, "batch pos d -> (batch pos) d") for each in (x, c.past(x), held))
        return c.switch(*rows).view(x.shape[:2])


def segmented_pass(
    model: SequenceModel,
    site: Site,
    segments: SegmentModel,
    episodes: Episodes,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    sample: bool = True,
    mirror_image: Float[Tensor, "batch pos d"] | None = None,
) -> tuple[Segmented, Float[Tensor, "batch pos"]]:
    """One pass over whole episodes under CompILE's control: (what was done, nats on each move [batch, time])."""
    return steered_pass(
        model, site, episodes,
        lambda e: segments(e, episodes.mask, generator, temperature, sample, mirror_image),
    )  # fmt: skip


def discover_segments(
    model: SequenceModel,
    site: Site,
    segments: SegmentModel,
    batch_of: Callable[[int], Episodes],
    schedule: Schedule,
    course: SegmentCourse,
    folder: Path,
    seed: int = 0,
    report: Callable[[dict[str, float]], None] | None = None,
    **identity: Any,
) -> float:
    """Train ``segments`` in place (resuming from ``folder``); return the seconds.  ``batch_of(step)`` are episodes of
    the expert; the model is frozen (:class:`RunError` if anything reaches its weights)."""
    generator = torch.Generator(model.device)

    def step_loss(step: int, _done: float) -> tuple[Tensor, int]:
        episodes = batch_of(step)
        generator.manual_seed(derive_seed(seed, "segments", step))
        mirror_image = mirror_activations(model, site, episodes, generator) if course.mirrored else None
        found, nll = segmented_pass(
            model, site, segments, episodes, generator, course.temperature, mirror_image=mirror_image
        )
        return _loss(found, nll, episodes.mask, course), int(episodes.mask.sum())

    marks = {"site": str(site), "model": model.fingerprint, "seed": seed, "course": asdict(course), **identity}
    with frozen({"base": model.backend.hf_model}):
        return train(segments, step_loss, schedule, folder, marks | {"method": "CompILE"}, report)


def _loss(found: Segmented, nll: Tensor, mask: Tensor, course: SegmentCourse) -> Tensor:
    moves = mask.sum()
    ends = _end_kl(found.end_logits[:, 0], course.segment_length) * found.masks.shape[1]
    bound = nll[mask].sum() + course.alpha * found.kl.sum() + course.end_weight * ends.sum()
    later = mask.clone()
    later[:, 0] = False  # the start always begins a segment
    cuts = found.beta.detach().clamp(0, 1)[later]
    imitation = functional.binary_cross_entropy(found.probability[later].clamp(1e-6, 1 - 1e-6), cuts)
    return bound / moves + imitation


def _end_kl(logits: Float[Tensor, "batch pos"], rate: float) -> Float[Tensor, " batch"]:
    """KL of the ends [batch, pos] to a Poisson of mean ``rate``, cut off and normalised where an end can be."""
    possible = logits > _NEVER / 2
    times = torch.arange(logits.shape[1], device=logits.device, dtype=logits.dtype)
    prior = (times * torch.tensor(rate).log() - rate - torch.lgamma(times + 1)).expand_as(logits)
    prior = prior.masked_fill(~possible, _NEVER).log_softmax(-1)
    log_q = logits.log_softmax(-1)
    return (log_q.exp() * (log_q - prior) * possible).sum(-1)


def _product(parts: list[Tensor], like: Tensor) -> Tensor:
    product = like.new_ones(like.shape[:2])
    for part in parts:
        product = product * part
    return product


def _draw_end(logits: Tensor, generator: torch.Generator | None, temperature: float, sample: bool) -> Tensor:
    """A soft one-hot over positions by Gumbel-softmax, or the likeliest position as a hard one."""
    if not sample:
        return functional.one_hot(logits.argmax(-1), logits.shape[1]).to(logits.dtype)
    uniform = torch.rand(logits.shape, generator=generator, device=logits.device).clamp(1e-9, 1 - 1e-7)
    return ((logits - (-uniform.log()).log()) / temperature).softmax(-1)


def _last(mask: Tensor) -> Tensor:
    """True at the last position of each episode [batch, pos]."""
    return functional.one_hot(mask.sum(1).clamp(min=1) - 1, mask.shape[1])


def _before(at: Tensor, last: bool) -> Tensor:
    """Weights [batch, 1, pos] of the step at which a segment's code is read: the last one inside it."""
    return (at if last else functional.pad(at[:, 1:], (0, 1)))[:, None]
