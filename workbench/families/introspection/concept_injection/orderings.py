"""Which of the paper's orderings held.

Cells (layer and strength) were chosen on every second concept; everything is judged on the others, paired by concept,
with intervals that resample whole concepts.  An ordering is held when the 95% interval of its difference lies on the
expected side of zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.families.introspection.concept_injection.summary import difference
from workbench.statistics import Interval, wilson

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["orderings"]

Row = dict[str, Any]
_CONTROLS = {
    "none": "no injection",
    "random": "a random vector",
    "shuffled": "a shuffled vector",
    "perturbed": "odd input",
}
_LOSS = -0.1  # of a sentence: what a transcription may lose under injection and still count as kept
_REPEATED = 0.5  # of a sentence: what a model that transcribes at all gets right without injection


def orderings(rows: pd.DataFrame, tested: pd.DataFrame, chosen: dict[str, dict[str, float]]) -> pd.DataFrame:
    """One row an ordering: ``ordering, held`` (bool), ``evidence`` (the numbers), ``estimate, low, high``.

    ``rows``: all; ``tested``: those of concepts on which no cell was chosen; ``chosen``: ``{"protocol/arm": cell}``.
    """
    import pandas as pd

    view = _View(tested, chosen)
    found = [*_false_positives(rows), *_detection(view), *_naming(view), *_other(view)]
    return pd.DataFrame(found, columns=["ordering", "held", "evidence", "estimate", "low", "high"])


class _View:
    """Rows of a condition at the chosen cell of its arm."""

    def __init__(self, rows: pd.DataFrame, chosen: dict[str, dict[str, float]]) -> None:
        self.rows, self.chosen = rows, chosen

    def has(self, *names: str) -> bool:
        return all(name in self.chosen for name in names)

    def at(self, name: str, vector: str = "concept", cell: str = "") -> pd.DataFrame:
        """Rows of an arm (``protocol/arm``) and vector, at the cell chosen for that arm or for ``cell``."""
        protocol, _, arm = name.partition("/")
        where, rows = self.chosen[cell or name], self.rows
        part = rows[(rows["protocol"] == protocol) & (rows["arm"] == arm) & (rows["vector"] == vector)]
        here = (part["layer"] == where["layer"]) & (part["strength"] == where["strength"])
        return part[here | (part["layer"] == -1) | ((vector == "none") & (part["layer"] == where["layer"]))]

    def over(self, name: str, control: str, metric: str, cell: str = "") -> Interval | None:
        """The concept's vector less a control; None when the control was not run."""
        other = self.at(name, control, cell)
        return difference(self.at(name, cell=cell), other, metric) if other[metric].notna().any() else None

    def where(self, name: str) -> str:
        cell = self.chosen[name]
        return f"layer {cell['layer']}, strength {cell['strength']:g}"


def _judged(name: str, what: str, change: Interval, above: float = 0.0) -> Row:
    text = f"{what}: {change.estimate:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"
    return {"ordering": name, "held": bool(change.low > above), "evidence": text, **vars(change)}


def _compared(view: _View, arm: str, metric: str, name: str, controls: tuple[str, ...]) -> Iterator[Row]:
    if not view.has(arm):
        return
    for control in controls:
        change = view.over(arm, control, metric)
        if change is not None:
            evidence = f"{metric} ({view.where(arm)}) less {_CONTROLS[control]}"
            yield _judged(f"{name} above {_CONTROLS[control]}", evidence, change)


def _false_positives(rows: pd.DataFrame) -> Iterator[Row]:
    """Over all concepts: nothing was chosen to make these large or small."""
    part = rows[(rows["protocol"] == "detection") & (rows["arm"] == "standard")]
    for vector, what in (("none", "without injection"), ("perturbed", "on odd input")):
        found = part[part["vector"] == vector]
        for metric, claim in (("affirms", "no false claims of a thought"), ("success", "no false detections")):
            values = found[metric].dropna()
            if len(values):
                rate = wilson(int(values.sum()), len(values))
                text = f"{int(values.sum())} of {len(values)}, {rate.estimate:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
                yield {"ordering": f"{claim} {what}", "held": values.sum() == 0, "evidence": text, **vars(rate)}


