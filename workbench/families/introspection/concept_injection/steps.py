"""The steps of a concept-injection run, in their order, and what they share: the words, and the concepts' vectors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial

import pandas as pd
import torch

from steering.calibration import multiplier_for, norm_at
from steering.vectors import SteeringVector
from workbench.families.context import Context
from workbench.families.family import Step
from workbench.families.introspection.concept_injection.coherence import OWN, Floors, floors, own_replies
from workbench.families.introspection.concept_injection.judge import JUDGED, check_chat, judge_rows
from workbench.families.introspection.concept_injection.prompts import Conversation, Placed, place
from workbench.families.introspection.concept_injection.protocols import (
    arms_of,
    conditions,
    control_rows,
    protocol_rows,
)
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.concept_injection.summary import gather
from workbench.families.introspection.concept_injection.vectors import concept_table, concept_vectors, control_vector
from workbench.families.introspection.concept_injection.words import Words, load_words
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model
from workbench.runs import RunFolder
from workbench.sites import Site


def check(spec: InjectionSpec, model: LanguageModel | None) -> None:
    """A word list or judge that cannot be used, and a model without a chat template, are refused."""
    if model is not None:  # it was asked before it was loaded
        return
    words_of(spec)
    check_chat(spec.model, "concept injection asks questions")
    if spec.judge:
        check_chat(spec.judge, "a judge is asked questions")


def steps(spec: InjectionSpec) -> Iterator[Step]:
    """Vectors first; then each protocol without injection and at every layer; then the judge, if there is one."""
    layers = spec.grid()
    what = f"concept vectors of {spec.concepts} words at {len(layers)} layers"
    yield Step("vectors", what, _vectors, tokens=_ABOUT * (spec.concepts + spec.baselines))
    sampled = [arm for protocol in spec.protocols for arm in arms_of(spec, protocol) if arm.read]
    if sampled:
        drawn = spec.reference * len(sampled)
        yield Step(OWN, "how likely the model's own replies are", own_replies, drawn, tokens=drawn * _read(spec))
    places = (None, *layers)
    for protocol in _protocols(spec):
        if protocol == "control":
            yield Step("control", "intentional control", control_rows)
            continue
        for layer in places:
            where = "without injection" if layer is None else f"injected at layer {layer}"
            work = partial(protocol_rows, protocol=protocol, layer=layer)
            what = f"{protocol.replace('_', '-')}, {where}"
            completions, tokens = _size(spec, protocol, layer)
            yield Step(_name(protocol, layer), what, work, completions, tokens=tokens)
    if spec.judge:
        judged = {protocol for protocol, _ in JUDGED}
        for name in [_name(protocol, layer) for protocol in _protocols(spec) if protocol in judged for layer in places]:
            yield Step(f"judge-{name}", f"judge {name}", partial(_judge, name=name))


def _protocols(spec: InjectionSpec) -> list[str]:
    """Those that are run: an exact run leaves out what only a sampled reply can say."""
    return [protocol for protocol in spec.protocols if protocol == "control" or arms_of(spec, protocol)]


def _name(protocol: str, layer: int | None) -> str:
    return f"{protocol}-{'none' if layer is None else layer}"


def _size(spec: InjectionSpec, protocol: str, layer: int | None) -> tuple[int, int]:
    """Completions drawn and tokens read."""
    cases = [(arm, spec.concepts * len(conditions(spec, protocol, arm, layer))) for arm in arms_of(spec, protocol)]
    return sum(n * spec.trials for arm, n in cases if arm.read), sum(n for _, n in cases) * _read(spec)


def _read(spec: InjectionSpec) -> int:
    """Tokens that a trial reads, its reply once more without injection."""
    return _TRIAL + spec.max_new_tokens


def _vectors(context: InjectionContext) -> pd.DataFrame:
    words = context.words
    vectors = concept_vectors(context.model, list(words.concepts), words.baselines, context.layers, context.progress)
    save_vectors(context.folder, vectors)
    return concept_table(vectors)


def _judge(context: InjectionContext, name: str) -> pd.DataFrame:
    return judge_rows(context.judge, context.folder.read(name), context.progress)


VECTORS = "concepts"
_ABOUT, _TRIAL = 40, 100  # tokens read of a word's prompt, of a trial's own text and answers, about


class InjectionContext(Context[InjectionSpec]):
    """One run at work."""

    @cached_property
    def words(self) -> Words:
        """The concepts and baseline words of the run."""
        return words_of(self.spec)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers of the grid."""
        return self.spec.grid()

    @cached_property  # loaded by the first step that needs it
    def judge(self) -> LanguageModel:
        """The model that grades replies."""
        spec = self.spec
        found = load_model(str(spec.judge), device=spec.device, device_map=spec.device_map, dtype=spec.dtype)
        self.folder.uses(found, "judge")
        return LanguageModel.of(found)

    @cached_property  # asked for when the vectors are there, and not before
    def vectors(self) -> dict[int, dict[str, SteeringVector]]:
        """``{layer: {word: vector}}``."""
        return saved_vectors(self.folder)

    @cached_property  # asked for when all steps are done, and not before
    def rows(self) -> pd.DataFrame:
        """The rows of all protocols."""
        return gather(self.folder)

    @cached_property
    def _placed(self) -> dict[Conversation, Placed]:
        return {}

    @cached_property  # asked for when the model's own replies are there
    def coherence(self) -> Floors:
        """From which log-probability a token on a reply is coherent, by protocol and arm."""
        return floors(self.folder.read(OWN)) if OWN in self.folder.steps() else {}

    def multiplier(self, vector: SteeringVector, strength: float) -> float:
        """How many times a vector is added, for a strength of the spec."""
        if self.spec.scale == "multiplier":
            return strength
        return multiplier_for(strength, vector, norm_at(vector, vector.site, self.model))

    def vector(self, word: str, layer: int, kind: str) -> SteeringVector:
        """The concept's vector at a layer, or its ``random`` or ``shuffled`` control."""
        own = self.vectors[layer][word]
        return own if kind == "concept" else control_vector(own, kind, self.seed(kind, word, layer))

    def place(self, conversation: Conversation) -> Placed:
        """Tokens and injected positions of a conversation."""
        if conversation not in self._placed:
            self._placed[conversation] = place(self.model, conversation, self.spec.scope)
        return self._placed[conversation]

    def seed(self, *parts: int | str) -> int:
        """A seed that depends on the run's and on ``parts``."""
        return super().seed("concept injection", *parts)


