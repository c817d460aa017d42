"""What the paper and its replications say, judged on the rows of a run.

Cells (layer and dose) were chosen on every second concept; everything is judged on the others, paired by concept,
with intervals that resample whole concepts.  A claim is held when the 95% interval of its difference lies on the
expected side of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from workbench.families.claims import Claim, Verdict, verdict
from workbench.families.introspection.concept_injection.scale import scale_of
from workbench.families.introspection.concept_injection.steps import InjectionContext
from workbench.families.introspection.concept_injection.summary import difference, split
from workbench.statistics import Interval, wilson

_CONTROLS = {
    "none": "no injection",
    "random": "a random vector",
    "shuffled": "a shuffled vector",
    "perturbed": "odd input",
}
_VECTORS = ("none", "random", "shuffled")
# What is larger under the concept's vector than under each control: the claim's beginning, arm, metric, controls.
_DETECTION = (
    ("detection", "detection/standard", "success", _VECTORS),
    ("claims of a thought", "detection/standard", "affirms", ("none", "random", "perturbed")),
    ("yes minus no", "detection/standard", "yes_no", _VECTORS),
    ("detection under neutral wording", "detection/neutral", "success", ("none", "random")),
    ("forced choice", "detection/choice", "correct", _VECTORS),
    ("forced naming", "naming/standard", "names", _VECTORS),
)
_OTHERS = (
    ("thought told while reading", "thought/thought", "names", ("none", "random")),
    ("a prefilled word is meant: yes minus no", "prefill/standard", "yes_no", ("none", "random")),
    ("KV cache: yes minus no", "kv_cache/standard", "yes_no", _VECTORS),
)
_LOSS = -0.1  # of a sentence: what a transcription may lose under injection and still count as kept
_REPEATED = 0.5  # of a sentence: what a model that transcribes at all gets right without injection
_THINK, _AVOID = "control/think", "control/avoid"


def claims() -> Sequence[Claim]:
    """Those of the paper, and those of its replications on leaning to yes and odd input."""
    return [
        *(
            Claim(f"{what} {where}", _judged(_never, metric=metric, vector=vector))
            for vector, where in (("none", "without injection"), ("perturbed", "on odd input"))
            for metric, what in (("affirms", "no false claims of a thought"), ("success", "no false detections"))
        ),
        *_comparisons(_DETECTION),
        Claim("more than a leaning to yes", _judged(_leaning, protocol="detection")),
        Claim("forced naming above detection", _judged(_naming_above_detection)),
        Claim("detection peaks at an earlier layer than naming", _judged(_peaks)),
        *_comparisons(_OTHERS),
        Claim("KV cache: more than a leaning to yes", _judged(_leaning, protocol="kv_cache")),
        Claim("the text is still transcribed", _judged(_transcribed)),
        Claim("intentional control: think above avoid", _judged(_intended, a=_THINK, b=_AVOID)),
        Claim("intentional control: think above no mention", _judged(_intended, a=_THINK)),
        Claim("intentional control: even avoiding calls it up", _judged(_intended, a=_AVOID)),
    ]


def _comparisons(rows: Sequence[tuple[str, str, str, tuple[str, ...]]]) -> Iterator[Claim]:
    for name, arm, metric, controls in rows:
        for control in controls:
            judge = _judged(_compared, arm=arm, metric=metric, control=control)
            yield Claim(f"{name} above {_CONTROLS[control]}", judge)


def _judged(judge: Callable[..., Verdict | None], **what: str) -> Callable[[InjectionContext], list[Verdict]]:
    """``judge`` at the chosen cells of a run; no verdict where it gives None: an arm or a control was not run."""
    return lambda context: [found] if (found := judge(_Cells(context), **what)) else []


class _Cells:
    """Rows of the concepts on which no cell was chosen, at the chosen cell of an arm (``protocol/arm``)."""

    def __init__(self, context: InjectionContext) -> None:
        self.all, self.scale = context.rows, scale_of(context.rows)
        self.rows, self.chosen = split(self.all)[1], context.folder.read_json("chosen")

    def at(self, name: str, vector: str = "concept", cell: str = "") -> pd.DataFrame:
        """Rows of an arm and vector, at the cell chosen for that arm or for ``cell``."""
        where, part = self.chosen[cell or name], _of(self.rows, name, vector)
        here = (part["layer"] == where["layer"]) & (part[self.scale] == where[self.scale])
        return part[here | (part["layer"] == -1) | ((vector == "none") & (part["layer"] == where["layer"]))]

    def over(self, name: str, control: str, metric: str, cell: str = "") -> Interval | None:
        """The concept's vector less a control; None when either was not run."""
        if name not in self.chosen:
            return None
        other = self.at(name, control, cell)
        return difference(self.at(name, cell=cell), other, metric) if other[metric].notna().any() else None

    def where(self, name: str) -> str:
        """The chosen cell in words."""
        cell = self.chosen[name]
        return f"layer {cell['layer']}, {self.scale} {cell[self.scale]:g}"


