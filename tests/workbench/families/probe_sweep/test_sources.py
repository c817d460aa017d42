"""What a source is asked for and must return, and which task labels have."""

import importlib
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.activations import ActivationSet, capture
from workbench.activations.sources import Source, infer_task
from workbench.errors import DataError
from workbench.families.probe_sweep import SweepSpec, run, sources
from workbench.models import load_model
from workbench.models.untrained import untrained
from workbench.runs import RunFolder, load_results, load_run

TEXTS = [f"{first} {second} {'a' if number % 2 else 'b'}" for number, (first, second) in enumerate(["cd", "de"] * 12)]


@pytest.fixture
def own(monkeypatch):
    """A source that somebody wrote: register it and return the calls it gets."""
    calls = []

    def take(options, *, model, reader, sites, positions, device, progress):
        calls.append({"model": model.name, "reader": reader.name, "sites": sites, "positions": positions})
        shift = options.get("drift", 0) * (len(calls) - 1)
        labels = {"odd": np.roll(np.arange(24) % 2 == 1, shift)}
        found = capture(reader, TEXTS, sites, "last", labels=labels, groups=np.arange(24) // 2)
        return {name: found for name in positions}

    module = ModuleType("own_source")
    vars(module)["OWN"] = Source(take, check=lambda options, positions: {"odd": "classification"})
    monkeypatch.setitem(sys.modules, "own_source", module)
    monkeypatch.setitem(sources(), "own", lambda: importlib.import_module("own_source").OWN)
    return calls


@pytest.fixture
def sweep(own, sweep_base, tmp_path):
    def go(**changes):
        fields = {
            "source": {"kind": "own"}, "models": ["tiny"], "device": "cpu", "sites": [2], "targets": ["odd"],
            "probes": ["mass-mean"], "folds": 3, "shuffles": 1, "resamples": 20,
        }  # fmt: skip
        return run(SweepSpec.model_validate(fields | changes), tmp_path, "own", base=sweep_base, jobs=1)

    return go


def test_source_gets_the_model_its_reader_the_sites_and_the_positions_as_written(own, sweep):
    sweep(controls=["untrained"], positions={"end": {"anything": 3}})
    first, second = own
    assert first["model"] == first["reader"] == second["model"]
    assert second["reader"] == f"{first['model']}-untrained-0"
    assert [str(site) for site in first["sites"]] == ["blocks.2.hook_resid_post"]
    assert first["positions"] == {"end": {"anything": 3}}


def test_untrained_rows_that_are_not_the_models_rows_are_an_error(sweep):
    rows = load_results(sweep(controls=["untrained"], source={"kind": "own", "drift": 1}))
    assert "the source must replay the same" in rows["error"].iloc[0]


def test_positions_that_the_source_leaves_out_are_an_error(own, sweep, monkeypatch):
    monkeypatch.setattr(sys.modules["own_source"], "OWN", Source(lambda *_, **__: {}))
    with pytest.raises(DataError, match=r"gave positions \[\], not \['last'\]"):
        sweep(targets=[{"column": "odd", "task": "classification"}])


def test_an_untrained_model_of_its_own_is_read_while_the_trained_one_acts(own, sweep, sweep_base):
    path = sweep(models=["tiny", {"model": "tiny", "untrained": 4}])
    assert own[1]["model"] == own[0]["model"] and own[1]["reader"].endswith("-untrained-4")
    saved = [
        ActivationSet.load(path / "artifacts" / "activations" / name / "last") for name in ("tiny", "tiny-untrained-4")
    ]
    assert not torch.allclose(saved[0][2], saved[1][2])
    untrained_model = untrained(load_model(sweep_base / "tiny", device="cpu"), 4)
    assert saved[1].fingerprint == untrained_model.fingerprint


def test_a_capture_that_was_interrupted_begins_anew(own, sweep, tmp_path, monkeypatch):
    def interrupted(self, name, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(RunFolder, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sweep()
    assert load_run(tmp_path / "sweep" / "own").status.state == "interrupted"
    path = sweep()
    assert len(own) == 2 and load_run(path).status.state == "finished"
    assert set(load_results(path)["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"], "classification"),
        ([True, False], "classification"),
        ([1, 2, 3], "classification"),
        ([1.0, 2.0, None], "classification"),
        (list(range(30)), "regression"),
        ([0.5, 1.0], "regression"),
    ],
)
def test_tasks_are_inferred_from_the_labels(values, task):
    assert infer_task(pd.Series(values)) == task
