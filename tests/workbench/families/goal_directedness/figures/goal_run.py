"""Tables with the columns that a goal-directedness run writes, made from formulas, and a run folder that holds them.

Shared by the tests of the figures and of the explorer.
"""

from itertools import product

import numpy as np
import pandas as pd

from workbench.runs import RunFolder
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import make_layout

SIZES, DENSITIES, LAYERS = (7, 9), (0.0, 1.0), (0, 1, 2, 3)
PLAYERS = {"direct": 0.9, "reasoning": 0.95, "random": 0.5, "optimal": 1.0}
POSITIONS = {"pre": 0.75, "post": 0.6}
PROBES = {"linear": -0.2, "mlp": 0.0}
MAP_CONTROLS = {"majority": 0.4, "shuffled": 0.35, "untrained": 0.42, "other grids": 0.38}
CLASSES, STEPS = 7, 6


def around(value, width=0.03):
    return {"estimate": value, "low": value - width, "high": value + width}


def behaviour():
    rows = []
    for (player, skill), size, density in product(PLAYERS.items(), SIZES, DENSITIES):
        for metric in ("success", "accuracy", "accuracy_pooled", "spl", "jsd", "entropy", "ece"):
            loss = 0.0 if player == "optimal" else 0.02 * size * density
            value = skill - loss if metric not in ("jsd", "entropy", "ece") else 1.1 - skill + loss
            rows.append({"player": player, "size": size, "density": density, "metric": metric, "n": 10} | around(value))
    overall = [{"player": p, "metric": "ece", "n": 60} | around(0.1) for p in ("direct", "reasoning")]
    return pd.DataFrame(rows + overall)


def by_distance():
    return pd.DataFrame([
        {"player": p, "distance": d, "metric": m, "n": 20} | around(skill - 0.02 * d if m == "accuracy" else 0.05 * d)
        for (p, skill), d, m in product(PLAYERS.items(), range(1, 13), ("accuracy", "jsd", "entropy"))
    ])  # fmt: skip


def calibration():
    return pd.DataFrame([
        {"player": p, "bin": b, "confidence": b / 10 + 0.05, "accuracy": max(0.0, b / 10 - 0.1), "n": 2 ** (b + 1)}
        for p, b in product(("direct", "reasoning"), range(2, 10))
    ])  # fmt: skip


def transforms():
    rows = []
    for i, (player, t, m) in enumerate(
        product(("direct", "reasoning"), ("reflect", "rotate", "transpose", "swap"), ("success", "accuracy", "spl"))
    ):
        d = 0.03 * np.sin(i)
        rows.append({"player": player, "transform": t, "metric": m, "n": 60, "difference": d, "low": d - 0.05,
                     "high": d + 0.04, "p": 0.0004 if i == 3 else 0.04 * i + 0.01, "r": 0.1 * np.cos(i)})  # fmt: skip
    return pd.DataFrame(rows)


def structures():
    metrics = {"success": 0.9, "accuracy": 0.85, "key_pickup": 0.4, "toward_key": 0.7}
    return pd.DataFrame([
        {"player": p, "structure": s, "metric": m, "n": 60} | around(value - 0.1 * k + 0.05 * (p == "reasoning"), 0.06)
        for p, (k, s), (m, value) in product(
            ("direct", "reasoning", "random"), enumerate(("KeyDoor", "KeyNoDoor", "2PathKey")), metrics.items()
        )
        if m != "toward_key" or s == "KeyNoDoor"
    ])  # fmt: skip


def peak(layer):
    return 0.1 - 0.04 * abs(layer - 2)


def maps():
    rows = []
    for (position, base), layer, (probe, less) in product(POSITIONS.items(), LAYERS, PROBES.items()):
        key = {"position": position, "layer": layer, "probe": probe}
        value = base + less + peak(layer)
        for metric in ("accuracy", "accuracy_padded", "balanced_accuracy"):
            rows.append(key | {"train": "all", "control": "none", "metric": metric, "cell": ""} | around(value))
            for control, level in MAP_CONTROLS.items():
                rows.append(key | {"train": "all", "control": control, "metric": metric, "cell": ""} | around(level))
        for metric, (k, cell) in product(("f1", "precision", "recall"), enumerate("_#AG")):
            here = around(value - 0.12 * k)
            rows.append(key | {"train": "all", "control": "none", "metric": metric, "cell": cell} | here)
        for cell in "AG":
            rows.append(
                key | {"train": "all", "control": "none", "metric": "manhattan", "cell": cell} | around(2 - value)
            )
        for size in SIZES:
            here = around(value + 0.01 * (size - 8))
            rows.append(key | {"train": f"size {size}", "control": "none", "metric": "accuracy", "cell": ""} | here)
    return pd.DataFrame(rows)


def plans():
    rows = []
    for position, layer, decoder, padding, n in product(
        ("pre", "post"), LAYERS, (0, 1, 2), ("with", "without"), range(1, 11)
    ):
        first, decay = (0.42, 0.8) if position == "pre" else (0.66, 0.6)
        key = {"position": position, "layer": layer, "decoder": decoder, "prefix": n, "padding": padding}
        value = (first + peak(layer) + 0.03 * decoder) * decay ** (n - 1)
        rows.append(key | {"control": "none"} | around(value, 0.02))
        for control, level in (("majority", 0.3), ("uniform", 0.25), ("shuffled", 0.28), ("untrained", 0.27)):
            rows.append(key | {"control": control} | around(level**n, 0.01))
    return pd.DataFrame(rows)


