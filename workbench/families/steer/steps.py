"""The steps of a steering run: vectors of every layer, the unsteered model, a grid of doses at the layers worth trying,
then what is compared with the chosen cell at equal damage, and what else the vector changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd
from torch import Tensor

from steering import Add, Condition, Learning, calibrate_all, learn_preference
from steering.vectors import SteeringVector
from workbench.activations import capture
from workbench.families import Context, Step
from workbench.families.steer.layers import candidates, make, separation, spread
from workbench.families.steer.material import Material, given_vectors, material
from workbench.families.steer.measures import condition, damages, effects, replies
from workbench.families.steer.spec import LEARNED, SteerSpec
from workbench.families.steer.summary import Cell, choose, kl_of
from workbench.models.fingerprint import stamp_of
from workbench.sites import Site

VECTORS, MEAN = "vectors", "mean_difference"
_PER_WORD = 1.3  # tokens
_PANEL_DRAWS = 5
_SIGNS = {"up": 1, "down": -1}


def steps(spec: SteerSpec) -> Iterator[Step]:
    """Vectors and baselines, a step a layer of the grid, one a kind of control, and one for what else changes."""
    found = material(spec)
    prompts = len(found.shown[0])
    each = found.instrument.tokens + _words(found.neutral) + prompts * (12 + spec.max_new_tokens)
    drawn = found.instrument.drawn + prompts
    n_doses = 2 if spec.target_kl else len(spec.doses)
    read = _words([text for one in found.make for text in (str(one.whole(one.up)), str(one.whole(one.down)))])
    yield Step(VECTORS, f"vectors of {found.title} at every layer", _vectors, tokens=read)
    yield Step(
        "baselines", "unsteered, and with a sentence in front", _baselines, completions=3 * drawn, tokens=3 * each
    )
    learns = spec.maker == LEARNED and not spec.vector
    for number in range(_n_layers(spec) if learns else 0):
        what = f"learn a vector at a layer from {len(found.make)} pairs"
        yield Step(f"learn-{number + 1}", what, partial(_learn, number), tokens=3 * 4 * Learning().epochs * read)
    for number in range(_n_layers(spec)):
        yield Step(
            f"grid-{number + 1}", f"{n_doses} doses at a layer", partial(_grid, number),
            completions=n_doses * drawn, tokens=n_doses * each,
        )  # fmt: skip
    beside = _words(found.neutral)
    yield Step(
        "equal", "the chosen vector, and at the sentence's damage", _equal, completions=4 * drawn, tokens=5 * each
    )
    for name, n in (("random", spec.random), ("shuffled", spec.shuffled)):
        what = f"{n} {name} directions at the same damage"
        yield Step(
            f"control-{name}", what, partial(_control, name, n),
            completions=n * found.instrument.drawn, tokens=n * (found.instrument.tokens + 5 * beside),
        )  # fmt: skip
    if spec.vector or spec.maker != MEAN:
        yield Step(f"control-{MEAN}", "the mean difference at the same damage", _mean_difference, tokens=6 * each)
    ways = 5 + min(spec.random, _PANEL_DRAWS)
    others = [*(found.panel or {}).values(), *([found.transfer] if found.transfer else [])]
    yield Step(
        "elsewhere",
        "other words and sentences, other concepts",
        _elsewhere,
        tokens=ways * sum(o.tokens for o in others),
    )


def _n_layers(spec: SteerSpec) -> int:
    layers = given_vectors(spec) if spec.vector else spec.known_layers(spec.layers)
    return min(spec.candidates, len(layers))


def _words(texts: Sequence[str]) -> int:
    return round(_PER_WORD * sum(len(text.split()) for text in texts))


# ---- vectors


def _vectors(run: Context[SteerSpec]) -> pd.DataFrame:
    """A vector a layer from the last tokens of each pair; which layers the grid tries (column ``candidate``)."""
    spec, found = run.spec, material(run.spec)
    layers = list(spec.known_layers(spec.layers))
    given = given_vectors(spec, run.model) if spec.vector else {}
    layers = [layer for layer in layers if not given or layer in given]
    texts = [one.whole(one.up) for one in found.make] + [one.whole(one.down) for one in found.make]
    n, maker = len(found.make), MEAN if spec.maker == LEARNED else spec.maker
    read = capture(run.model, texts, layers, "last", progress=run.progress)
    made: dict[str, Tensor] = {}
    rows = []
    for layer in layers:
        ups, downs = read[layer].float()[:n], read[layer].float()[n:]
        own = given[layer].vector if given else make(maker, ups, downs)
        made[str(layer)], made[f"{MEAN}-{layer}"] = own, make(MEAN, ups, downs)
        apart = _told_apart(own, ups, downs) if given else separation(maker, ups, downs, run.seed("folds"))
        rows.append({"layer": layer, "norm": float(own.norm()), "residual_norm": run.model.residual_norm(Site(layer)),
                     "pairs": n} | apart)  # fmt: skip
    run.folder.save_tensors(VECTORS, made, stamp_of(run.model))
    table = pd.DataFrame(rows)
    tried = spread(layers, spec.candidates) if given else candidates(table, _n_layers(spec))
    return table.assign(candidate=table["layer"].isin(tried))


def _learn(number: int, run: Context[SteerSpec]) -> pd.DataFrame:
    """A vector learned by gradient at a layer of the grid: the mean loss of each epoch."""
    layers = _candidates(run)
    if number >= len(layers):
        return pd.DataFrame()
    pairs = [(one.prompt, one.up, one.down) for one in material(run.spec).make]
    learning = Learning(seed=run.seed("learning") % 2**31)
    own = learn_preference(run.model, pairs, layers[number], learning, progress=run.progress)
    run.folder.save_tensors(f"learned-{number + 1}", {str(layers[number]): own.vector}, stamp_of(run.model))
    losses = own.metadata["losses"]
    return pd.DataFrame(
        {"layer": layers[number], "number": number + 1, "epoch": range(1, len(losses) + 1), "loss": losses}
    )


def _candidates(run: Context[SteerSpec]) -> list[int]:
    table = run.gather(VECTORS)
    return [int(layer) for layer in table.loc[table["candidate"], "layer"]]


def _told_apart(own: Tensor, ups: Tensor, downs: Tensor) -> dict[str, float]:
    gaps = (ups - downs) @ (own / own.norm())
    return {"accuracy": float((gaps > 0).float().mean()), "separation": float(gaps.mean() / gaps.std(correction=1))}


def vector(run: Context[SteerSpec], layer: int, method: str = "") -> SteeringVector:
    """The run's vector at a layer, of the length that it was found with."""
    spec = run.spec
    learned = run.gather("learn")
    name = VECTORS
    if len(learned) and not method:
        name = f"learned-{learned.loc[learned['layer'] == layer, 'number'].iloc[0]}"
    made: dict[str, Tensor] = run.folder.load_tensors(name)[0]
    details = {"method": method or ("given" if spec.vector else spec.maker), "of": spec.title, "model": spec.model}
    own = made[f"{method}-{layer}" if method else str(layer)]
    norm = run.model.residual_norm(Site(layer))
    return SteeringVector(
        Site(layer), own, **stamp_of(run.model), name=spec.title, metadata=details, residual_norm=norm
    )


