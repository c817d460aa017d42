"""Tables of an internal-RL run with numbers that can be told apart, and a finished run folder made of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from workbench.runs import RunFolder

METHODS = {"expert": 1, "internal RL": 3, "random codes": 3, "forced switching": 1, "co-trained": 1, "CompILE": 1,
           "raw actions": 1}  # fmt: skip
LEVELS = {"expert": 0.9, "internal RL": 0.3, "random codes": 0.0, "forced switching": 0.05, "co-trained": 0.1,
          "CompILE": 0.02, "raw actions": 0.2}  # fmt: skip
TASKS = {"held-out": 4, "seen transitions": 6}
DEPTHS = {0: "blocks.0.hook_resid_pre", 1: "blocks.0.hook_resid_post", 2: "blocks.1.hook_resid_post"}
DISCOVERIES = [("co-trained", 0), ("frozen", 0), ("frozen", 1), ("forced", 0), ("compile", 0)]
# The way of the shown episode on a 5 x 5 grid: right along the first row onto colour 0, then down onto colour 2.
WAY = [0, 1, 2, 3, 4, 9, 14, 19, 24]
GATE = [1.0, 0.1, 0.2, 0.1, 0.9, 0.2, 0.1, 0.6]
COLOURS, WALL = (4, 20, 24, 12), 6


def level(estimate: float, width: float = 0.1) -> dict[str, float]:
    return {"estimate": estimate, "low": max(0.0, estimate - width), "high": estimate + width}


def curves() -> pd.DataFrame:
    """Success of update k of seed s is level * (k + s) / 4."""
    rows = []
    for (method, seeds), task, k in product(METHODS.items(), TASKS, range(3)):
        for seed in range(seeds if method != "expert" else 0):
            success = LEVELS[method] * (k + seed) / 4
            rows.append({"method": method, "task": task, "seed": seed, "update": k, "episodes": 100 * (k + 1),
                         "success": success, "progress": 4 * success, "decisions": 3.0, "std": 2.0})  # fmt: skip
    return pd.DataFrame(rows)


def final() -> pd.DataFrame:
    rows = []
    for (method, seeds), (task, length) in product(METHODS.items(), TASKS.items()):
        labels = {"method": method, "task": task, "seeds": seeds}
        value = LEVELS[method] * (1 if task == "held-out" else 0.5)
        measures = {"success": value, "relative": value / 0.9, "progress": length * value}
        rows += [labels | {"measure": measure} | level(v, 0.02) for measure, v in measures.items()]
    return pd.DataFrame(rows)


def final_by_seed() -> pd.DataFrame:
    rows = [
        {"method": method, "task": task, "seed": seed, "measure": "success"} | level(LEVELS[method] + 0.01 * seed)
        for (method, seeds), task in product(METHODS.items(), TASKS)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def beliefs() -> pd.DataFrame:
    rows = []
    values = {"bayes": 0.8, "none": 0.3, "majority": 0.26, "shuffled": 0.25, "untrained": 0.28}
    for (depth, site), (control, value) in product(DEPTHS.items(), values.items()):
        labels = {"model": "base", "share": 1.0, "site": site, "layer": depth, "control": control}
        rise = 0.2 * depth if control == "none" else 0.0
        rows.append(labels | {"measure": "accuracy"} | level(value + rise, 0.03))
        if control not in ("none", "bayes"):
            rows.append(labels | {"measure": "lead"} | level(0.1, 0.02))
    for (depth, site), share, control in product(DEPTHS.items(), (0.0, 0.5, 1.0), ("none", "bayes")):
        labels = {"model": "second base", "share": share, "site": site, "layer": depth, "control": control}
        value = 0.8 if control == "bayes" else 0.25 + 0.1 * depth * share
        rows.append(labels | {"measure": "accuracy"} | level(value, 0.03))
    return pd.DataFrame(rows)


def controllers() -> pd.DataFrame:
    rows = []
    tasks = ("one subgoal", "pretraining", "held-out", "seen transitions")
    for (depth, site), control, (k, task) in product(
        DEPTHS.items(), ("supervised", "random", "none"), enumerate(tasks)
    ):
        labels = {"site": site, "layer": depth, "control": control, "task": task}
        value = (0.9 - 0.2 * k) * (depth == 1) if control == "supervised" else 0.01
        rows += [labels | {"measure": "success"} | level(value), labels | {"measure": "solvable"} | level(0.95, 0.01)]
    return pd.DataFrame(rows)


def discovery() -> pd.DataFrame:
    rows = []
    for number, (condition, seed) in enumerate(DISCOVERIES):
        own = 0.9 - 0.1 * seed if condition == "frozen" else 0.2
        measures = {"soft_nll": 0.5, "hard_nll": 0.52, "kl": 1.0, "switches": 3.0 + number, "rate": 0.2}
        for kind, suffix in product(("f1", "precision", "recall"), ("", "_window")):
            measures |= {f"{kind}{suffix}": own, f"{kind}{suffix}_random": 0.1, f"{kind}{suffix}_lead": own - 0.1}
        for k in (1, 2, 3):
            missing = condition == "compile" and k == 3
            measures |= {f"decode_segment_{k}": np.nan if missing else 0.8 - 0.1 * k}
            measures |= {} if missing else {f"decode_segment_{k}_lead": 0.4 - 0.1 * k}
        measures |= {"compose_pretraining": 0.3, "compose_held_out": 0.04}
        measures |= {"compose_pretraining_scaled": 0.2, "compose_held_out_scaled": 0.06}
        labels = {"condition": condition, "seed": seed, "alpha": 0.15}
        rows += [labels | {"measure": measure} | level(value, 0.05) for measure, value in measures.items()]
    return pd.DataFrame(rows)


def discovery_over_seeds() -> pd.DataFrame:
    found = discovery().groupby(["condition", "measure"], sort=False)["estimate"].mean().reset_index()
    return found.assign(low=np.nan, high=np.nan, seeds=1)


def rate_distortion() -> pd.DataFrame:
    return pd.DataFrame([
        {"condition": condition, "alpha": alpha, "seed": 0, "kl": 2 - k / 2, "nll": 0.4 + k / 20,
         "hard_nll": 0.41 + k / 20, "switches": 3.5 - k}
        for condition in ("co-trained", "frozen") for k, alpha in enumerate((0.03, 0.15, 0.5))
    ])  # fmt: skip


def base() -> pd.DataFrame:
    measures = {"nll": 0.48, "bayes_nll": 0.46, "gap": 0.02, "uncontrolled_pretraining": 0.2,
                "solvable_pretraining": 1.0, "uncontrolled_held_out": 0.0, "solvable_held_out": 1.0}  # fmt: skip
    return pd.DataFrame([{"model": "pinpad-base", "measure": m} | level(v, 0.01) for m, v in measures.items()])


def gates() -> pd.DataFrame:
    rows = [
        ("base", "gap", 0.015, 0.02, True, "pinpad-base"),
        ("base", "uncontrolled_held_out", 0.0, 0.001, True, "pinpad-base"),
        ("controllers", "held-out success", 0.66, 0.5, True, "blocks.0.hook_resid_post"),
        ("discovery", "f1_lead", 0.8, 0.4, True, "seed 1"),
        ("discovery", "decode_segment", 0.67, 0.6, True, "seed 1"),
        ("discovery", "compose_held_out_scaled", 0.06, 0.1, False, "seed 1"),
    ]
    table = pd.DataFrame(rows, columns=["stage", "measure", "value", "bar", "passed", "where"])
    return table.assign(low=table["value"] - 0.01, high=table["value"] + 0.01)


def claims() -> pd.DataFrame:
    rows = [("switches: aligned above a random gate of the same rate", "", 0.7, 0.5),
            ("internal RL above raw actions", "held-out", 0.1, -0.05)]  # fmt: skip
    return pd.DataFrame([
        {"claim": name, "on": on, "held": low > 0, "evidence": f"share: {e:+.3f} [{low:+.3f}, {e + 0.2:+.3f}]",
         "estimate": e, "low": low, "high": e + 0.2}
        for name, on, e, low in rows
    ])  # fmt: skip


def episode(task: str, number: int, chosen: str, moves: int = 8) -> pd.DataFrame:
    """The first ``moves`` of the way; the whole of it ends on colour 2 when colour 1 is next."""
    gate = np.array(GATE[:moves])
    target = np.array([0, 0, 0, 0, 1, 1, 1, 1][:moves])
    segment = (gate > 0.5).cumsum() - 1
    table = pd.DataFrame({
        "task": task, "episode": number, "step": range(moves), "agent": WAY[:moves], "next": WAY[1 : moves + 1],
        "move": 1, "target": target, "subgoal": target, "gate": gate, "switched": gate > 0.5, "segment": segment,
        "code_0": -1.0 + segment, "code_1": 0.5 * segment,
    })  # fmt: skip
    return table.assign(
        success=False, progress=int(moves >= 4), chosen=chosen, played=256, size=5, walls=str(WALL),
        sequence=",".join(map(str, range(TASKS[task]))) if task == "held-out" else "0,1,0,1,0,1",
        colours=",".join(map(str, COLOURS)),
    )  # fmt: skip


def episodes() -> pd.DataFrame:
    kinds = ("first", "farthest")
    return pd.concat([
        episode(task, number, chosen, 8 if chosen == "farthest" else 3)
        for task in TASKS for number, chosen in enumerate(kinds)
    ], ignore_index=True)  # fmt: skip


def tables() -> dict[str, pd.DataFrame]:
    made = (base, beliefs, controllers, discovery, discovery_over_seeds, rate_distortion, curves, final, final_by_seed,
            gates, claims, episodes)  # fmt: skip
    return {make.__name__: make() for make in made}


def write_run(root, name="first", leave_out=(), **replaced):
    """A finished run folder below ``root``, without some tables or with others in their place; returns it."""
    with RunFolder.open(root, "internal-rl", {"base": "pinpad-base", "seed": 0}, name=name) as run:
        for table, frame in (tables() | replaced).items():
            if table not in leave_out:
                run.save_table(table, frame)
    return run.path
