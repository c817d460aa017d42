"""The claims of internal RL on results in which each of them is planted, and on results in which it is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.families.claims import judge
from workbench.families.internal_rl.claims import claims
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.spec import METHODS, PRESETS
from workbench.runs import RunFolder
from workbench.seeding import derive_seed

SPEC = PRESETS["smoke"]
EPISODES, STEPS, GATES = 60, 4, 5
OTHERS = [method for method in METHODS if method != "internal RL"]
# Shares of steps or episodes that were right, with every claim held.
HELD = {
    "embedding": 0.3, "middle": 0.8, "shuffled": 0.2, "untrained": 0.2, "start": 0.3, "end": 0.8,
    "depth 0": 0.1, "depth 1": 0.8, "depth 2": 0.2, "random controllers": 0.1,
    "frozen": 0.9, "co-trained": 0.4, "random gate": 0.2,
    "internal RL": 0.8, **dict.fromkeys(OTHERS, 0.2),
}  # fmt: skip
# What is changed so that a claim does not hold.
BROKEN = {
    "beliefs: probe accuracy rises to mid-depth": {"embedding": 0.95},
    "beliefs: probe above shuffled": {"shuffled": -0.1},
    "beliefs: probe above untrained": {"untrained": -0.1},
    "beliefs: probe accuracy grows with training": {"start": 0.95},
    "controllers: mid-depth above the embedding": {"depth 0": 0.99},
    "controllers: mid-depth above the last block": {"depth 2": 0.99},
    "controllers: supervised above random ones": {"random controllers": 0.99},
    "switches: aligned above a random gate of the same rate": {"random gate": 0.95},
    "switches: frozen above co-trained": {"co-trained": 0.98},
    **{f"internal RL above {method}": {method: 0.98} for method in OTHERS},
}


def _right(name: str, share: float, n: int = EPISODES) -> np.ndarray:
    return np.random.default_rng(derive_seed(0, name)).random(n) < share


def _lead(control: str, lead: float) -> dict:
    return {"share": 1.0, "layer": 1, "control": control, "measure": "lead", "estimate": lead,
            "low": lead - 0.05, "high": lead + 0.05}  # fmt: skip


def _probes(run: InternalRLRun, name: str, rows: list[dict], **shares: float) -> None:
    run.folder.write(name, pd.DataFrame(rows))
    episode = {"episode": torch.arange(EPISODES).repeat_interleave(STEPS)}
    right = {at: torch.tensor(_right(name + at, share, EPISODES * STEPS)) for at, share in shares.items()}
    run.save_tensors(name, episode | right)


def _beliefs(run: InternalRLRun, plant: dict[str, float]) -> None:
    rows = [{"share": 1.0, "layer": layer, "control": "none", "measure": "accuracy"} for layer in range(3)]
    leads = [_lead(control, plant[control]) for control in ("shuffled", "untrained")]
    _probes(run, "beliefs", rows + leads, **{"1.0": plant["embedding"], "1.1": plant["middle"]})
    history = [{"share": share, "layer": layer} for share in (0.0, 1.0) for layer in range(3)]
    _probes(run, "history", history, **{"0.1": plant["start"], "1.1": plant["end"]})


def _controllers(run: InternalRLRun, plant: dict[str, float]) -> None:
    for depth in range(3):
        name = f"controllers-{depth}"
        run.folder.write(name, pd.DataFrame({"layer": [depth]}))
        shares = {"supervised": plant[f"depth {depth}"], "random": plant["random controllers"]}
        run.save_tensors(name, {f"{k}.held-out": torch.tensor(_right(name + k, share)) for k, share in shares.items()})


def _switches(share: float, name: str) -> np.ndarray:
    """[episodes, 4] counts of ten switches and ten changes, of which a share is right and found."""
    right = np.random.default_rng(derive_seed(0, name)).binomial(10, share, EPISODES)
    return np.stack([right, np.full(EPISODES, 10), right, np.full(EPISODES, 10)], 1)


def _discovery(run: InternalRLRun, plant: dict[str, float]) -> None:
    for condition, seed in (("frozen", 0), ("frozen", 1), ("co-trained", 0)):
        run.folder.write(f"discovery-{condition}-{seed}", pd.DataFrame({"condition": [condition]}))
        random = [_switches(plant["random gate"], f"{condition} {seed} gate {k}") for k in range(GATES)]
        counts = {"own": _switches(plant[condition], f"{condition} {seed}"), "random": np.concatenate(random, 1)}
        tensors = {name: torch.from_numpy(each) for name, each in counts.items()}
        run.save_tensors(f"switches-{condition}-{seed}", tensors)


def _reinforcement(run: InternalRLRun, plant: dict[str, float]) -> None:
    for task in SPEC.tasks:
        for method in ("internal RL", *OTHERS):
            for seed in range(2):
                name = f"{method} {task} {seed}"
                labels = {"method": method, "task": task, "seed": seed, "phase": "final"}
                rows = pd.DataFrame({"episode": range(EPISODES), "success": _right(name, plant[method]).astype(float)})
                run.folder.write(f"rl-{name}".lower().replace(" ", "-"), rows.assign(**labels))


def _verdicts(tmp_path, stages=(_beliefs, _controllers, _discovery, _reinforcement), **changes) -> pd.DataFrame:
    with RunFolder.open(tmp_path, "internal-rl", SPEC) as folder:
        run = InternalRLRun(SPEC, folder)
        for stage in stages:
            stage(run, HELD | changes)
        return judge(claims(), run)


def test_every_claim_has_a_planted_failure() -> None:
    assert [claim.name for claim in claims()] == list(BROKEN)


def test_every_claim_holds_where_it_is_planted_in_every_place(tmp_path) -> None:
    table = _verdicts(tmp_path)
    assert list(table["claim"].unique()) == list(BROKEN) and table["held"].all()
    places = table.groupby("claim")["on"].agg(list)
    assert places["beliefs: probe above shuffled"] == ["depth 1"]
    assert places["internal RL above raw actions"] == [*SPEC.tasks]


@pytest.mark.parametrize("name", BROKEN)
def test_a_claim_does_not_hold_where_the_results_say_otherwise(name: str, tmp_path) -> None:
    held = _verdicts(tmp_path, **BROKEN[name]).groupby("claim")["held"].any()
    assert not held[name]
    assert held.sum() >= len(BROKEN) - 2  # it, and at most one that rests on the same numbers


def test_stages_that_were_not_run_are_not_judged(tmp_path) -> None:
    table = _verdicts(tmp_path, stages=(_beliefs,))
    assert set(table["claim"]) == {name for name in BROKEN if name.startswith("beliefs")}
