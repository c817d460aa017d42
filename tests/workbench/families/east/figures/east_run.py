"""Tables with the columns that an EAST run writes, made from formulas, and a finished run folder that holds them.

Shared by the tests of the figures and of the explorer.
"""

from itertools import product

import numpy as np
import pandas as pd

from workbench.runs import RunFolder

RENDERINGS = ("buttons", "slot_machines")
SETTINGS = ("(95, 105)", "(100, 100)")
MULTIPLIERS = (-2.0, 1.0, 2.0, 4.0, 8.0)
LAYERS, HORIZON, EPISODES = 4, 12, 5
CHOSEN = {"layer": 2, "dose": 0.2, "multiplier": 4.0}
NO_VECTOR = {"layer": -1, "multiplier": 0.0, "source": "", "dose": 0.0}


def level(method, layer, multiplier, metric):
    """Entropy rises with the multiplier, most at layer 2; validity falls at the end; controls are flat."""
    gain = {"east": 0.04, "mean_difference": 0.03, "unweighted": 0.02}.get(method, 0.002)
    entropy = 0.25 + gain * multiplier / (1 + abs(layer - 2)) + (0.05 if method == "temperature" else 0)
    return entropy if metric == "entropy" else (0.6 if method == "east" and multiplier >= 8 else 0.99)


def condition(kind, rendering, method, **values):
    row = {"set": kind, "rendering": rendering, "method": method, "temperature": 1.0, "top_p": 1.0, "prompts": 60}
    row |= NO_VECTOR | values
    for metric in ("entropy", "valid"):
        value = level(method, row["layer"], row["multiplier"], metric)
        change = value - level("unsteered", -1, 0.0, metric)
        found = {"metric": metric, "estimate": value, "low": value - 0.03, "high": value + 0.02}
        yield row | found | {"difference": change, "difference_low": change - 0.03, "difference_high": change + 0.02}


def results():
    rows = []
    for r in RENDERINGS:
        for kind in ("select", "test"):
            rows += condition(kind, r, "unsteered")
        for layer, m in product(range(LAYERS), MULTIPLIERS):
            rows += condition("select", r, "east", layer=layer, multiplier=m, source=r, dose=m / 20)
        at = {"layer": CHOSEN["layer"], "source": r}
        for m in MULTIPLIERS:
            rows += condition("test", r, "east", multiplier=m, dose=m / 20, **at)
        for method, m in product(("shuffled", "random"), MULTIPLIERS[1:]):
            rows += condition("test", r, method, multiplier=m, dose=m / 20, **at)
        for method in ("uncentred", "unweighted", "mean_difference"):
            rows += condition("test", r, method, multiplier=CHOSEN["multiplier"], dose=CHOSEN["dose"], **at)
        other = RENDERINGS[1 - RENDERINGS.index(r)]
        rows += condition("test", r, "east", multiplier=4.0, dose=0.2, layer=2, source=other)
        rows += [*condition("test", r, "temperature", temperature=1.5), *condition("test", r, "top_p", top_p=0.9)]
        rows += condition("test", r, "request")
    return pd.DataFrame(rows)


def steps(rendering, method):
    rng = np.random.default_rng([len(rendering), len(method)])
    rows = []
    for i, setting in enumerate(SETTINGS):
        for episode, step in product(range(EPISODES), range(HORIZON)):
            arm = int(rng.random() < (0.5 if method == "east" else 0.8))
            thought = " Perhaps the other one." if method == "east" else " Button 2 is better."
            rows.append({
                "rendering": rendering, "method": method, "setting": setting, "episode": episode + i * EPISODES,
                "seed": episode, "step": step, "arm": arm, "reward": 100.0 + arm, "regret": 10.0 * (1 - arm) * (i == 0),
                "entropy": 0.69 / (1 + step), "valid": 1.0, "feedback": f"You got {100 + arm}.",
                "completion": f"{thought}\nAction: I choose Button {arm + 1}.",
            })  # fmt: skip
    return pd.DataFrame(rows)


def units():
    """Rows by unit, with the names that a run gives them."""
    found = {}
    for r in RENDERINGS:
        found[f"vectors-{r}"] = pd.DataFrame([
            {"rendering": r, "estimate": estimate, "layer": layer, "norm": 0.5 + layer + 0.1 * k,
             "residual_norm": 10.0 * (layer + 1), "half_cosine": 0.5 + 0.1 * layer - 0.1 * k}
            for k, estimate in enumerate(("east", "uncentred", "unweighted", "mean_difference"))
            for layer in range(LAYERS)
        ])  # fmt: skip
        found[f"behaviour-{r}"] = steps(r, "unsteered")
        found[f"test-{r}"] = pd.DataFrame({"rendering": [r], "method": ["unsteered"], "texts": ['["a"]']})
        found[f"thoughts-{r}"] = pd.DataFrame([
            {"rendering": r, "prompt": p, "episode": p, "step": p, "share": share, "p_first": 0.5,
             "certainty": 0.5 + 0.4 * share * (0.5 if m == "east" else 1) + 0.01 * p, "method": m}
            for m in ("unsteered", "east") for p in range(HORIZON) for share in np.linspace(0, 1, 5)
        ])  # fmt: skip
        found[f"steered-{r}"] = pd.concat([steps(r, "east"), steps(r, "shuffled")], ignore_index=True)
    return found


def tables():
    """Artifact tables by name."""
    keys = list(product(RENDERINGS, ("unsteered", "east", "shuffled"), SETTINGS))
    rows = [dict(zip(("rendering", "method", "setting"), key, strict=True)) for key in keys]
    behaviour = [
        row
        | {
            "measure": measure,
            "estimate": 50.0 + 5 * i,
            "low": 40.0 + 5 * i,
            "high": 70.0 + 5 * i,
            "episodes": EPISODES,
        }
        for i, row in enumerate(rows)
        for measure in ("regret", "reward")
    ]
    by_step = [
        row
        | {"step": t, "estimate": 0.69 / (1 + t), "low": 0.6 / (1 + t), "high": 0.75 / (1 + t), "episodes": EPISODES}
        for row in rows
        for t in range(HORIZON)
    ]
    vocabulary = {"perhaps": (40, 10, 4.0), "unsure": (30, 10, 3.0), "clearly": (10, 30, 0.33), "rare": (1, 0, 9.0)}
    words = [
        {"word": w, "steered": a, "unsteered": b, "ratio": ratio, "rendering": r}
        for r in RENDERINGS
        for w, (a, b, ratio) in vocabulary.items()
    ]
    orderings = [
        {"rendering": r, "ordering": name, "held": held, "evidence": "+0.16 [+0.13, +0.18]"}
        for r in RENDERINGS
        for name, held in (("entropy rises with the multiplier", True), ("an interior layer is best", False))
    ]
    named = {
        "results": results(),
        "orderings": orderings,
        "behaviour": behaviour,
        "entropy_by_step": by_step,
        "words": words,
    }
    return {name: pd.DataFrame(table) for name, table in named.items()}


def write_run(root, name="first"):
    """A finished run folder below ``root``."""
    with RunFolder.open(root, "east", {"model": "tiny", "min_valid": 0.95, "seed": 0}, name=name) as run:
        rows = units()
        for unit in run.plan(list(rows)):
            run.write(unit, rows[unit])
        for table, frame in tables().items():
            run.save_table(table, frame)
        run.write_json("chosen", dict.fromkeys(RENDERINGS, CHOSEN))
    return run.path
