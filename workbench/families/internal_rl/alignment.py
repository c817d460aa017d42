"""What a discovered metacontroller does: loss, rate, switches beside true changes, and what its codes say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool1d

from probes import make_probe
from probes.evaluation import evaluate
from workbench.errors import DataError
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.control.compile_segments import SegmentModel, segmented_pass
from workbench.families.internal_rl.control.discovery import controlled_pass
from workbench.families.internal_rl.expert import (
    changes_of,
    measured_episodes,
    play_task,
    subgoals_of,
    task_of,
)
from workbench.families.internal_rl.intervals import counted, mean_by_episode, mean_of, row, share_of
from workbench.models.interventions import Scope, Where
from workbench.sites import Site
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.pinpad import PinpadState

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from workbench.families.internal_rl.discovery import Found
RANDOM_GATES = 5  # random gates of the same rate that the alignment is held against
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class HeldCode:
    """A controller of fixed codes [rows, code] as an intervention, without encoder or switch."""

    site: Site
    metacontroller: Any
    codes: Float[Tensor, "rows code"]
    scope: Scope = Scope.everywhere()

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        return self.metacontroller.hyper(activation, self.codes[where.rows])


def cost_rows(run: InternalRLRun, found: Found) -> list[Row]:
    """Soft and hard NLL, KL and switches: the two sides of the rate-distortion curve."""
    return [*_costs(_Passes(run, found))]


def alignment_rows(run: InternalRLRun, found: Found) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Every measure of a discovery, with intervals over episodes; and the :func:`switch_counts` of its switches
    (``own`` [episodes, 4]) and of the random gates (``random`` [episodes, 4 * gates])."""
    passes = _Passes(run, found)
    gates = _random_gates(run, passes)
    counts = _counts(passes, gates, 0)
    rows = [*_costs(passes), *_switching(passes, gates), *_decoding(run, passes), *_composition(run, passes)]
    return rows, counts


@dataclass(frozen=True)
class _Pass:
    """One pass over the measured episodes: gate, codes and nats at every step [batch, time, ...]; ``first`` [batch,
    code] is the code drawn at the first step; ``kl`` is spread over the steps of an episode where it is per segment."""

    beta: Float[Tensor, "batch time"]
    z: Float[Tensor, "batch time code"]
    first: Float[Tensor, "batch code"]
    kl: Float[Tensor, "batch time"]
    nll: Float[Tensor, "batch time"]


class _Passes:
    """The measured episodes under the gate as learned (``soft``), cut at one half (``hard``), and with mean codes
    (``mean``, also hard)."""

    def __init__(self, run: InternalRLRun, found: Found) -> None:
        self.found, self.episodes = found, measured_episodes(run, "discovery")
        self.mask, self.changes = self.episodes.mask, changes_of(self.episodes)
        with torch.no_grad():
            self.soft = self._run("learned", run.generator("discovery", "soft"))
            self.hard = self._run("hard", run.generator("discovery", "hard"))
            self.mean = self._run("hard", run.generator("discovery", "hard"), sample=False)
        self.switches = (self.hard.beta > 0.5) & self.mask

    def _run(self, gate: str, generator: torch.Generator, sample: bool = True) -> _Pass:
        found, steers = self.found, self.found.steers
        if isinstance(steers, SegmentModel):  # its hard cuts come with mean codes
            sample = sample and gate != "hard"
            cut, nll = segmented_pass(found.model, found.site, steers, self.episodes, generator, sample=sample)
            kl = (cut.kl / self.episodes.lengths)[:, None].expand_as(nll)
            return _Pass(cut.beta, cut.z, cut.mu[:, 0], kl, nll)
        done, nll = controlled_pass(
            found.model, found.site, steers, self.episodes, "always" if found.always else gate, generator, sample
        )
        return _Pass(done.beta, done.z, done.mu[:, 0], done.kl, nll)


def _costs(passes: _Passes) -> Iterator[Row]:
    mask = passes.mask
    yield row("soft_nll", mean_by_episode(passes.soft.nll, mask))
    yield row("hard_nll", mean_by_episode(passes.hard.nll, mask))
    yield row("kl", mean_by_episode(passes.soft.kl, mask))
    yield row("switches", mean_of(passes.switches.sum(1)))
    for name, where in (("gate_at_changes", passes.changes), ("gate_elsewhere", mask & ~passes.changes)):
        yield row(name, mean_by_episode(passes.soft.beta, _later(where)))


def switch_counts(
    switches: Bool[Tensor, "batch time"],
    changes: Bool[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    window: int = 0,
) -> Int[np.ndarray, "batch 4"]:
    """Of each episode: right switches, switches, found changes, changes.  The first step counts for neither; a switch
    is right when a change lies within ``window`` steps, and a change found when a switch does.

    >>> a, b = torch.tensor([[1, 0, 1, 0]]) > 0, torch.tensor([[0, 0, 0, 1]]) > 0
    >>> switch_counts(a, b, a | True).tolist(), switch_counts(a, b, a | True, window=1).tolist()
    ([[0, 1, 0, 1]], [[1, 1, 1, 1]])
    """  # fmt: skip
    switches, changes = switches & _later(mask), changes & _later(mask)

    def near(flags: Tensor) -> Tensor:
        return max_pool1d(flags[:, None].float(), 2 * window + 1, 1, window)[:, 0] > 0

    columns = (switches & near(changes), switches, changes & near(switches), changes)
    return torch.stack([each.sum(1) for each in columns], 1).cpu().numpy()


def _precision(total: np.ndarray) -> np.ndarray:
    return total[..., 0] / np.maximum(total[..., 1], 1)


def _recall(total: np.ndarray) -> np.ndarray:
    return total[..., 2] / np.maximum(total[..., 3], 1)


def f1_of(total: np.ndarray) -> np.ndarray:
    """F1 of summed :func:`switch_counts` [..., 4]."""
    p, r = _precision(total), _recall(total)
    return 2 * p * r / np.maximum(p + r, 1e-12)


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"precision": _precision, "recall": _recall, "f1": f1_of}


