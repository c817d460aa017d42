"""Which of the paper's orderings held.

An ordering is held when the 95% interval of its difference lies on the expected side of zero.  Differences are paired
wherever the same episodes were met; over seeds, seeds and episodes are both resampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.families.internal_rl.alignment import f1_lead_of, f1_of
from workbench.families.internal_rl.final import final_rows
from workbench.families.internal_rl.resampling import over_seeds, over_seeds_difference
from workbench.families.internal_rl.tables import gathered
from workbench.runs.contents import RunContents
from workbench.statistics import Interval, cluster_bootstrap

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["orderings"]

Row = dict[str, Any]
COLUMNS = ("ordering", "held", "evidence", "estimate", "low", "high")
METHOD = "internal RL"


def orderings(folder: RunContents) -> pd.DataFrame:
    """One row an ordering: ``ordering, held`` (bool), ``evidence`` (the numbers), ``estimate, low, high``."""
    import pandas as pd

    rows = [*_beliefs(folder), *_controllers(folder), *_switches(folder), *_reinforcement(folder)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"held": bool})


def _judged(name: str, what: str, difference: Interval) -> Row:
    text = f"{what}: {difference.estimate:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    return {"ordering": name, "held": bool(difference.low > 0), "evidence": text} | vars(difference)


def _depths(table: pd.DataFrame) -> tuple[int, int]:
    """(the middle, the last depth); depth 0 is the embedding."""
    last = int(table["layer"].max())
    return max(1, round(last / 2)), last


def _beliefs(folder: RunContents) -> Iterator[Row]:
    table = gathered(folder, "beliefs")
    if len(table):
        mid, _ = _depths(table)
        right = folder.load_tensors("beliefs")[0]
        rise = _paired(right, f"1.{mid}", "1.0")
        yield _judged("beliefs: probe accuracy rises to mid-depth", f"depth {mid} less the embedding", rise)
        for control in ("shuffled", "untrained"):
            at = table[(table["layer"] == mid) & (table["measure"] == "lead") & (table["control"] == control)].iloc[0]
            lead = Interval(at["estimate"], at["low"], at["high"])
            yield _judged(f"beliefs: probe above {control} (depth {mid})", "accuracy", lead)
    history = gathered(folder, "history")
    if len(history) and history["share"].nunique() > 1:
        mid, _ = _depths(history)
        first, last = (f"{share:g}.{mid}" for share in (history["share"].min(), history["share"].max()))
        growth = _paired(folder.load_tensors("history")[0], last, first)
        yield _judged("beliefs: probe accuracy grows with training", f"depth {mid}, end less start", growth)


def _paired(right: dict[str, Any], a: str, b: str) -> Interval:
    """Accuracy of one probe less another's on the same steps, resampling whole episodes."""
    difference = right[a].double().numpy() - right[b].double().numpy()
    return cluster_bootstrap(difference, right["episode"].numpy())


def _controllers(folder: RunContents) -> Iterator[Row]:
    """The best depth is chosen on the even episodes and judged on the odd ones."""
    table = gathered(folder, "controllers")
    if not len(table):
        return
    mid, last = _depths(table)
    tensors = [folder.load_tensors(f"controllers-{depth}")[0] for depth in range(last + 1)]
    held_out = [each["supervised.held-out"].double().numpy() for each in tensors]
    best = max(range(1, last) if last > 1 else [mid], key=lambda depth: held_out[depth][::2].mean())
    odd = held_out[best][1::2]
    for where, depth in (("the embedding", 0), ("the last block", last)) if best != last else ():
        lead = cluster_bootstrap(odd - held_out[depth][1::2], np.arange(len(odd)))
        yield _judged(f"controllers: mid-depth above {where}", f"held-out success, depth {best} less {depth}", lead)
    random = tensors[best]["random.held-out"].double().numpy()[1::2]
    lead = cluster_bootstrap(odd - random, np.arange(len(odd)))
    yield _judged("controllers: supervised above random ones", f"held-out success, depth {best}", lead)


def _counts(folder: RunContents, condition: str) -> np.ndarray | None:
    """[seeds, episodes, 4 + 4 * gates] counts of switches, the condition's own and those of random gates."""
    names = [name for name in folder.steps() if name.startswith(f"discovery-{condition}-")]
    if not names:
        return None
    found = [folder.load_tensors(name.replace("discovery", "switches", 1))[0] for name in names]
    return np.stack([np.concatenate([each["own"].numpy(), each["random"].numpy()], 1) for each in found]).astype(float)


def _switches(folder: RunContents) -> Iterator[Row]:
    frozen, trained = _counts(folder, "frozen"), _counts(folder, "co-trained")
    if frozen is None:
        return
    lead = over_seeds(frozen, f1_lead_of)
    yield _judged("switches: aligned above a random gate of the same rate", f"F1, {len(frozen)} seeds", lead)
    if trained is not None:
        lead = over_seeds_difference(frozen[..., :4], trained[..., :4], f1_of)
        what = f"F1, {len(frozen)} and {len(trained)} seeds"
        yield _judged("switches: frozen above co-trained", what, lead)


def _reinforcement(folder: RunContents) -> Iterator[Row]:
    final = final_rows(folder)
    if final is None:
        return
    for task in dict.fromkeys(task for method, task in final.cells if method == METHOD):
        own = final.array(METHOD, task)
        for method in (m for m, t in final.cells if t == task and m not in (METHOD, "expert")):
            other = final.array(method, task)
            what = f"success, {len(own)} and {len(other)} seeds, {own.shape[1]} worlds"
            yield _judged(f"{task}: {METHOD} above {method}", what, over_seeds_difference(own, other))