def distance():
    rows = []
    for (position, base), layer, (probe, less) in product(POSITIONS.items(), LAYERS, PROBES.items()):
        key = {"position": position, "layer": layer, "probe": probe}
        for metric, control in product(("r2", "mae"), ("none", "shuffled", "untrained", "majority")):
            value = base + less + peak(layer) if control == "none" else -0.02 * len(control)
            rows.append(key | {"control": control, "metric": metric} | around(value))
    return pd.DataFrame(rows)


def directions():
    targets = {"agent_row": "r2", "goal_column": "r2", "goal_right": "balanced_accuracy", "wall_left": "auroc"}
    return pd.DataFrame([
        {"position": position, "layer": layer, "target": t, "probe": "linear", "control": c, "metric": m}
        | around(base + peak(layer) if c == "none" else (0.0 if m == "r2" else 0.5))
        for (position, base), layer, (t, m), c in product(
            POSITIONS.items(), LAYERS, targets.items(), ("none", "shuffled", "untrained")
        )
    ])  # fmt: skip


def decoded_actions():
    values = {"accuracy": {"true": 0.9, "decoded": 0.8, "other grids": 0.5},
              "recovery": {"decoded": 0.5, "other grids": 0.3}}  # fmt: skip
    return pd.DataFrame([
        {"position": p, "map": m, "metric": metric, "n": 500} | around(value)
        for p in POSITIONS for metric, by_map in values.items() for m, value in by_map.items()
    ])  # fmt: skip


def causal():
    rows = []
    for layer, direction in product(LAYERS[1:], ("probe", "random")):
        key = {"layer": layer, "direction": direction}
        for multiplier in (-4.0, -2.0, -1.0, 1.0, 2.0, 4.0):
            value = 0.1 * multiplier * (direction == "probe") * layer / 2
            rows.append(key | {"kind": "steer", "multiplier": multiplier, "metric": "shift"} | around(value))
        value = 0.6 if direction == "probe" else 0.9
        rows.append(key | {"kind": "erase", "multiplier": 0.0, "metric": "accuracy"} | around(value))
    return pd.DataFrame(rows)


def claims():
    return pd.DataFrame({
        "on": "pre", "estimate": 0.0, "low": 0.0, "high": 0.0,
        "claim": ["MLP above linear", "map accuracy before above after the reasoning"],
        "held": [True, False], "evidence": ["+0.20 [+0.17, +0.23]", "-0.01 [-0.03, +0.02]"],
    })  # fmt: skip


def tables():
    made = (behaviour, by_distance, calibration, transforms, structures, maps, plans, distance, directions,
            decoded_actions, causal, claims)  # fmt: skip
    return {make.__name__: make() for make in made}


def example(layout: Layout, seed: int, map_size: int = 9):
    """(tensors, JSON) of a trajectory that takes the last optimal move but once bumps, with noisy decoded maps."""
    rng, state, steps, true = np.random.default_rng(seed), layout.initial, [], []
    for k in range(STEPS):
        best = layout.optimal_moves(state)
        if not best:
            break
        move = best[-1] if k != 1 else next(m for m in range(4) if m not in best)
        grid = np.full((map_size, map_size), 6)
        grid[: layout.size, : layout.size] = layout.walls
        grid[layout.goal], grid[state.cell] = 3, 2
        (row, column), text = state.cell, f'At {state.cell[0]} {state.cell[1]}.\n{{"action": {int(move)}}}'
        steps.append({"row": row, "column": column, "has_key": state.has_key, "move": int(move), "completion": text,
                      "optimal": [int(m) for m in best]})  # fmt: skip
        true.append(grid)
        state = layout.after(state, type(best[0])(move))
    maps = np.eye(CLASSES)[np.stack(true)]
    noise = rng.dirichlet(np.full(CLASSES, 0.5), maps.shape[:-1])
    tensors = {"true": np.stack(true), "map_pre": 0.65 * maps + 0.35 * noise, "map_post": 0.45 * maps + 0.55 * noise}
    for name in ("plan_pre", "plan_post"):
        tensors[name] = rng.dirichlet(np.full(5, 0.3), (len(steps), 10))
    place = {"rows": list(layout.rows), "start": list(layout.start), "goal": list(layout.goal), "key": None}
    return tensors, place | {"door": None, "size": layout.size, "steps": steps}


def examples():
    """(tensors, JSON) of two trajectories, as a run saves them."""
    tensors, described = {}, []
    for k, (size, density) in enumerate(((7, 0.4), (9, 1.0))):
        arrays, info = example(make_layout(size, density, seed=k), k)
        tensors |= {f"{name}-{k}": array for name, array in arrays.items()}
        described.append(info)
    assert State(tuple(described[0]["start"])).has_key is False
    return tensors, described


def write_run(root, name="first", leave_out=()):
    """A finished run folder below ``root``, without the tables (or ``examples``) in ``leave_out``."""
    with RunFolder.open(root, "goal-directedness", {"model": "tiny", "seed": 0}, name=name) as run:
        for step in run.plan(["behaviour-direct"]):
            run.write(step, behaviour())
        for table, frame in tables().items():
            if table not in leave_out:
                run.save_table(table, frame)
        if "examples" not in leave_out:
            tensors, described = examples()
            run.save_tensors("examples", tensors)
            run.write_json("examples", described)
    return run.path
