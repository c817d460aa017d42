"""What a steering run works on, from its spec: a concept's pairs and prompts, or a user's pairs; vectors that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from steering.formats import import_vectors
from steering.neutral import NEUTRAL_TEXTS
from steering.vectors import SteeringVector
from workbench.errors import SpecError
from workbench.families.steer.concept import known_concepts, read_concept
from workbench.families.steer.instruments import Answers, Instrument, Replies, Words, passing, probed
from workbench.families.steer.measures import CHOOSE, TEST
from workbench.families.steer.pairs import Pair, pair, read_pairs, split
from workbench.families.steer.rules import read_rule
from workbench.families.steer.spec import SteerSpec

if TYPE_CHECKING:
    from workbench.models.language_model import Prompt

_EXAMPLES = 3


@dataclass(frozen=True)
class Material:
    """``make``: the pairs that a vector is made of.  ``fronts``: what a user would write in place of a vector, by side.
    ``panel``: instruments of other concepts, which steering should leave alone."""

    title: str
    make: Sequence[Pair]
    instrument: Instrument
    fronts: dict[str, str]
    neutral: Sequence[str] = NEUTRAL_TEXTS
    transfer: Instrument | None = None
    panel: dict[str, Instrument] | None = None
    n_replies: int = 3

    @cached_property
    def shown(self) -> tuple[list[Prompt], list[str]]:
        """Prompts whose replies are kept, with their sets: equally many to choose on and to test on."""
        both = list(zip(self.instrument.prompts, self.instrument.sets, strict=True))
        found = [[one for one in both if one[1] == name][: self.n_replies] for name in (CHOOSE, TEST)]
        rows = [one for part in found for one in part]
        return [prompt for prompt, _ in rows], [name for _, name in rows]


def material(spec: SteerSpec) -> Material:
    """Raises a :class:`WorkbenchError` for files that cannot be read."""
    fronts = {side: text for side, text in (("up", spec.prompt), ("down", spec.prompt_down)) if text}
    return _of_pairs(spec, fronts) if spec.pairs else _of_concept(spec, fronts)


def _of_concept(spec: SteerSpec, fronts: dict[str, str]) -> Material:
    concept = read_concept(spec.concept)
    prompts = [*concept.prompts.choose, *concept.prompts.test]
    sets = [CHOOSE] * len(concept.prompts.choose) + [TEST] * len(concept.prompts.test)
    words = Words(prompts, sets, *_spaced(concept.words))
    elsewhere = None
    if concept.transfer is not None:
        there = concept.transfer
        elsewhere = Words(there.prompts, [TEST] * len(there.prompts), *_spaced(there.words))
    return Material(
        title=concept.title,
        make=[pair(up, down) for up, down in concept.pairs],
        instrument=_instrument(spec, words),
        fronts={"up": concept.prompt.up, "down": concept.prompt.down} | fronts,
        neutral=concept.neutral,
        transfer=elsewhere,
        panel=_panel(spec, concept.title),
        n_replies=spec.replies,
    )


def _of_pairs(spec: SteerSpec, fronts: dict[str, str]) -> Material:
    assert spec.pairs
    parts = split(read_pairs(spec.pairs), spec.seed)
    held = [*parts.choose, *parts.test]
    answers = Answers(held, [CHOOSE] * len(parts.choose) + [TEST] * len(parts.test))
    few = parts.make[:_EXAMPLES]
    examples = {side: " ".join(_plain(one, side) for one in few) for side in ("up", "down")}
    elsewhere = None
    if spec.transfer:
        others = read_pairs(spec.transfer)
        elsewhere = Answers(others, [TEST] * len(others))
    return Material(
        title=spec.title, make=parts.make, instrument=_instrument(spec, answers), fronts=examples | fronts,
        transfer=elsewhere, panel=_panel(spec), n_replies=spec.replies,
    )  # fmt: skip


def _plain(one: Pair, side: str) -> str:
    """The text of one side with its prompt, as an example in front of others."""
    text = getattr(one, side)
    asked = one.prompt if isinstance(one.prompt, str) else f"{one.prompt[-1]['content']} "  # type: ignore[index]
    return f"{asked}{text}".strip()


def _instrument(spec: SteerSpec, own: Instrument) -> Instrument:
    """The spec's rule or probe on replies, else the material's own."""
    if spec.rule:
        unit = f"share of replies that pass {spec.rule}"
        return Replies(own.prompts, own.sets, passing(read_rule(spec.rule)), unit, spec.n, spec.max_new_tokens)
    if spec.probe:
        from probes.saving import load_probe

        probe = load_probe(spec.probe)
        site = getattr(probe, "site_", None)
        if site is None:
            raise SpecError(f"probe {spec.probe}: it does not say at which site it reads")
        return Replies(own.prompts, own.sets, probed(probe, site), "probe score", spec.n, spec.max_new_tokens)
    return own


def _panel(spec: SteerSpec, own: str = "") -> dict[str, Instrument]:
    names = [name for name in known_concepts() if name != own] if spec.panel is None else spec.panel
    found: dict[str, Instrument] = {}
    for name in names:
        concept = read_concept(name)
        prompts = concept.prompts.test
        found[name] = Words(prompts, [TEST] * len(prompts), *_spaced(concept.words))
    return found


def _spaced(words: object) -> tuple[list[str], list[str]]:
    return tuple([f" {word}" for word in getattr(words, side)] for side in ("up", "down"))  # type: ignore[return-value]


def given_vectors(spec: SteerSpec, model: Any = None) -> dict[int, SteeringVector]:
    """The vectors of the spec's file by layer, in any layout of :mod:`steering.formats`; those of ``layers``.

    Raises:
        SpecError: where the file has none of these layers, or vectors of another component.
    """
    assert spec.vector
    read = import_vectors(spec.vector, model=model)
    if others := sorted({vector.site.component for vector in read} - {"resid_post"}):
        raise SpecError(f"vector {spec.vector} is of {', '.join(others)}: a steering run takes those of resid_post")
    found = {vector.site.layer % spec.n_layers(): vector for vector in read}
    wanted = spec.known_layers(spec.layers)
    kept = {layer: vector for layer, vector in sorted(found.items()) if layer in wanted}
    if not kept:
        raise SpecError(f"vector {spec.vector} is of layers {sorted(found)}, of which layers {list(wanted)} names none")
    return kept
