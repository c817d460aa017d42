"""The steps of a concept-injection run, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from workbench.families.family import Step
from workbench.families.introspection.concept_injection.context import InjectionContext, save_vectors, words_of
from workbench.families.introspection.concept_injection.control import control_rows
from workbench.families.introspection.concept_injection.judge import JUDGED, check_judge, judge_rows
from workbench.families.introspection.concept_injection.prompts import need_chat
from workbench.families.introspection.concept_injection.protocols import arms_of, conditions, protocol_rows
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.concept_injection.vectors import concept_table, concept_vectors
from workbench.models.language_model import LanguageModel


def check(spec: InjectionSpec, model: LanguageModel | None) -> None:
    """A word list or judge that cannot be used, and a model without a chat template, are refused."""
    if model is not None:
        need_chat(model)
        return
    words_of(spec)
    if spec.judge:
        check_judge(spec.judge)


def steps(spec: InjectionSpec) -> Iterator[Step]:
    """Vectors first; then each protocol without injection and at every layer; then the judge, if there is one."""
    layers = spec.grid()
    yield Step("vectors", f"concept vectors of {spec.concepts} words at {len(layers)} layers", _vectors)
    places = (None, *layers)
    for protocol in spec.protocols:
        if protocol == "control":
            yield Step("control", "intentional control", control_rows)
            continue
        for layer in places:
            where = "without injection" if layer is None else f"injected at layer {layer}"
            work = partial(protocol_rows, protocol=protocol, layer=layer)
            what = f"{protocol.replace('_', '-')}, {where}"
            yield Step(_name(protocol, layer), what, work, _completions(spec, protocol, layer))
    if spec.judge:
        judged = {protocol for protocol, _ in JUDGED}
        for name in [_name(protocol, layer) for protocol in spec.protocols if protocol in judged for layer in places]:
            yield Step(f"judge-{name}", f"judge {name}", partial(_judge, name=name))


def _name(protocol: str, layer: int | None) -> str:
    return f"{protocol}-{'none' if layer is None else layer}"


def _completions(spec: InjectionSpec, protocol: str, layer: int | None) -> int:
    sampled = [arm for arm in arms_of(spec, protocol) if arm.read]
    return spec.concepts * spec.trials * sum(len(conditions(spec, protocol, arm, layer)) for arm in sampled)


def _vectors(context: InjectionContext) -> pd.DataFrame:
    words = context.words
    vectors = concept_vectors(context.model, list(words.concepts), words.baselines, context.layers, context.progress)
    save_vectors(context.folder, vectors)
    return concept_table(vectors)


def _judge(context: InjectionContext, name: str) -> pd.DataFrame:
    return judge_rows(context.judge, context.folder.read(name), context.progress)
