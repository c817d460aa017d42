"""The units of a concept-injection run, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workbench.families.introspection.concept_injection.control import control_rows
from workbench.families.introspection.concept_injection.job import Job, Work, save_vectors
from workbench.families.introspection.concept_injection.judge import JUDGED, judge_rows
from workbench.families.introspection.concept_injection.protocols import arms_of, conditions, protocol_rows
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.concept_injection.vectors import concept_table, concept_vectors
from workbench.families.units import Unit
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["units_of"]


def units_of(spec: InjectionSpec, layers: tuple[int, ...]) -> Iterator[Unit[Job]]:
    """Vectors first; then each protocol without injection and at every layer; then the judge, if there is one."""
    yield Unit("vectors", f"concept vectors of {spec.concepts} words at {len(layers)} layers", 0, _vectors)
    places = (None, *layers)
    for protocol in spec.protocols:
        if protocol == "control":
            yield Unit("control", "intentional control", 0, control_rows)
            continue
        for layer in places:
            where = "without injection" if layer is None else f"injected at layer {layer}"
            yield Unit(
                _name(protocol, layer), f"{protocol.replace('_', '-')}, {where}",
                _completions(spec, protocol, layer), _protocol(protocol, layer),
            )  # fmt: skip
    if spec.judge:
        for protocol in spec.protocols:
            for layer in places if any(protocol == judged for judged, _ in JUDGED) else ():
                name = _name(protocol, layer)
                yield Unit(f"judge-{name}", f"judge {name}", 0, _judge(name))


def _name(protocol: str, layer: int | None) -> str:
    return f"{protocol}-{'none' if layer is None else layer}"


def _completions(spec: InjectionSpec, protocol: str, layer: int | None) -> int:
    sampled = [arm for arm in arms_of(spec, protocol) if arm.read]
    return spec.concepts * spec.trials * sum(len(conditions(spec, protocol, arm, layer)) for arm in sampled)


def _vectors(job: Job) -> pd.DataFrame:
    vectors = concept_vectors(job.model, list(job.words.concepts), job.words.baselines, job.layers, job.progress)
    save_vectors(job.folder, vectors)
    return concept_table(vectors)


def _protocol(protocol: str, layer: int | None) -> Work:
    return lambda job: protocol_rows(job, protocol, layer)


def _judge(name: str) -> Work:
    def work(job: Job) -> pd.DataFrame:
        if job.judge is None:
            spec = job.spec
            found = load_model(str(spec.judge), device=spec.device, device_map=spec.device_map, dtype=spec.dtype)
            job.judge = LanguageModel.of(found)
        return judge_rows(job.judge, job.folder.read(name), job.progress)

    return work