def _random_gates(run: InternalRLRun, passes: _Passes) -> list[Tensor]:
    """Gates that open at random, as often as the learned one does after the first step."""
    mask, found = passes.mask, []
    rate = float((passes.switches & _later(mask)).sum() / _later(mask).sum())
    for k in range(RANDOM_GATES):
        chances = torch.rand(mask.shape, generator=run.generator("random gate", k), device=mask.device)
        found.append((chances < rate) & mask)
    return found


def _later(mask: Tensor) -> Tensor:
    """All steps but the first."""
    later = mask.clone()
    later[:, 0] = False
    return later


def _counts(passes: _Passes, gates: Sequence[Tensor], window: int) -> dict[str, np.ndarray]:
    own, *random = (switch_counts(s, passes.changes, passes.mask, window) for s in (passes.switches, *gates))
    return {"own": own, "random": np.concatenate(random, 1)}


def _switching(passes: _Passes, gates: Sequence[Tensor]) -> Iterator[Row]:
    """Alignment, exact and within a step, beside random gates of the same rate (paired: the same episodes)."""
    yield row("rate", mean_by_episode(passes.switches.float(), _later(passes.mask)))
    for window, suffix in ((0, ""), (1, "_window")):
        counts = _counts(passes, gates, window)
        own, random = counts["own"], counts["random"]
        for name, score in SCORES.items():
            yield row(name + suffix, counted(own, score))
            yield row(f"{name}{suffix}_random", counted(random, _mean_over_gates(score)))
            yield row(f"{name}{suffix}_lead", counted(np.concatenate([own, random], 1), _lead(score)))


def _mean_over_gates(score: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda total: score(total.reshape(*total.shape[:-1], -1, 4)).mean(-1)


def _lead(score: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda total: score(total[..., :4]) - _mean_over_gates(score)(total[..., 4:])


def f1_lead_of(total: np.ndarray) -> np.ndarray:
    """F1 less that of random gates, of summed counts [..., 4 + 4 * gates], the switches' own first."""
    return _lead(f1_of)(total)


def _segments(episodes: Episodes) -> Iterator[tuple[Int[Tensor, " some"], Int[Tensor, " some"]]]:
    """(episodes, step) of the last step of the first, second... subgoal."""
    number = changes_of(episodes).cumsum(1)  # [batch time]
    for k in range(int(number[episodes.mask].max()) + 1):
        inside = (number == k) & episodes.mask
        rows = inside.any(1).nonzero()[:, 0]
        steps = torch.arange(inside.shape[1], device=inside.device)
        yield rows, (inside[rows] * steps).amax(1)


def _decoding(run: InternalRLRun, passes: _Passes) -> Iterator[Row]:
    """The subgoal, read linearly off the mean code that is held at the end of each true segment."""
    subgoals = subgoals_of(passes.episodes)
    for k, (rows, last) in enumerate(_segments(passes.episodes), 1):
        x, y = passes.mean.z[rows, last].cpu().numpy(), subgoals[rows, last].cpu().numpy()
        try:
            result = evaluate(
                make_probe("logistic"), x, y, np.arange(len(y)), folds=run.spec.folds, controls=("majority",),
                metrics=("accuracy",), resamples=500,
            )  # fmt: skip
        except DataError:  # too few episodes got that far, or all to one subgoal
            yield row(f"decode_segment_{k}", float("nan"))
            continue
        yield row(f"decode_segment_{k}", result.interval("accuracy"))
        yield row(f"decode_segment_{k}_lead", result.interval("accuracy", "majority", difference=True))


def first_codes(passes: _Passes, subgoals: int) -> Float[Tensor, "subgoals code"]:
    """The mean code of episodes' first steps, by first subgoal; zero for one that no episode begins with."""
    first, codes = subgoals_of(passes.episodes)[:, 0], passes.mean.first
    means = [
        codes[first == g].mean(0) if bool((first == g).any()) else torch.zeros_like(codes[0]) for g in range(subgoals)
    ]
    return torch.stack(means)


def _composition(run: InternalRLRun, passes: _Passes) -> Iterator[Row]:
    """Success when the mean first-segment code of each subgoal is held until the subgoal is reached; ``_scaled``: the
    code drawn out, as a policy may draw it to overrule what the base expects."""
    found, size = passes.found, run.world.subgoal
    first = first_codes(passes, run.world.subgoals)
    for scale, suffix in ((1.0, ""), (run.spec.compose_scale, "_scaled")):
        codes = scale * first

        def steering(state: PinpadState, codes: Tensor = codes) -> Sequence[HeldCode]:
            return [HeldCode(found.site, found.metacontroller, codes[state.target // size])]

        for task in ("pretraining", "held-out"):
            generator = run.generator("composed", task)
            success, _ = play_task(found.model, task_of(run, task), run.spec.episodes, generator, steering)
            yield row(f"compose_{task.replace('-', '_')}{suffix}", share_of(success))
