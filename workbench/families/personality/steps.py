"""The steps of a personality run: vectors, the model as it is, portraits, then every layer at equal damage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd
from torch import Tensor

from steering import Add, SteeringVector
from steering.conditions import Condition
from steering.divergence import damage
from steering.neutral import NEUTRAL_TEXTS
from steering.target_kl import calibrate_all
from workbench.families import Context, Step
from workbench.families.personality.activity import Axis, read_activity, read_pairs, sides_of
from workbench.families.personality.instrument import LETTERS, TEXTS, read_items
from workbench.families.personality.inventory import Item, read_inventory, traits_of
from workbench.families.personality.spec import PersonalitySpec
from workbench.families.personality.traits import SIDES, read_traits
from workbench.models.fingerprint import stamp_of
from workbench.sites import Site

Run = Context[PersonalitySpec]
VECTORS, AXES = "vectors", "axes"
_ITEM, _PAIR, _NEUTRAL = 200, 40, 25  # tokens, about: both orders of an item with their answers; one answer of a pair
_PORTRAIT = 80
_TEXTS = NEUTRAL_TEXTS[:8]  # on which doses are sought; damage is measured on all
_DOSES = 9  # that are tried of each vector


def steps(spec: PersonalitySpec) -> Iterator[Step]:
    """Two steps of preparation, the portraits, and three a layer."""
    items, made = read_inventory(spec.inventory, spec.items), read_traits(spec.traits)
    n, traits, each = len(items), len(shared_traits(spec)), len(items) * _ITEM
    pairs = sum(len(made.traits[trait].pairs) for trait in shared_traits(spec))
    yield Step(VECTORS, f"make vectors of {traits} traits from {pairs} pairs", _vectors, tokens=2 * pairs * _PAIR)
    yield Step("unsteered", f"{n} items by texts and by letters", _unsteered, tokens=2 * each)
    portraits = 2 * traits * (each + 2 * n * _PORTRAIT)
    yield Step("portraits", f"{n} items under {2 * traits} portraits", _portraits, tokens=portraits)
    for layer in spec.known_layers(spec.layers):
        tried = (4 * traits + 2 * spec.random) * _DOSES * len(_TEXTS) * _NEUTRAL
        yield Step(f"strengths-{layer}", f"doses of equal damage at layer {layer}", partial(_strengths, layer),
                   tokens=tried)  # fmt: skip
        for name, count in (("vector", 4 * traits), ("random", 2 * spec.random)):
            what = f"{n} items, {count} times steered at layer {layer}"
            # prompts are shared by the conditions; what is read anew are the answers
            yield Step(f"{name}-{layer}", what, partial(_steered, layer, name), tokens=count * each // 4)


def shared_traits(spec: PersonalitySpec) -> tuple[str, ...]:
    """Traits that are pushed: the inventory asks about them and pairs are known, in the inventory's order."""
    made = [trait for trait in read_traits(spec.traits).traits if trait in (spec.of or (trait,))]
    return tuple(trait for trait in traits_of(read_inventory(spec.inventory, spec.items)) if trait in made)


def vector(run: Run, layer: int, trait: str) -> SteeringVector:
    """A trait's vector at a layer, of the length that it was found with."""
    made = run.folder.load_tensors(VECTORS)[0]
    details = {"method": "mean difference", "traits": run.spec.traits}
    return SteeringVector(Site(layer), made[f"{trait}-{layer}"], **stamp_of(run.model), name=trait, metadata=details)


def items_of(run: Run) -> tuple[Item, ...]:
    """The items of the run's inventory."""
    return read_inventory(run.spec.inventory, run.spec.items)


def _vectors(run: Run) -> pd.DataFrame:
    """Vectors at every layer from the even pairs, axes at the layer that is read from the odd ones; rows: where the odd
    pairs lie on the vector of each layer."""
    spec, traits = run.spec, read_traits(run.spec.traits)
    layers, last = spec.known_layers(spec.layers), spec.read_layer()
    read = read_pairs(run.model, traits, sorted({*layers, last}), run.progress)
    made: dict[str, Tensor] = {}
    axes: dict[str, Tensor] = {}
    rows: list[dict[str, Any]] = []
    for trait in shared_traits(spec):
        up, down = sides_of(read, last, trait, 1)
        axis = Axis.between(up, down)
        axes |= {f"{trait}-direction": axis.direction, f"{trait}-middle": axis.middle}
        for layer in layers:
            up, down = sides_of(read, layer, trait, 0)
            made[f"{trait}-{layer}"] = (up - down).mean(0)
            for side, held_out in zip(SIDES, sides_of(read, layer, trait, 1), strict=True):
                along = (held_out @ made[f"{trait}-{layer}"]).tolist()
                rows += [{"trait": trait, "layer": layer, "side": side, "pair": n, "projection": x}
                         for n, x in enumerate(along)]  # fmt: skip
    run.folder.save_tensors(VECTORS, made, stamp_of(run.model))
    run.folder.save_tensors(AXES, {name: one.contiguous() for name, one in axes.items()}, stamp_of(run.model))
    return pd.DataFrame(rows)