# ---- conditions


def _measured(
    run: Context[SteerSpec], found: Material, conditions: Sequence[Condition], with_replies: bool = True
) -> pd.DataFrame:
    parts = [effects(run.model, found.instrument, conditions), damages(run.model, found.neutral, conditions)]
    if with_replies:
        prompts, sets = found.shown
        parts.append(
            replies(run.model, prompts, sets, conditions, run.spec.max_new_tokens, run.seed("replies") % 2**31)
        )
    return pd.concat(parts, ignore_index=True)


def _fronts(found: Material) -> list[Condition]:
    return [condition("prompt", side=side, front=text) for side, text in found.fronts.items()]


def _baselines(run: Context[SteerSpec]) -> pd.DataFrame:
    found = material(run.spec)
    return _measured(run, found, [condition("unsteered"), *_fronts(found)])


def _grid(number: int, run: Context[SteerSpec]) -> pd.DataFrame:
    layers = _candidates(run)
    if number >= len(layers):  # fewer layers tell the pairs apart than were asked for
        return pd.DataFrame()
    own, found = vector(run, layers[number]), material(run.spec)
    doses: Sequence[float] = run.spec.doses
    if run.spec.target_kl:
        doses = [x.dose for x in calibrate_all([own, own], run.model, run.spec.target_kl, sign=(-1, 1),
                                               texts=found.neutral)]  # fmt: skip
    conditions = [
        condition("vector", Add(own, dose=dose), layer=own.site.layer, dose=dose, side="up" if dose > 0 else "down")
        for dose in doses
    ]
    return _measured(run, found, conditions)


# ---- at equal damage


