"""What a discovery found, kept in the run folder: the metacontroller, and the base model where that learned too.

CompILE finds a segment model; its decoder and causal termination are a metacontroller to play with, and its recognition
network is what reads expert episodes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.control.compile_segments import SegmentModel
from workbench.families.internal_rl.control.discovery import Course
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.families.internal_rl.spec import InternalRLSpec
from workbench.models.sequence_model import SequenceModel
from workbench.sites import Site

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Found:
    """A base model and what steers it at ``site``; ``always``: it switches at every step."""

    model: SequenceModel
    site: Site
    steers: Metacontroller | SegmentModel
    always: bool = False

    @property
    def metacontroller(self) -> Metacontroller:
        """What plays."""
        return self.steers.controller if isinstance(self.steers, SegmentModel) else self.steers

    def frozen(self) -> Found:
        """The same, to be measured and played with."""
        self.steers.requires_grad_(False).eval()
        self.model.backend.hf_model.requires_grad_(False).eval()
        return self


def site_of(run: InternalRLRun) -> Site:
    """Where the metacontroller acts: at the spec's layer, or where supervised ones do best on the held-out task."""
    if run.spec.layer is not None:
        return Site(run.spec.layer).resolve(run.base.n_layers)
    rows = run.gather("controllers").query("control == 'supervised' and task == 'held-out' and measure == 'success'")
    best = rows.sort_values(["estimate", "layer"], ascending=[False, True]).iloc[0]
    return Site.parse(str(best["site"]))


def course_of(spec: InternalRLSpec, alpha: float | None = None, forced: bool = False) -> Course:
    """How gate and alpha go along training; another final ``alpha`` moves the peak in proportion."""
    peak = spec.alpha_peak if alpha is None or not spec.alpha else spec.alpha_peak * alpha / spec.alpha
    return Course(
        alpha=spec.alpha if alpha is None else alpha, random_share=spec.random_share, random_rate=spec.random_rate,
        alpha_random=spec.alpha_random, alpha_start=spec.alpha_start,
        alpha_peak=peak, peak_at=spec.peak_at, gate=spec.gate, forced=forced,
        mirrored=spec.mirrored,
    )  # fmt: skip


def new_steering(run: InternalRLRun, condition: str, seed: int) -> Metacontroller | SegmentModel:
    """What a condition trains, untrained; the conditions of a seed share their start, but for CompILE."""
    spec = run.spec
    shape = MetacontrollerShape(
        d_model=run.base.d_model, history=spec.memory, summary=spec.memory, encoder=spec.hidden, code=spec.code,
        hyper=spec.hyper, rank=spec.rank, switch=spec.hidden, log_sigma=spec.log_sigma,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed("metacontroller", seed) % 2**63)
        new = SegmentModel(shape, spec.segments) if condition == "compile" else Metacontroller(shape)
    return new.to(run.base.device)


def save_found(run: InternalRLRun, step: str, found: Found) -> None:
    """Keep what a discovery found under the step's name."""
    tensors = {f"steers.{k}": v for k, v in found.steers.state_dict().items()}
    if found.model is not run.base:
        tensors |= {f"model.{k}": v for k, v in found.model.backend.hf_model.state_dict().items()}
    stamp = {"site": str(found.site), "fingerprint": found.model.fingerprint}
    run.save_tensors(step, tensors, stamp)


def load_found(run: InternalRLRun, step: str, condition: str, seed: int) -> Found:
    """What a finished step found, the base model in a copy where it learned."""
    tensors, steers = run.load_tensors(step), new_steering(run, condition, seed)
    steers.load_state_dict(_part(tensors, "steers."))
    model, own = run.base, _part(tensors, "model.")
    if own:
        hf_model = copy.deepcopy(run.base.backend.hf_model)
        hf_model.load_state_dict(own)
        model = SequenceModel(hf_model, step)
    return Found(model, site_of(run), steers, condition == "forced").frozen()


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