def _unsteered(run: Run) -> pd.DataFrame:
    plain = [_condition("unsteered")]
    other = LETTERS if run.spec.readout == TEXTS else TEXTS
    return pd.concat([_measured(run, plain), read_items(run.model, items_of(run), plain, other)], ignore_index=True)


def _portraits(run: Run) -> pd.DataFrame:
    made = read_traits(run.spec.traits).traits
    conditions = [
        _condition("portrait", front=getattr(made[trait].portrait, side), of=trait, side=side)
        for trait in shared_traits(run.spec)
        for side in SIDES
    ]
    return _measured(run, conditions)


def _strengths(layer: int, run: Run) -> pd.DataFrame:
    """The dose of every vector that does a damage of ``target_kl``, of the traits' also one that does a portrait's."""
    spec, traits = run.spec, shared_traits(run.spec)
    own = {trait: vector(run, layer, trait) for trait in traits}
    some = next(iter(own.values()))
    drawn = [some.random_like(run.seed("random", draw)) for draw in range(spec.random)]
    kls = run.gather("portraits").query("readout == 'kl'").groupby(["of", "side"])["value"].mean()
    asked: list[tuple[SteeringVector, dict[str, Any]]] = []
    for side in SIDES:
        for trait in traits:
            portrait = max(float(kls[trait, side]), 1e-3)
            for method, target in (("vector", spec.target_kl), ("equal", portrait)):
                named = {"method": method, "of": trait, "draw": 0, "side": side, "target": target}
                asked.append((own[trait], named))
        for draw, each in enumerate(drawn):
            named = {"method": "random", "of": "", "draw": draw, "side": side, "target": spec.target_kl}
            asked.append((each, named))
    targets, signs = [each["target"] for _, each in asked], [SIDES[each["side"]] for _, each in asked]
    vectors = [each for each, _ in asked]
    found = calibrate_all(vectors, run.model, targets, sign=signs, texts=_TEXTS, rounds=2)
    rows = [named | {"dose": one.dose, "kl": one.kl} for (_, named), one in zip(asked, found, strict=True)]
    return pd.DataFrame(rows).assign(layer=layer)


def _steered(layer: int, name: str, run: Run) -> pd.DataFrame:
    """The inventory under the traits' vectors (at the target and at their portraits' damage) or random ones."""
    strengths = run.gather(f"strengths-{layer}")
    chosen = strengths[(strengths["method"] == "random") == (name == "random")]
    conditions = []
    for row in chosen.to_dict("records"):
        some = vector(run, layer, row["of"] or shared_traits(run.spec)[0])
        pushed = some if row["of"] else some.random_like(run.seed("random", row["draw"]))
        columns = {each: row[each] for each in ("of", "side", "draw", "dose")}
        conditions.append(_condition(row["method"], Add(pushed, dose=row["dose"]), layer=layer, **columns))
    return _measured(run, conditions)


def _condition(method: str, *interventions: Any, front: str = "", **columns: Any) -> Condition:
    plain = {"layer": -1, "of": "", "side": "", "draw": 0, "dose": 0.0}
    return Condition(method, interventions, front, plain | columns)


def _measured(run: Run, conditions: Sequence[Condition]) -> pd.DataFrame:
    """Rows of both read-outs and of the damage (``readout`` kl and nll, a row a neutral text), of each condition."""
    model, spec = run.model, run.spec
    axes = run.folder.load_tensors(AXES)[0]
    known = {trait: Axis(axes[f"{trait}-direction"], axes[f"{trait}-middle"]) for trait in shared_traits(spec)}
    questions = read_traits(spec.traits).questions
    cost = damage(model, conditions)
    names = [name for name in cost if name not in ("kl", "nll")]
    return pd.concat([
        read_items(model, items_of(run), conditions, spec.readout),
        read_activity(model, known, spec.read_layer(), questions, conditions),
        cost.melt(id_vars=names, value_vars=["kl", "nll"], var_name="readout").assign(trait=""),
    ], ignore_index=True)  # fmt: skip