def _detection(view: _View) -> Iterator[Row]:
    arm, other = "detection/standard", "detection/unrelated"
    yield from _compared(view, arm, "success", "detection", ("none", "random", "shuffled"))
    yield from _compared(view, arm, "affirms", "claims of a thought", ("none", "random", "perturbed"))
    yield from _compared(view, arm, "yes_no", "yes minus no", ("none", "random", "shuffled"))
    yield from _compared(view, "detection/neutral", "success", "detection under neutral wording", ("none", "random"))
    if view.has(arm, other):
        own, shift = view.at(arm), view.at(other, cell=arm)
        gaps = [_shift(view, name, arm) for name in (arm, other)]
        change = difference(gaps[0], gaps[1], "shift")
        if len(own) and len(shift):
            text = f"shift of yes minus no ({view.where(arm)}) less that of unrelated questions"
            yield _judged("more than a leaning to yes", text, change)
    yield from _compared(view, "detection/choice", "correct", "forced choice", ("none", "random", "shuffled"))


def _shift(view: _View, name: str, cell: str) -> pd.DataFrame:
    """``concept, shift``: yes minus no under injection less that without."""
    own, none = (view.at(name, vector, cell).groupby("concept")["yes_no"].mean() for vector in ("concept", "none"))
    return (own - none).rename("shift").reset_index()


def _naming(view: _View) -> Iterator[Row]:
    detection, naming = "detection/standard", "naming/standard"
    yield from _compared(view, naming, "names", "forced naming", ("none", "random", "shuffled"))
    if not view.has(detection, naming):
        return
    a = view.at(naming).assign(score=lambda rows: rows["names"])
    b = view.at(detection).assign(score=lambda rows: rows["success"])
    change = difference(a, b, "score")
    yield _judged("forced naming above detection", "names less detections, each at its own cell", change)
    layers = [view.chosen[name]["layer"] for name in (detection, naming)]
    both = [view.over(name, "none", metric) for name, metric in ((detection, "success"), (naming, "names"))]
    clear = all(change is not None and change.low > 0 for change in both)
    text = f"best layers {layers[0]:g} and {layers[1]:g}" + ("" if clear else "; one of them is not above no injection")
    gap = {"estimate": float(layers[1] - layers[0]), "low": float("nan"), "high": float("nan")}
    held = bool(clear and layers[0] < layers[1])
    yield {"ordering": "detection peaks at an earlier layer than naming", "held": held, "evidence": text, **gap}


def _other(view: _View) -> Iterator[Row]:
    yield from _compared(view, "thought/thought", "names", "thought told while reading", ("none", "random"))
    if view.has("thought/thought", "thought/text"):
        yield from _transcription(view)
    meant = "a prefilled word is meant: yes minus no"
    yield from _compared(view, "prefill/standard", "yes_no", meant, ("none", "random"))
    if view.has("control/think"):
        yield from _intentional(view)
    arm, other = "kv_cache/standard", "kv_cache/unrelated"
    yield from _compared(view, arm, "yes_no", "KV cache: yes minus no", ("none", "random", "shuffled"))
    if view.has(arm, other):
        change = difference(_shift(view, arm, arm), _shift(view, other, arm), "shift")
        text = f"shift of yes minus no ({view.where(arm)}) less that of unrelated questions"
        yield _judged("KV cache: more than a leaning to yes", text, change)


def _transcription(view: _View) -> Iterator[Row]:
    """A sentence that is not repeated without injection either cannot be lost to it: then the ordering is not held."""
    change = view.over("thought/text", "none", "transcription", cell="thought/thought")
    if change is None:
        return
    plain = float(view.at("thought/text", "none", "thought/thought")["transcription"].mean())
    text = f"transcription at the cell of the thought, less no injection ({plain:.3f}); held above {_LOSS:g}"
    row = _judged("the text is still transcribed", text + f" if that is {_REPEATED:g} or more", change, _LOSS)
    yield row | {"held": row["held"] and plain >= _REPEATED}


def _intentional(view: _View) -> Iterator[Row]:
    think, avoid = view.at("control/think"), view.at("control/avoid", cell="control/think")
    plain = view.at("control/think", "none")
    where = f"cosine (layer {view.chosen['control/think']['layer']:g}) when told"
    for claim, what, a, b in (
        ("think above avoid", "to think of it less told not to", think, avoid),
        ("think above no mention", "to think of it less no mention", think, plain),
        ("even avoiding calls it up", "not to think of it less no mention", avoid, plain),
    ):
        yield _judged(f"intentional control: {claim}", f"{where} {what}", difference(a, b, "cosine"))
