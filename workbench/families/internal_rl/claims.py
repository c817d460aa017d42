"""What the paper found, judged on a run.

A claim is held when the 95% interval of its difference lies on the expected side of zero.  Differences are paired
wherever the same episodes were met; over seeds, seeds and episodes are both resampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from workbench.families import Claim, Verdict, verdict
from workbench.families.internal_rl.alignment import f1_lead_of, f1_of
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.intervals import over_seeds, over_seeds_difference
from workbench.families.internal_rl.spec import METHODS
from workbench.families.internal_rl.summary import Final
from workbench.statistics import Interval, cluster_bootstrap

METHOD = "internal RL"


def claims() -> tuple[Claim, ...]:
    """The claims, stage by stage."""
    others = (method for method in METHODS if method != METHOD)
    return (
        Claim("beliefs: probe accuracy rises to mid-depth", _rises),
        Claim("beliefs: probe above shuffled", partial(_above, control="shuffled")),
        Claim("beliefs: probe above untrained", partial(_above, control="untrained")),
        Claim("beliefs: probe accuracy grows with training", _grows),
        Claim("controllers: mid-depth above the embedding", partial(_interior, end=0)),
        Claim("controllers: mid-depth above the last block", partial(_interior, end=-1)),
        Claim("controllers: supervised above random ones", _supervised),
        Claim("switches: aligned above a random gate of the same rate", _aligned),
        Claim("switches: frozen above co-trained", _frozen),
        *(Claim(f"{METHOD} above {other}", partial(_reinforced, other=other)) for other in others),
    )


def _middle(table: pd.DataFrame) -> int:
    """The depth in the middle; depth 0 is the embedding."""
    return max(1, round(int(table["layer"].max()) / 2))


def _paired(run: InternalRLRun, name: str, a: str, b: str) -> Interval:
    """Accuracy of one probe less another's on the same steps, resampling whole episodes."""
    right = run.folder.load_tensors(name)[0]
    difference = right[a].double().numpy() - right[b].double().numpy()
    return cluster_bootstrap(difference, right["episode"].numpy())


def _rises(run: InternalRLRun) -> Iterator[Verdict]:
    table = run.gather("beliefs")
    if len(table):
        mid = _middle(table)
        yield verdict(f"depth {mid} less the embedding", _paired(run, "beliefs", f"1.{mid}", "1.0"))


def _above(run: InternalRLRun, control: str) -> Iterator[Verdict]:
    table = run.gather("beliefs")
    if len(table):
        rows = table[(table["layer"] == _middle(table)) & (table["measure"] == "lead")]
        lead = Interval.of(rows[rows["control"] == control].iloc[0])
        yield verdict("accuracy", lead, f"depth {_middle(table)}")


def _grows(run: InternalRLRun) -> Iterator[Verdict]:
    history = run.gather("history")
    if len(history) and history["share"].nunique() > 1:
        mid = _middle(history)
        first, last = (f"{share:g}.{mid}" for share in (history["share"].min(), history["share"].max()))
        yield verdict(f"depth {mid}, end less start", _paired(run, "history", last, first))


def _held_out(run: InternalRLRun, control: str) -> list[np.ndarray]:
    """Success [episodes] on the held-out task under controllers of each depth."""
    names = [name for name in run.folder.steps() if name.startswith("controllers-")]
    return [run.folder.load_tensors(name)[0][f"{control}.held-out"].double().numpy() for name in names]


def _best(success: list[np.ndarray]) -> int:
    """The depth, of those between embedding and last block, that is best on the even episodes."""
    last = len(success) - 1
    return max(range(1, max(2, last)), key=lambda depth: success[depth][::2].mean())


def _odd(a: np.ndarray, b: np.ndarray) -> Interval:
    """The difference on the odd episodes, by which the depth was not chosen."""
    return cluster_bootstrap((a - b)[1::2], np.arange(len(a[1::2])))


def _interior(run: InternalRLRun, end: int) -> Iterator[Verdict]:
    success = _held_out(run, "supervised")
    if len(success) > 2:
        best, other = _best(success), end % len(success)
        what = f"held-out success, depth {best} less {other}"
        yield verdict(what, _odd(success[best], success[other]))


def _supervised(run: InternalRLRun) -> Iterator[Verdict]:
    success = _held_out(run, "supervised")
    if success:
        best = _best(success)
        yield verdict(f"held-out success, depth {best}", _odd(success[best], _held_out(run, "random")[best]))


def _counts(run: InternalRLRun, condition: str) -> np.ndarray | None:
    """[seeds, episodes, 4 + 4 * gates] counts of switches, the condition's own and those of random gates."""
    names = [name for name in run.folder.steps() if name.startswith(f"discovery-{condition}-")]
    if not names:
        return None
    found = [run.folder.load_tensors(name.replace("discovery", "switches", 1))[0] for name in names]
    return np.stack([np.concatenate([each["own"].numpy(), each["random"].numpy()], 1) for each in found]).astype(float)


def _aligned(run: InternalRLRun) -> Iterator[Verdict]:
    frozen = _counts(run, "frozen")
    if frozen is not None:
        yield verdict(f"F1, {len(frozen)} seeds", over_seeds(frozen, f1_lead_of))


def _frozen(run: InternalRLRun) -> Iterator[Verdict]:
    frozen, trained = _counts(run, "frozen"), _counts(run, "co-trained")
    if frozen is not None and trained is not None:
        lead = over_seeds_difference(frozen[..., :4], trained[..., :4], f1_of)
        yield verdict(f"F1, {len(frozen)} and {len(trained)} seeds", lead)


def _reinforced(run: InternalRLRun, other: str) -> Iterator[Verdict]:
    final = Final.of(run)
    for task in (task for method, task in final.cells if method == METHOD and (other, task) in final.cells):
        a, b = final.array(METHOD, task), final.array(other, task)
        what = f"success, {len(a)} and {len(b)} seeds, {a.shape[1]} worlds"
        yield verdict(what, over_seeds_difference(a, b), task)
