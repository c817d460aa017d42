"""Discovery, under every condition and seed, and the rate-distortion curves.

``frozen`` is the method; ``forced`` switches at every step; ``co-trained`` lets the base model learn as well;
``compile`` is CompILE with its fixed number of segments.  All see the same episodes for the same budget.  The points of
a rate-distortion curve go on from one start, the phase of the random gate, which does not depend on alpha.

What is found is kept in the run folder: the metacontroller, and the base model where that learned too.  CompILE finds a
segment model; its decoder and causal termination are a metacontroller to play with, and its recognition network is what
reads expert episodes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from workbench.families.internal_rl.alignment import alignment_rows, cost_rows
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.control.compile_segments import SegmentCourse, SegmentModel, discover_segments
from workbench.families.internal_rl.control.discovery import Course, co_train, discover
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.families.internal_rl.expert import expert_batches
from workbench.families.internal_rl.spec import InternalRLSpec
from workbench.models.fingerprint import stamp_of
from workbench.models.sequence_model import SequenceModel
from workbench.models.untrained import untrained
from workbench.sites import Site
from workbench.training.loop import Schedule


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
    stamp = {"site": str(found.site), **stamp_of(found.model)}
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


def found_by(run: InternalRLRun, condition: str, seed: int) -> Found:
    """What the finished step of a condition and seed found."""
    return load_found(run, f"discovery-{condition}-{seed}", condition, seed)


def discovery_rows(run: InternalRLRun, condition: str, seed: int) -> pd.DataFrame:
    """One discovery: rows ``condition, seed, alpha, measure``."""
    course = course_of(run.spec, forced=condition == "forced")
    found = _train(run, f"discovery-{condition}-{seed}", condition, seed, run.spec.tokens, course)
    rows, counts = alignment_rows(run, found)
    run.save_tensors(f"switches-{condition}-{seed}", {name: torch.from_numpy(n) for name, n in counts.items()})
    return _labelled(rows, condition, seed, run.spec.alpha)


def start_rows(run: InternalRLRun, condition: str, seed: int) -> pd.DataFrame:
    """The start that the points of one rate-distortion curve share: the random gate, at almost no KL."""
    tokens = max(1, round(run.spec.random_share * run.spec.tokens))
    course = replace(course_of(run.spec), random_share=1.0, peak_at=1.0)
    found = _train(run, f"start-{condition}-{seed}", condition, seed, tokens, course)
    return _labelled(cost_rows(run, found), condition, seed, run.spec.alpha_random)


def sweep_rows(run: InternalRLRun, condition: str, seed: int, alpha: float) -> pd.DataFrame:
    """One point of a rate-distortion curve, from its start on."""
    start = load_found(run, f"start-{condition}-{seed}", condition, seed)
    whole = course_of(run.spec, alpha)
    peak_at = (whole.peak_at - whole.random_share) / max(1e-9, 1 - whole.random_share)
    course = replace(whole, random_share=0.0, peak_at=peak_at)
    step = f"alpha-{condition}-{seed}-{alpha:g}"
    found = _train(run, step, condition, seed, run.spec.sweep_tokens, course, start)
    return _labelled(cost_rows(run, found), condition, seed, alpha)


def _labelled(rows: list[dict[str, Any]], condition: str, seed: int, alpha: float) -> pd.DataFrame:
    return pd.DataFrame([{"condition": condition, "seed": seed, "alpha": alpha} | row for row in rows])


def _train(
    run: InternalRLRun, step: str, condition: str, seed: int, tokens: int, course: Course, start: Found | None = None
) -> Found:
    """Train (or go on training) a metacontroller, new or from ``start``, under one of the conditions; and keep it."""
    spec = run.spec
    site = start.site if start else site_of(run)
    steers = start.steers if start else new_steering(run, condition, seed)
    steers.requires_grad_(True).train()
    schedule = Schedule(tokens, spec.lr, spec.weight_decay, warmup=0.01)
    # Equal seeds see equal episodes, whatever the condition.
    batches = expert_batches(run, "discovery" if start is None else "sweep", seed)
    model = start.model if start else _first_model(run, condition)
    # "unit" as checkpoints of earlier versions have it, so that they are gone on with.
    given: dict[str, Any] = {"folder": run.checkpoints(step), "seed": seed, "report": run.report(step), "unit": step}
    if isinstance(steers, SegmentModel):
        segments = SegmentCourse(spec.alpha, mirrored=spec.mirrored)
        discover_segments(model, site, steers, batches, schedule, segments, **given)
    elif condition == "co-trained":
        model = co_train(model, site, steers, batches, schedule, course, **given)
    else:
        discover(model, site, steers, batches, schedule, course, **given)
    found = Found(model, site, steers, condition == "forced").frozen()
    save_found(run, step, found)
    return found


def _first_model(run: InternalRLRun, condition: str) -> SequenceModel:
    """The base; or, for a co-training from scratch, the untrained model."""
    if condition != "co-trained" or run.spec.co_trained_from == "base":
        return run.base
    return untrained(run.base, run.seed("co-trained") % 2**32)
