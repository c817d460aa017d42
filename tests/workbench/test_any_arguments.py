"""Whatever is handed to the public API ends in a result, or in a ``WorkbenchError`` whose text is one line.

Each function of ``CALLS`` is called with random combinations: an argument is one that makes sense, or anything at all
(``ANYTHING``).  ``WORKBENCH_ANY_ARGUMENTS=50000`` tries that many combinations, ``WORKBENCH_ANY_SEED=1`` others.
"""

from __future__ import annotations

import faulthandler
import os
import random
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import probes
import steering
from probes import duplicate_groups, evaluate, group_folds, group_holdout, leace, make_probe, online_code
from steering import Add, SteeringVector
from tests.workbench.anything import ANYTHING, Make
from workbench.activations import ActivationSet, capture, replay
from workbench.errors import WorkbenchError
from workbench.labels import label_array
from workbench.models import Scope, load_model
from workbench.models.continuations import as_generated
from workbench.models.interventions import Window
from workbench.models.tiny import tiny_model
from workbench.runs import RunFolder, list_runs, load_results, load_run, make_engine, spec_hash
from workbench.sites import Site, parse_sites
from workbench.spec_files import read_spec_file
from workbench.statistics import (
    cluster_bootstrap,
    cluster_bootstrap_difference,
    corrected_entropy,
    plugin_entropy,
    wilson,
)
from workbench.worlds.bandits import BernoulliBandit, GaussianBandit, make_oracle, play, reward_table
from workbench.worlds.bandits.text import BanditText
from workbench.worlds.grids.grid import GridEnv
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.pinpad.env import PinpadEnv
from workbench.worlds.pinpad.pinpad import Pinpad

N_CALLS = int(os.environ.get("WORKBENCH_ANY_ARGUMENTS", "1500"))
SEED = int(os.environ.get("WORKBENCH_ANY_SEED", "0"))
SECONDS = 60  # after which a call hangs


@cache
def _model() -> Any:
    return tiny_model("llama")


@cache
def _rows() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    return x, (x[:, 0] > 0).astype(int), np.arange(40) // 2, x[:, 1] + 1


def _set() -> ActivationSet:
    x, y, groups, _ = _rows()
    return ActivationSet({"1.resid_post": torch.from_numpy(x)}, {"y": y, "word": ["a", "b"] * 20}, groups)


X = [
    lambda: _rows()[0],
    lambda: torch.from_numpy(_rows()[0]).float(),
    lambda: pd.DataFrame(_rows()[0]),
    lambda: _rows()[0].tolist(),
]
Y = [
    lambda: _rows()[1],
    lambda: ["yes" if y else "no" for y in _rows()[1]],
    lambda: pd.Series(_rows()[1]),
    lambda: torch.from_numpy(_rows()[1]),
    lambda: _rows()[1] > 0,
]
NUMBERS = [lambda: _rows()[3], lambda: torch.from_numpy(_rows()[3]), lambda: pd.Series(_rows()[3])]
GROUPS = [
    lambda: _rows()[2],
    lambda: _rows()[2].tolist(),
    lambda: pd.Series(_rows()[2]),
    lambda: [f"g{g}" for g in _rows()[2]],
]
PROMPTS = [
    lambda: ["a b", "c"],
    lambda: [[5, 6, 7], [8]],
    lambda: np.array([[5, 6], [7, 8]]),
    lambda: [[{"role": "user", "content": "a"}], "b"],
]
SITES = [lambda: 1, lambda: "2.mlp_out", lambda: [0, -1], lambda: range(2), lambda: Site(3), lambda: [np.int64(2)]]
STEER = [lambda: [], lambda: [Add(torch.ones(32), 2.0, site=1)], lambda: (_steer_once(),)]
INT = [lambda: 1, lambda: 2, lambda: np.int64(3), lambda: torch.tensor(2)]
SEED_ = [lambda: 0, lambda: np.int64(7), lambda: -5]
VECTOR = [
    lambda: torch.randn(32),
    lambda: SteeringVector(1, torch.ones(32)),
    lambda: np.ones(32),
    lambda: torch.ones(2, 32),
]
SITE = [lambda: 1, lambda: "1.resid_post", lambda: Site(2), lambda: None]
MULTIPLIER = [lambda: 1.0, lambda: -2, lambda: torch.tensor([1.0, 2.0]), lambda: np.float64(0.5), lambda: [1.0, 2.0]]
SCOPE = [lambda: "prompt", lambda: Scope(), lambda: "generation[0:2]"]
SMALL = [lambda: 40, lambda: np.int64(50)]


