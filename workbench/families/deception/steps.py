"""The steps of a deception run: choices in every frame, the probe, doses of equal damage, choices when steered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from steering import Add, SteeringVector, mean_difference
from steering.conditions import Condition
from steering.divergence import damage
from steering.neutral import NEUTRAL_TEXTS
from steering.target_kl import calibrate_all
from workbench.families import Context, Step
from workbench.families.deception.choice import read_choices
from workbench.families.deception.detection import (
    INSTRUCTED,
    OWN_WORDS,
    PROBE,
    UNTRAINED,
    WORDS,
    out_of_fold,
    read_said,
    score_sets,
    word_features,
)
from workbench.families.deception.facts import Said, instructed, read_answers, read_facts, replies
from workbench.families.deception.scenarios import FRAMES, PLAIN, read_scenarios
from workbench.families.deception.spec import DeceptionSpec
from workbench.models.fingerprint import stamp_of
from workbench.models.untrained import untrained
from workbench.sites import Site

Run = Context[DeceptionSpec]
VECTORS = "vectors"
SIDES = {"up": 1, "down": -1}
SCENARIOS, ANSWERS = "scenarios", "answers"
_CHOICE, _SAID, _NEUTRAL = 240, 65, 25  # tokens, about: both orders of a choice; a thing said; a neutral text
_TEXTS = NEUTRAL_TEXTS[:8]  # on which doses are sought; damage is measured on all
_DOSES = 9  # that are tried of each vector


def steps(spec: DeceptionSpec) -> Iterator[Step]:
    """Four steps."""
    scenarios, facts = read_scenarios(spec.scenarios, spec.most), read_facts(spec.facts)
    n = len(scenarios)
    yield Step("choices", f"{n} scenarios in {len(FRAMES)} frames, and asked to be honest or to deceive", _choices,
               tokens=n * _CHOICE * (len(FRAMES) + 5))  # fmt: skip
    said = 2 * (len(facts.statements) + n) + (len(read_answers(spec.answers)) if spec.answers else 0)
    yield Step("probe", f"{len(facts.statements)} statements told under both instructions, {n} scenarios' replies",
               _probe, tokens=2 * said * _SAID)  # fmt: skip
    count = 2 + spec.random
    yield Step("strengths", f"doses of equal damage of {count} vectors", _strengths,
               tokens=count * _DOSES * len(_TEXTS) * _NEUTRAL)  # fmt: skip
    yield Step("steered", f"{n} scenarios under {count} vectors", _steered, tokens=2 * n * _CHOICE + count * n * 60)


def vector(run: Run) -> SteeringVector:
    """The direction from honest to deceptive instructions at the layer that is steered, of the length it was found
    with."""
    layer = run.spec.steer_layer()
    made = run.folder.load_tensors(VECTORS)[0]
    details = {"method": "mean difference", "facts": run.spec.facts}
    return SteeringVector(Site(layer), made[str(layer)], **stamp_of(run.model), name="deception", metadata=details)


def _choices(run: Run) -> pd.DataFrame:
    """Unsteered in every frame; in the plain frame with each instruction as a system prompt."""
    spec, facts = run.spec, read_facts(run.spec.facts)
    scenarios = read_scenarios(spec.scenarios, spec.most)
    asked = [
        _condition("prompt", front=getattr(facts, kind), side=side)
        for kind, side in (("deceptive", "up"), ("honest", "down"))
    ]
    plain = read_choices(run.model, scenarios, [_condition("unsteered")])
    prompted = read_choices(run.model, scenarios, asked, [PLAIN])
    return pd.concat([plain, prompted, _cost(run, asked)], ignore_index=True)


def _probe(run: Run) -> pd.DataFrame:
    """Scores of everything that is said by each reader and layer; keeps the vector."""
    spec, layers = run.spec, run.spec.read_layers()
    sets = said_sets(spec)
    read = {name: read_said(run.model, each, sorted({*layers, spec.steer_layer()}), run.progress)
            for name, each in sets.items()}  # fmt: skip
    own, layer = read[INSTRUCTED], spec.steer_layer()
    made = mean_difference(own[layer].float(), own.labels["deceptive"].to_numpy(), groups=own.groups)
    run.folder.save_tensors(VECTORS, {str(layer): made}, stamp_of(run.model))
    other = untrained(run.model, run.seed("untrained"))
    blank = {name: read_said(other, each, layers, run.progress) for name, each in sets.items()}
    words = word_features(sets)
    frames = [score_sets(words, sets, spec.seed).assign(reader=WORDS, layer=-1)]
    for name in sets:
        if name != INSTRUCTED:
            own_words = out_of_fold(words[name], sets[name], spec.seed)
            frames.append(own_words.assign(set=name, reader=OWN_WORDS, layer=-1))
    for each in layers:
        for reader, found in ((PROBE, read), (UNTRAINED, blank)):
            features = {name: one.numpy(each) for name, one in found.items()}
            frames.append(score_sets(features, sets, spec.seed).assign(reader=reader, layer=each))
    return pd.concat(frames, ignore_index=True)


def said_sets(spec: DeceptionSpec) -> dict[str, list[Said]]:
    """What the probe is trained on, and what it is tested on."""
    sets = {
        INSTRUCTED: instructed(read_facts(spec.facts)),
        SCENARIOS: replies(read_scenarios(spec.scenarios, spec.most)),
    }
    return sets | ({ANSWERS: read_answers(spec.answers)} if spec.answers else {})


def _drawn(run: Run, draw: int) -> SteeringVector:
    return vector(run).random_like(run.seed("random", draw))


def _strengths(run: Run) -> pd.DataFrame:
    """The dose of each vector that does a damage of ``target_kl``: the vector's both ways, the random ones'."""
    spec = run.spec
    named: list[dict[str, Any]] = [{"method": "vector", "side": side, "draw": 0} for side in SIDES]
    named += [{"method": "random", "side": "up", "draw": draw} for draw in range(spec.random)]
    vectors = [vector(run)] * len(SIDES) + [_drawn(run, draw) for draw in range(spec.random)]
    signs = [SIDES[each["side"]] for each in named]
    found = calibrate_all(vectors, run.model, spec.target_kl, sign=signs, texts=_TEXTS, rounds=2)
    return pd.DataFrame([each | {"dose": one.dose, "kl": one.kl} for each, one in zip(named, found, strict=True)])


def _steered(run: Run) -> pd.DataFrame:
    scenarios = read_scenarios(run.spec.scenarios, run.spec.most)
    conditions = []
    for row in run.gather("strengths").to_dict("records"):
        pushed = vector(run) if row["method"] == "vector" else _drawn(run, row["draw"])
        columns = {name: row[name] for name in ("side", "draw", "dose")}
        conditions.append(_condition(row["method"], Add(pushed, dose=row["dose"]), **columns))
    found = read_choices(run.model, scenarios, conditions, [PLAIN])
    return pd.concat([found, _cost(run, conditions)], ignore_index=True)


def _condition(method: str, *interventions: Any, front: str = "", **columns: Any) -> Condition:
    return Condition(method, interventions, front, {"side": "", "draw": 0, "dose": 0.0} | columns)


def _cost(run: Run, conditions: Sequence[Condition]) -> pd.DataFrame:
    """Damage as rows whose ``frame`` is ``kl`` or ``nll`` and whose ``scenario`` is a neutral text's number."""
    found = damage(run.model, conditions)
    names = [name for name in found if name not in ("kl", "nll", "item")]
    long = found.melt(id_vars=[*names, "item"], value_vars=["kl", "nll"], var_name="frame")
    return long.rename(columns={"item": "scenario"}).astype({"scenario": str})