def _of(rows: pd.DataFrame, name: str, vector: str) -> pd.DataFrame:
    protocol, _, arm = name.partition("/")
    return rows[(rows["protocol"] == protocol) & (rows["arm"] == arm) & (rows["vector"] == vector)]


def _never(cells: _Cells, metric: str, vector: str) -> Verdict | None:
    """Over all concepts: nothing was chosen to make these large or small."""
    values = _of(cells.all, "detection/standard", vector)[metric].dropna()
    if not len(values):
        return None
    total = int(values.sum())
    rate = wilson(total, len(values))
    return Verdict(total == 0, f"{total} of {len(values)}, {rate.text(3)}", **vars(rate))


def _compared(cells: _Cells, arm: str, metric: str, control: str) -> Verdict | None:
    change = cells.over(arm, control, metric)
    if change is None:
        return None
    return verdict(f"{metric} ({cells.where(arm)}) less {_CONTROLS[control]}", change)


def _leaning(cells: _Cells, protocol: str) -> Verdict | None:
    """A vector that pushes every question towards yes shifts unrelated questions as far."""
    arm, other = f"{protocol}/standard", f"{protocol}/unrelated"
    if not {arm, other} <= set(cells.chosen):
        return None
    change = difference(_shift(cells, arm, arm), _shift(cells, other, arm), "shift")
    return verdict(f"shift of yes minus no ({cells.where(arm)}) less that of unrelated questions", change)


def _shift(cells: _Cells, name: str, cell: str) -> pd.DataFrame:
    """``concept, shift``: yes minus no under injection less that without."""
    own, none = (cells.at(name, vector, cell).groupby("concept")["yes_no"].mean() for vector in ("concept", "none"))
    return (own - none).rename("shift").reset_index()


def _naming_above_detection(cells: _Cells) -> Verdict | None:
    if not {"naming/standard", "detection/standard"} <= set(cells.chosen):
        return None
    named = cells.at("naming/standard").assign(score=lambda rows: rows["names"])
    detected = cells.at("detection/standard").assign(score=lambda rows: rows["success"])
    return verdict("names less detections, each at its own cell", difference(named, detected, "score"))


def _peaks(cells: _Cells) -> Verdict | None:
    """Not held unless both are there at all: above no injection."""
    both = {"detection/standard": "success", "naming/standard": "names"}
    if not set(both) <= set(cells.chosen):
        return None
    first, second = (cells.chosen[arm]["layer"] for arm in both)
    changes = [cells.over(arm, "none", metric) for arm, metric in both.items()]
    clear = all(change is not None and change.low > 0 for change in changes)
    text = f"best layers {first:g} and {second:g}" + ("" if clear else "; one of them is not above no injection")
    return Verdict(clear and first < second, text, estimate=float(second - first))


def _transcribed(cells: _Cells) -> Verdict | None:
    """A sentence that is not repeated without injection either cannot be lost to it: then the claim is not held."""
    if not {"thought/thought", "thought/text"} <= set(cells.chosen):
        return None
    change = cells.over("thought/text", "none", "transcription", cell="thought/thought")
    if change is None:
        return None
    plain = float(cells.at("thought/text", "none", "thought/thought")["transcription"].mean())
    text = f"transcription at the cell of the thought, less no injection ({plain:.3f}); held above {_LOSS:g}"
    found = verdict(f"{text} if that is {_REPEATED:g} or more", change, above=_LOSS)
    return replace(found, held=found.held and plain >= _REPEATED)


def _intended(cells: _Cells, a: str, b: str = "") -> Verdict | None:
    """Told as in arm ``a`` less arm ``b``, or less no mention of the concept."""
    if _THINK not in cells.chosen:
        return None
    told = {_THINK: "to think of it", _AVOID: "not to think of it", "": "no mention"}
    plain = cells.at(_THINK, "none") if not b else cells.at(b, cell=_THINK)
    change = difference(cells.at(a, cell=_THINK), plain, "cosine")
    where = f"cosine (layer {cells.chosen[_THINK]['layer']:g}) when told {told[a]} less"
    return verdict(f"{where} {'told ' if b else ''}{told[b]}", change)
