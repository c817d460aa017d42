"""Discovery, under every condition and seed, and the rate-distortion curves.

``frozen`` is the method; ``forced`` switches at every step; ``co-trained`` lets the base model learn as well;
``compile`` is CompILE with its fixed number of segments.  All see the same episodes for the same budget.  The points of
a rate-distortion curve go on from one start, the phase of the random gate, which does not depend on alpha.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from workbench.families.internal_rl.alignment import alignment_rows, cost_rows
from workbench.families.internal_rl.control.compile_segments import SegmentCourse, SegmentModel, discover_segments
from workbench.families.internal_rl.control.cotraining import co_train
from workbench.families.internal_rl.control.discovery import Course, discover
from workbench.families.internal_rl.expert import expert_batches
from workbench.families.internal_rl.found import (
    Found,
    course_of,
    load_found,
    new_steering,
    save_found,
    site_of,
)
from workbench.families.internal_rl.job import Job
from workbench.models.sequence_model import SequenceModel
from workbench.models.untrained import untrained
from workbench.training.loop import Schedule

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["discovery_unit", "found_by", "start_unit", "sweep_unit"]

Work = Callable[[Job], "pd.DataFrame"]


def found_by(job: Job, condition: str, seed: int) -> Found:
    """What the finished unit of a condition and seed found."""
    return load_found(job, f"discovery-{condition}-{seed}", condition, seed)


def discovery_unit(condition: str, seed: int) -> Work:
    """One discovery: rows ``condition, seed, alpha, measure``."""

    def work(job: Job) -> pd.DataFrame:
        unit = f"discovery-{condition}-{seed}"
        found = _train(job, unit, condition, seed, job.spec.tokens, course_of(job.spec, forced=condition == "forced"))
        save_found(job, unit, found)
        rows, counts = alignment_rows(job, found)
        job.save_tensors(f"switches-{condition}-{seed}", {name: torch.from_numpy(n) for name, n in counts.items()})
        return _labelled(rows, condition, seed, job.spec.alpha)

    return work


def start_unit(condition: str, seed: int) -> Work:
    """The start that the points of one rate-distortion curve share: the random gate, at almost no KL."""

    def work(job: Job) -> pd.DataFrame:
        spec, unit = job.spec, f"start-{condition}-{seed}"
        tokens = max(1, round(spec.random_share * spec.tokens))
        found = _train(job, unit, condition, seed, tokens, replace(course_of(spec), random_share=1.0, peak_at=1.0))
        save_found(job, unit, found)
        return _labelled(cost_rows(job, found), condition, seed, spec.alpha_random)

    return work


def sweep_unit(condition: str, seed: int, alpha: float) -> Work:
    """One point of a rate-distortion curve, from its start on."""

    def work(job: Job) -> pd.DataFrame:
        spec, unit = job.spec, f"alpha-{condition}-{seed}-{alpha:g}"
        start = load_found(job, f"start-{condition}-{seed}", condition, seed)
        whole = course_of(spec, alpha)
        peak_at = (whole.peak_at - whole.random_share) / max(1e-9, 1 - whole.random_share)
        course = replace(whole, random_share=0.0, peak_at=peak_at)
        found = _train(job, unit, condition, seed, spec.sweep_tokens, course, start)
        save_found(job, unit, found)
        return _labelled(cost_rows(job, found), condition, seed, alpha)

    return work


def _labelled(rows: list[dict[str, Any]], condition: str, seed: int, alpha: float) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([{"condition": condition, "seed": seed, "alpha": alpha} | row for row in rows])


def _train(
    job: Job, unit: str, condition: str, seed: int, tokens: int, course: Course, start: Found | None = None
) -> Found:
    """Train (or go on training) a metacontroller, new or from ``start``, under one of the conditions."""
    spec = job.spec
    site = start.site if start else site_of(job)
    steers = start.steers if start else new_steering(job, condition, seed)
    steers.requires_grad_(True).train()
    schedule = Schedule(tokens, spec.lr, spec.weight_decay, warmup=0.01)
    # Equal seeds see equal episodes, whatever the condition.
    batches = expert_batches(job, "discovery" if start is None else "sweep", seed)
    where, report = job.checkpoints(unit), job.report(unit)
    model = start.model if start else _first_model(job, condition)
    if isinstance(steers, SegmentModel):
        segments = SegmentCourse(spec.alpha, mirrored=spec.mirrored)
        discover_segments(model, site, steers, batches, schedule, segments, where, seed, report, unit=unit)
    elif condition == "co-trained":
        model = co_train(model, site, steers, batches, schedule, course, where, seed, report, unit=unit)
    else:
        discover(model, site, steers, batches, schedule, course, where, seed, report, unit=unit)
    return Found(model, site, steers, condition == "forced").frozen()


def _first_model(job: Job, condition: str) -> SequenceModel:
    """The base; or, for a co-training from scratch, the untrained model."""
    if condition != "co-trained" or job.spec.co_trained_from == "base":
        return job.model
    return untrained(job.model, job.seed("co-trained") % 2**32)