def _steer_once() -> Any:
    return Add(SteeringVector(2, torch.ones(32)), 0.5)


def _steered(kind: str, **given: Any) -> Any:
    made = getattr(steering, kind)(*[given.pop(name) for name in ("first", "second") if name in given], **given)
    return _model().forward(["a b", "c d"], [3], [made])


def _run(root: Any, work: Callable[[RunFolder], Any]) -> Any:
    with RunFolder.open(root, "any", {"a": 1}, f"r{random.getrandbits(40)}", {}) as run:
        return work(run)


def _played(make: Callable[..., Any], reset: Any, action: Any, **given: Any) -> Any:
    env = make(**given)
    env.reset(seed=reset)
    return env.step(action)


def calls(root: Path) -> dict[str, tuple[Callable[..., Any], dict[str, list[Make]]]]:
    """Name -> a function and, for each of its arguments, values that make sense."""
    m = _model()
    file = root / "spec.yaml"
    file.write_text("a: 1\n")
    vector = SteeringVector(1, torch.ones(32))
    erase = lambda: leace(_rows()[0], _rows()[1])  # noqa: E731
    fitted = make_probe("logistic").fit(_rows()[0], _rows()[1])
    none: Make = lambda: None  # noqa: E731
    found: dict[str, tuple[Callable[..., Any], dict[str, list[Make]]]] = {
        "load_model": (load_model, {"path_or_hub_id": [lambda: "no/such"], "backend": [lambda: "hf"], "device": [none,
            lambda: "cpu"], "dtype": [lambda: "float32"], "revision": [none], "device_map": [none],
            "trust_remote_code": [lambda: False]}),
        "forward": (m.forward, {"prompts": PROMPTS, "sites": SITES, "interventions": STEER, "logits": [lambda: True],
            "row_numbers": [none, lambda: [0, 1]], "select": [none]}),
        "generate": (m.generate, {"prompts": PROMPTS, "n": [*INT, lambda: [1, 2]], "max_new_tokens": INT,
            "temperature": [lambda: 0, lambda: 0.7], "top_p": [lambda: 0.9], "top_k": [lambda: 0, lambda: 5],
            "stop": [lambda: (), lambda: "x", lambda: ["x", "y"]], "seeds": [*SEED_, lambda: np.array([1, 2])],
            "interventions": STEER, "cache": [none, m.prompt_cache]}),
        "score": (m.score, {"prompts": PROMPTS, "continuations": [lambda: [[" b"], [" c", " d"]], lambda: [[[5, 6]],
            []]], "interventions": STEER, "cache": [none, m.prompt_cache]}),
        "encode": (m.encode, {"prompt": [lambda: "a", lambda: [5, 6]]}),
        "encode_all": (m.encode_all, {"prompts": PROMPTS}),
        "encode_continuation": (m.encode_continuation, {"text": [lambda: " b"]}),
        "decode": (m.decode, {"tokens": [lambda: [5, 6], lambda: np.array([5, 6])]}),
        "steered": (lambda interventions: m.steered(interventions).__enter__(), {"interventions": STEER}),
        "capture": (lambda **k: capture(m, **k), {"inputs": PROMPTS, "sites": SITES, "positions": [lambda: "last",
            lambda: [-1, 0], lambda: Window(0, 1), lambda: "mean"], "labels": [none, lambda: {"word": ["x", "y"]}],
            "groups": [none, lambda: ["g", "h"], lambda: [1, 2]], "batch_tokens": [none, lambda: 16], "dtype": [none,
            lambda: "float32"], "device": [lambda: "cpu"], "interventions": STEER}),
        "replay": (lambda inputs: replay(m, inputs, [1]), {"inputs": PROMPTS}),
        "as_generated": (as_generated, {"interventions": STEER, "prompt_lengths": [lambda: 2, lambda: [2, 3]]}),
        "Site": (Site, {"layer": INT, "component": [lambda: "mlp_out"]}),
        "Site.parse": (Site.parse, {"text": SITE}),
        "Site.resolve": (Site(1).resolve, {"n_layers": INT}),
        "parse_sites": (parse_sites, {"sites": SITES, "n_layers": [none, lambda: 4]}),
        "Scope": (Scope, {"prompt": [none, Window, lambda: Window(-1)], "generation": [none, Window]}),
        "Scope.parse": (Scope.parse, {"text": SCOPE}),
        "Window": (Window, {"start": [none, lambda: 1], "stop": [none, lambda: 3]}),
        "SteeringVector": (SteeringVector, {"site": [lambda: 1, lambda: Site(2)], "vector": [lambda: torch.ones(32),
            lambda: np.ones(32), lambda: [1.0, 2.0]], "fingerprint": [none, lambda: "abc"], "basis": [lambda: "raw"],
            "name": [lambda: "v"], "metadata": [dict, lambda: {"a": 1}]}),
        "vector * x": (lambda x: (vector * x, x * vector), {"x": MULTIPLIER[:2]}),
        "vector / x": (lambda x: vector / x, {"x": MULTIPLIER[:2]}),
        "vector + x": (lambda x: vector + x, {"x": [lambda: vector]}),
        "x - vector": (lambda x: x - vector, {"x": [lambda: vector]}),
        "cosine": (vector.cosine, {"other": VECTOR[:2]}),
        "project": (vector.project, {"activations": [lambda: torch.ones(3, 32)]}),
        "shuffled": (vector.shuffled, {"seed": SEED_}),
        "random_like": (vector.random_like, {"seed": SEED_}),
        "for_model": (vector.for_model, {"model": [lambda: m], "force": [lambda: True]}),
        "vector.save": (vector.save, {"path": [lambda: root / "v.safetensors"]}),
        "vector.load": (SteeringVector.load, {"path": [lambda: root / "v.safetensors"], "model": [none, lambda: m]}),
        "Add": (lambda **k: _steered("Add", **k), {"first": VECTOR, "second": MULTIPLIER, "site": SITE,
            "scope": SCOPE}),
        "Add a dose": (lambda **k: _steered("Add", **k), {"first": VECTOR, "dose": MULTIPLIER, "site": SITE,
            "scope": SCOPE}),
        "Ablate": (lambda **k: _steered("Ablate", **k), {"first": [*VECTOR, lambda: [torch.ones(32),
            torch.randn(32)]], "multiplier": MULTIPLIER, "site": SITE, "scope": SCOPE}),
        "SetProjection": (lambda **k: _steered("SetProjection", **k), {"first": VECTOR, "second": MULTIPLIER,
            "multiplier": MULTIPLIER, "site": SITE}),
        "Replace": (lambda **k: _steered("Replace", **k), {"first": VECTOR, "multiplier": MULTIPLIER, "site": SITE,
            "scope": SCOPE}),
        "Affine": (lambda **k: _steered("Affine", **k), {"first": [lambda: torch.eye(32)],
            "second": [lambda: torch.ones(32)], "multiplier": MULTIPLIER, "site": SITE}),
        "residual_norm": (steering.residual_norm, {"activations": X[:2]}),
        "strengths": (steering.strengths, {"vector": [VECTOR[1]], "doses": [lambda: [0.3, -1], lambda: np.ones(2)],
            "multipliers": [none], "model": [_model]}),
        "entropy_weighted": (steering.entropy_weighted, {"activations": X[:2], "entropy": [lambda: _rows()[3].clip(0),
            lambda: torch.rand(40)], "runs": GROUPS}),
        "mean_difference": (steering.mean_difference, {"activations": X[:2], "positive": [Y[0], Y[2], Y[4]],
            "groups": [none, *GROUPS]}),
        "pca_difference": (steering.pca_difference, {"activations": X[:2], "positive": [Y[0], Y[4]], "groups": [none,
            *GROUPS]}),
        "linear_probe_direction": (steering.linear_probe_direction, {"activations": X[:2], "positive": [Y[0], Y[4]],
            "groups": [none, *GROUPS], "C": [lambda: 1.0]}),
        "get_estimator": (steering.get_estimator, {"name": [lambda: "mean_difference"]}),
        "evaluate": (evaluate, {"probe": [lambda: make_probe("mass-mean")], "X": X, "y": Y, "groups": GROUPS,
            "folds": [lambda: 3, none], "seed": SEED_, "clusters": [none, *GROUPS],
            "controls": [lambda: ("majority",), lambda: []], "holdout": [lambda: 0.3], "metrics": [none,
            lambda: ["accuracy"]], "shuffles": INT, "resamples": SMALL, "types": [none], "control_features": [none]}),
        "evaluate set": (lambda **k: evaluate(make_probe("mass-mean"), _set(), resamples=20, folds=3, controls=(),
            **k), {"site": [none, lambda: 1], "target": [lambda: "y", lambda: "word"], "clusters": [none,
            lambda: "word"]}),
        "online_code": (online_code, {"probe": [lambda: make_probe("mass-mean")], "X": X, "y": Y, "groups": GROUPS,
            "seed": SEED_}),
        "leace": (leace, {"X": X, "y": Y, "task": [lambda: "classification"], "shrinkage": [lambda: False],
            "site": SITE, "basis": [lambda: "raw"]}),
        "erasure": (lambda x: erase()(x), {"x": [lambda: torch.ones(3, 4)]}),
        "group_folds": (group_folds, {"groups": GROUPS, "folds": [lambda: 3], "seed": SEED_, "y": [none, *Y]}),
        "group_holdout": (group_holdout, {"groups": GROUPS, "share": [lambda: 0.3], "seed": SEED_, "y": [none, *Y]}),
        "duplicate_groups": (duplicate_groups, {"keys": GROUPS, "groups": GROUPS}),
        "predict": (fitted.predict, {"X": X}),
        "predict_proba": (fitted.predict_proba, {"X": X}),
        "make_probe": (lambda name, **k: make_probe(name, **k), {"name": [lambda: "lda"]}),
        "save_probe": (lambda **k: probes.save_probe(fitted, **k), {"path": [lambda: root / "p.safetensors"],
            "site": SITE[:3], "basis": [lambda: "raw"], "fingerprint": [none], "metadata": [none, dict]}),
        "load_probe": (probes.load_probe, {"path": [lambda: root / "p.safetensors"], "model": [none]}),
        "label_array": (lambda values: label_array(values, "y"), {"values": Y}),
        "cluster_bootstrap": (cluster_bootstrap, {"values": NUMBERS, "clusters": GROUPS, "resamples": SMALL,
            "seed": SEED_[:2], "confidence": [lambda: 0.9], "statistic": [lambda: np.mean]}),
        "cluster_bootstrap_difference": (cluster_bootstrap_difference, {"a": NUMBERS, "b": NUMBERS,
            "clusters_a": GROUPS[:3], "clusters_b": GROUPS[:3], "resamples": SMALL, "seed": SEED_[:2],
            "paired": [lambda: True]}),
        "wilson": (wilson, {"successes": INT, "trials": [lambda: 5, lambda: np.int64(7)],
            "confidence": [lambda: 0.9]}),
        "plugin_entropy": (plugin_entropy, {"counts": [lambda: [3, 4], lambda: np.array([[1, 2]]),
            lambda: torch.tensor([1, 2])]}),
        "corrected_entropy": (corrected_entropy, {"counts": [lambda: [3, 4], lambda: pd.Series([1, 2])]}),
        "ActivationSet": (ActivationSet, {"activations": [lambda: {1: torch.ones(2, 3)},
            lambda: {"1.resid_post": np.ones((2, 3))}], "labels": [lambda: {"a": [1, 2]}, pd.DataFrame],
            "groups": [none, lambda: "a", lambda: [1, 2]], "fingerprint": [none], "basis": [lambda: "raw"],
            "model": [lambda: "m"]}),
        "set.select": (lambda rows: _set().select(rows), {"rows": [lambda: [0, 2], lambda: slice(2),
            lambda: torch.tensor([1])]}),
        "set.xy": (lambda site, target: _set().xy(site, target), {"site": SITE[:2], "target": [lambda: "y"]}),
        "set[site]": (lambda site: _set()[site], {"site": SITE[:2]}),
        "concatenate": (ActivationSet.concatenate, {"sets": [lambda: [_set(), _set()]]}),
        "set.save": (lambda folder: _set().save(folder),
            {"folder": [lambda: root / f"set-{random.getrandbits(40)}"]}),
        "set.load": (ActivationSet.load, {"folder": [lambda: root / "no-set"]}),
        "RunFolder.open": (lambda **k: RunFolder.open(**k).close(), {"root": [lambda: root],
            "experiment": [lambda: "any"], "spec": [lambda: {"a": 1}], "name": [none, lambda: "n"],
            "provenance": [dict]}),
        "run.plan": (lambda steps: _run(root, lambda run: run.plan(steps)), {"steps": [lambda: ["a", "b"]]}),
        "run.write": (lambda step, frame: _run(root, lambda run: run.write(step, frame)), {"step": [lambda: "a"],
            "frame": [lambda: pd.DataFrame({"a": [1]})]}),
        "run.save_tensors": (lambda **k: _run(root, lambda run: run.save_tensors(**k)), {"name": [lambda: "a"],
            "tensors": [lambda: {"a": torch.ones(2)}], "metadata": [none, dict]}),
        "run.save_table": (lambda **k: _run(root, lambda run: run.save_table(**k)), {"name": [lambda: "a"],
            "frame": [lambda: pd.DataFrame({"a": [1]})]}),
        "run.write_json": (lambda **k: _run(root, lambda run: run.write_json(**k)), {"name": [lambda: "a"],
            "data": [dict]}),
        "run.log": (lambda message: _run(root, lambda run: run.log(message)), {"message": [lambda: "a"]}),
        "list_runs": (list_runs, {"root": [lambda: root / "empty"]}),
        "load_run": (load_run, {"path": [lambda: root / "empty"]}),
        "load_results": (load_results, {"path": [lambda: root / "empty"]}),
        "spec_hash": (spec_hash, {"spec": [lambda: {"a": 1}]}),
        "make_engine": (make_engine, {"name": [lambda: "local"], "folder": [lambda: root], "jobs": [none, lambda: 2],
            "parameters": [none, dict]}),
        "read_spec_file": (read_spec_file, {"path": [lambda: file]}),
        "GaussianBandit": (lambda **k: _played(GaussianBandit, **k), {"means": [lambda: (1, 2), lambda: np.array([1.0,
            2.0])], "sigma": [lambda: 1.0], "horizon": INT, "reset": [none, lambda: 3], "action": [lambda: 0,
            lambda: np.int64(1)]}),
        "BernoulliBandit": (lambda **k: _played(BernoulliBandit, **k), {"probabilities": [lambda: (0.2, 0.8)],
            "horizon": INT, "reset": [none, lambda: 3], "action": [lambda: 0]}),
        "play": (play, {"oracle": [lambda: "greedy", lambda: "ucb"],
            "environments": [lambda: GaussianBandit(horizon=3)], "seeds": [lambda: [1, 2], lambda: np.array([3])],
            "horizon": [none, lambda: 2]}),
        "make_oracle": (make_oracle, {"name": [lambda: "greedy"]}),
        "BanditText": (lambda action, **k: BanditText(**k).instructions() + BanditText(**k).action(action),
            {"rendering": [lambda: "buttons"], "wording": [lambda: 1], "n_arms": INT, "horizon": INT,
            "action": [lambda: 0]}),
        "make_layout": (make_layout, {"size": [lambda: 5, lambda: np.int64(7)], "density": [lambda: 0.5],
            "structure": [lambda: "maze"], "seed": SEED_, "held_out": [none, lambda: True]}),
        "GridEnv": (lambda **k: _played(GridEnv, **k), {"size": [lambda: 5, lambda: np.int64(7)],
            "density": [lambda: 0.5], "held_out": [none], "reset": [none, lambda: 3], "action": [lambda: 0,
            lambda: np.int64(1)]}),
        "Pinpad": (Pinpad, {"size": [lambda: 7], "colours": [lambda: 8], "walls": [lambda: 4],
            "horizon": [lambda: 10], "distance": [lambda: 1], "subgoal": [lambda: 2],
            "observation": [lambda: "onehot"]}),
        "PinpadEnv": (lambda **k: _played(PinpadEnv, **k), {"world": [lambda: "small"],
            "task": [lambda: "pretraining", lambda: (0, 1)], "reset": [none, lambda: 3], "action": [lambda: 0]}),
        "reward_table": (lambda **k: reward_table(GaussianBandit().arms, **k), {"seeds": [lambda: [1, 2]],
            "horizon": INT}),
    }  # fmt: skip
    for name in probes.PROBES:
        y = NUMBERS if "regression" in name else Y
        kind = probes.probe_class(name)
        own = {p: [] for p in kind._get_param_names()}
        fixed = {"epochs": [lambda: 1]} if "epochs" in own else {}
        found[f"{name}.fit"] = (_fit(name), {"X": X, "y": y, "groups": [none, *GROUPS], **own, **fixed})
    return found