def words_of(spec: InjectionSpec) -> Words:
    """The words of a run; :class:`DataError` for a list that is too short or cannot be read."""
    return load_words(spec.words).first(spec.concepts, spec.baselines)


def save_vectors(folder: RunFolder, vectors: dict[int, dict[str, SteeringVector]]) -> None:
    """Keep the concept vectors as the artifact ``concepts``: a tensor [concepts, d] a layer."""
    some = next(iter(next(iter(vectors.values())).values()))
    residual = {str(layer): next(iter(each.values())).residual_norm for layer, each in vectors.items()}
    stamp: dict[str, object] = {"fingerprint": some.fingerprint, "basis": some.basis, "precision": some.precision}
    stamp["component"] = some.site.component
    stamp |= {"words": list(next(iter(vectors.values()))), "residual_norms": residual, "details": some.metadata}
    tensors = {str(layer): torch.stack([v.vector for v in each.values()]) for layer, each in vectors.items()}
    folder.save_tensors(VECTORS, tensors, stamp)


def saved_vectors(folder: RunFolder) -> dict[int, dict[str, SteeringVector]]:
    """The concept vectors of a run as :class:`SteeringVector`, ``{layer: {word: vector}}``."""
    tensors, stamp = folder.load_tensors(VECTORS)
    made_on = (stamp["fingerprint"], stamp["basis"])
    found: dict[int, dict[str, SteeringVector]] = {}
    for layer in sorted(map(int, tensors)):
        norm = stamp["residual_norms"][str(layer)]
        found[layer] = {
            word: SteeringVector(Site(layer), row, *made_on, word, stamp["details"], stamp.get("precision"), norm)
            for word, row in zip(stamp["words"], tensors[str(layer)], strict=True)
        }
    return found
