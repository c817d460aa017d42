"""Beliefs: how well a linear probe reads the subgoal in force off every layer, and when in training that comes.

The subgoal is never observed, so what is read is what the model has inferred; no reader can do better than the exact
Bayes filter, whose accuracy on the same steps stands beside each probe.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probes import make_probe
from probes.evaluation import evaluate
from workbench.activations import capture
from workbench.families.internal_rl.base import sites_of
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.expert import measured_episodes, subgoals_of
from workbench.families.internal_rl.intervals import row
from workbench.files import make_folder, write_bytes
from workbench.models.sequence_model import SequenceModel
from workbench.models.untrained import untrained
from workbench.runs.tensors import read_tensors, tensor_bytes
from workbench.sites import Site
from workbench.statistics import Interval, cluster_bootstrap
from workbench.training.loop import train
from workbench.worlds.pinpad.beliefs import bayes_filter
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.tasks import pretraining_tasks
from workbench.worlds.pinpad.training import base as pinpad_base

Row = dict[str, Any]


class _Probed:
    """The steps that are probed: of each its episode, the subgoal in force and the Bayes filter's guess."""

    def __init__(self, run: InternalRLRun) -> None:
        self.run, self.episodes = run, measured_episodes(run, "beliefs", run.spec.probe_episodes)
        mask, size = self.episodes.mask, run.world.subgoal
        self.episode = mask.nonzero()[:, 0].cpu().numpy()
        self.subgoal = subgoals_of(self.episodes)[mask].cpu().numpy()
        colours = bayes_filter(self.episodes, pretraining_tasks(run.world)).colours[mask]
        best = colours.unflatten(-1, (-1, size)).sum(-1).argmax(-1).cpu().numpy()
        self.bayes = cluster_bootstrap(best == self.subgoal, self.episode)

    def activations(self, model: SequenceModel, sites: list[Site]) -> dict[Site, np.ndarray]:
        """[steps, d] of each site."""
        inputs = [o[:n] for o, n in zip(self.episodes.observations, self.episodes.lengths.tolist(), strict=True)]
        found = capture(model, inputs, sites, positions="all")
        return {site: x.float().numpy() for site, x in found.activations.items()}

    def rows(self, x: np.ndarray, controls: dict[str, np.ndarray], shuffled: bool) -> tuple[list[Row], np.ndarray]:
        """Accuracy of a probe on ``x``, of its controls, and of the Bayes filter; and whether the probe was right at
        each step."""
        result = evaluate(
            make_probe("logistic"), x, self.subgoal, self.episode, folds=self.run.spec.folds,
            seed=self.run.seed("folds"), controls=("majority", "shuffled") if shuffled else (), shuffles=1,
            control_features=controls, metrics=("accuracy",), resamples=1000,
        )  # fmt: skip
        rows = [row("accuracy", self.bayes, control="bayes")]
        for found in result.table.itertuples():
            rows.append(row("accuracy", Interval.of(found), control=found.control))
            if found.control != "none":
                rows.append(row("lead", Interval.of(found, "difference"), control=found.control))
        guesses = result.predictions.sort_values("row")
        return rows, (guesses["predicted"] == guesses["y"]).to_numpy()


def belief_rows(run: InternalRLRun) -> pd.DataFrame:
    """Every layer of the base: rows ``share, site, layer, control, measure``.

    ``control`` is ``none`` for the probe itself, ``majority``, ``shuffled``, ``untrained`` (a model of random weights)
    or ``bayes``; ``lead`` is the probe less the control, step by step.
    """
    probed, sites = _Probed(run), sites_of(run.base.n_layers)
    control = untrained(run.base, run.seed("untrained") % 2**32)
    other = probed.activations(control, sites)
    return _by_depth(probed, "beliefs", [(1.0, run.base, {site: {"untrained": x} for site, x in other.items()})], True)


def history_rows(run: InternalRLRun) -> pd.DataFrame:
    """A second base, trained from scratch with another seed and probed along its training: rows as of the beliefs."""
    return _by_depth(_Probed(run), "history", [(share, model, {}) for share, model in _snapshots(run)], False)


Probing = tuple[float, SequenceModel, dict[Site, dict[str, np.ndarray]]]
"""Share of training, the model then, and features of controls by site."""


def _by_depth(probed: _Probed, name: str, models: list[Probing], shuffled: bool) -> pd.DataFrame:
    """The rows of every model and site; which steps were read rightly goes to an artifact, for paired differences."""
    rows: list[Row] = []
    kept = {"episode": torch.tensor(probed.episode)}
    for share, model, controls in models:
        sites = sites_of(model.n_layers)
        x = probed.activations(model, sites)
        for depth, site in enumerate(sites):
            found, right = probed.rows(x[site], controls.get(site, {}), shuffled)
            rows += [{"share": share, "site": str(site), "layer": depth} | each for each in found]
            kept[f"{share:g}.{depth}"] = torch.tensor(right)
    probed.run.save_tensors(name, kept)
    return pd.DataFrame(rows)


def _snapshots(run: InternalRLRun) -> Iterator[tuple[float, SequenceModel]]:
    """The second base at every share of its training."""
    spec = run.spec
    recipe, seed = replace(pinpad_base.PRESETS[spec.recipe], world=run.world), spec.seed + 1
    if spec.history_tokens is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, tokens=spec.history_tokens))
    model = pinpad_base.new_base(recipe, seed).to(run.base.device)  # type: ignore[arg-type]
    folder = run.checkpoints("history")
    _train_with_snapshots(run, model, recipe, seed, folder)
    for share in spec.history:
        weights = read_tensors(_snapshot(folder, share))[0]
        then = copy.deepcopy(model)
        then.load_state_dict(weights)
        yield share, SequenceModel(then.eval().requires_grad_(False), f"history-{share:g}")


def _snapshot(folder: Any, share: float) -> Any:
    return folder / f"share-{share:g}.safetensors"


def _train_with_snapshots(run: InternalRLRun, model: Any, recipe: pinpad_base.Recipe, seed: int, folder: Any) -> None:
    """The recipe, with a snapshot as training passes each share; a resumed training keeps those it has."""
    data = pinpad_base.ExpertBatches(recipe, seed, run.base.device)
    make_folder(folder)
    identity = {"model": pinpad_base.NAME, "preset": run.spec.recipe, "seed": seed, "history": True}
    identity["data"] = pinpad_base.DRAWING

    def keep(done: float) -> None:
        for share in run.spec.history:
            path = _snapshot(folder, share)
            if share <= done and not path.exists():
                write_bytes(path, tensor_bytes(model.state_dict()))

    def step_loss(step: int, done: float) -> tuple[Tensor, int]:
        keep(done)
        episodes: Episodes = data(step)
        with torch.autocast(run.base.device.type, dtype=torch.bfloat16):
            loss, _ = pinpad_base.sequence_loss(model, episodes, recipe.observation_weight)
        return loss, int(episodes.lengths.sum())

    train(model, step_loss, recipe.schedule, folder, identity, run.report("history"))
    keep(1.0)