def _fit(name: str) -> Callable[..., Any]:
    def fit(X: Any, y: Any, groups: Any, **parameters: Any) -> Any:
        return make_probe(name, **parameters).fit(X, y, groups)

    return fit


def draw(rng: random.Random, parameters: dict[str, list[Make]]) -> dict[str, tuple[str, Make]]:
    """Arguments by name, each as what it is called and what makes it; mostly sensible, a few of them anything."""
    wild = rng.choice((0.0, 0.1, 0.3, 1.0)) if len(parameters) > 1 else 0.8
    found = {}
    for name, sensible in parameters.items():
        if rng.random() < wild:
            label = rng.choice(list(ANYTHING))
            found[name] = (label, ANYTHING[label])
        elif sensible:
            number = rng.randrange(len(sensible))
            found[name] = (f"sensible {number}", sensible[number])
    return found


def trial(call: Callable[..., Any], arguments: dict[str, tuple[str, Make]]) -> BaseException | None:
    """What is wrong with how a call ended; None where nothing is."""
    made = {name: make() for name, (_, make) in arguments.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call(**made)
        if isinstance(result, torch.Tensor | np.ndarray) and result.dtype in (torch.float32, torch.float64, float):
            assert np.isfinite(np.asarray(result)).all(), f"a result that is not finite: {result}"
    except WorkbenchError as error:
        return AssertionError(f"not one line: {str(error)!r}") if "\n" in str(error) or not str(error) else None
    except Exception as error:  # whatever it is, it is what this looks for
        return error
    return None


def failures(root: Path, n_calls: int, seed: int) -> Iterator[tuple[str, dict[str, tuple[str, Make]], BaseException]]:
    """Each call that ended badly, with its arguments and what was raised."""
    rng, known = random.Random(seed), calls(root)
    for _ in range(n_calls):
        name = rng.choice(list(known))
        call, parameters = known[name]
        arguments = draw(rng, parameters)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        if (error := trial(call, arguments)) is not None:
            yield name, arguments, error
    faulthandler.cancel_dump_traceback_later()


def test_any_arguments_end_in_a_result_or_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what takes a path may be handed any
    for name, arguments, error in failures(tmp_path, N_CALLS, SEED):
        given = ", ".join(f"{key}={label}" for key, (label, _) in arguments.items())
        raise AssertionError(f"{name}({given}) raised {type(error).__name__}: {error}") from error