def chosen(run: Context[SteerSpec]) -> Cell:
    """The layer and dose that were chosen, and the divergence that they have on the texts for choosing."""
    rows = pd.concat([run.gather("baselines"), run.gather("grid")], ignore_index=True)
    return choose(rows, run.spec)


def _at_kl(
    run: Context[SteerSpec],
    found: Material,
    vectors: Sequence[SteeringVector],
    kl: float | Sequence[float],
    near: float,
    sign: int | Sequence[int] = 1,
) -> list[float]:
    """The doses at which vectors diverge as much on the texts for choosing, by a search that begins ``near`` a dose."""
    texts = found.neutral[::2]
    return [x.dose for x in calibrate_all(vectors, run.model, kl, sign=sign, texts=texts, rounds=2, near=near)]


def _equal(run: Context[SteerSpec]) -> pd.DataFrame:
    """The vector both ways at the chosen cell's divergence (``equal``), and at that of each sentence (``matched``)."""
    found, cell = material(run.spec), chosen(run)
    own, baselines = vector(run, cell.layer), run.gather("baselines")
    asked = [("equal", "down", cell.kl)]
    asked += [("matched", side, kl_of(baselines, "prompt", side)) for side in found.fronts]
    signs = [_SIGNS[side] for _, side, _ in asked]
    doses = _at_kl(run, found, [own] * len(asked), [kl for *_, kl in asked], cell.dose, signs)
    pushed = [
        ("equal", "up", cell.dose),
        *((name, side, dose) for (name, side, _), dose in zip(asked, doses, strict=True)),
    ]
    return _measured(run, found, [
        condition(name, Add(own, dose=dose), layer=cell.layer, dose=dose, side=side) for name, side, dose in pushed
    ])  # fmt: skip


def _control(name: str, n: int, run: Context[SteerSpec]) -> pd.DataFrame:
    """Random directions, or the vector with its entries in another order, each at the chosen cell's divergence."""
    found, cell = material(run.spec), chosen(run)
    own = vector(run, cell.layer)
    drawn = [_drawn(name, own, run.seed(name, draw)) for draw in range(n)]
    doses = _at_kl(run, found, drawn, cell.kl, cell.dose)
    conditions = [
        condition(name, Add(each, dose=dose), layer=cell.layer, dose=dose, side="up", draw=draw)
        for draw, (each, dose) in enumerate(zip(drawn, doses, strict=True))
    ]
    return _measured(run, found, conditions, with_replies=False)


def _drawn(name: str, own: SteeringVector, seed: int) -> SteeringVector:
    return own.random_like(seed) if name == "random" else own.shuffled(seed)


def _mean_difference(run: Context[SteerSpec]) -> pd.DataFrame:
    found, cell = material(run.spec), chosen(run)
    plain = vector(run, cell.layer, MEAN)
    doses = _at_kl(run, found, [plain, plain], cell.kl, cell.dose, list(_SIGNS.values()))
    ways = [
        condition(MEAN, Add(plain, dose=dose), layer=cell.layer, dose=dose, side=side)
        for side, dose in zip(_SIGNS, doses, strict=True)
    ]
    return _measured(run, found, ways, with_replies=False)


def _elsewhere(run: Context[SteerSpec]) -> pd.DataFrame:
    """The same concept in other words and sentences (``transfer``) and other concepts (``panel-NAME``)."""
    found, cell = material(run.spec), chosen(run)
    own = vector(run, cell.layer)
    doses = {(row.method, row.side, row.draw): row.dose for row in _conditions_of(run).itertuples()}
    ways = [condition("unsteered"), *_fronts(found)]
    for side in _SIGNS:
        dose = doses["equal", side, 0]
        ways.append(condition("equal", Add(own, dose=dose), layer=cell.layer, dose=dose, side=side))
    for draw in range(min(run.spec.random, _PANEL_DRAWS)):
        dose, drawn = doses["random", "up", draw], _drawn("random", own, run.seed("random", draw))
        ways.append(condition("random", Add(drawn, dose=dose), layer=cell.layer, dose=dose, side="up", draw=draw))
    parts = [] if found.transfer is None else [effects(run.model, found.transfer, ways, "transfer")]
    parts += [effects(run.model, other, ways, f"panel-{name}") for name, other in (found.panel or {}).items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _conditions_of(run: Context[SteerSpec]) -> pd.DataFrame:
    rows: Any = pd.concat([run.gather("equal"), run.gather("control")], ignore_index=True)
    return rows[["method", "side", "draw", "dose"]].drop_duplicates()
