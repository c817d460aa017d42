"""Discovery, under every condition and seed, and the rate-distortion curves.

``frozen`` is the method; ``forced`` switches at every step; ``co-trained`` lets the base model learn as well;
``compile`` is CompILE with its fixed number of segments.  All see the same episodes for the same budget.  The points of
a rate-distortion curve go on from one start, the phase of the random gate, which does not depend on alpha.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from workbench.families.internal_rl.alignment import alignment_rows, cost_rows
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.control.compile_segments import SegmentCourse, SegmentModel, discover_segments
from workbench.families.internal_rl.control.discovery import Course, co_train, discover
from workbench.families.internal_rl.expert import expert_batches
from workbench.families.internal_rl.found import Found, course_of, load_found, new_steering, save_found, site_of
from workbench.models.sequence_model import SequenceModel
from workbench.models.untrained import untrained
from workbench.training.loop import Schedule


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
