from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from probes import make_probe
from probes.saving import load_probe, save_probe
from steering import probe_vector
from steering.from_probe import probe_weights
from workbench.errors import DataError, SiteError

X = np.random.default_rng(0).normal(size=(60, 8))


def test_it_is_the_probes_direction_at_the_site_and_of_the_model_it_was_saved_with(tmp_path, model):
    probe = make_probe("ridge").fit(X, X[:, 2] > 0)
    save_probe(probe, tmp_path / "p.safetensors", site=3, basis="raw", fingerprint="model-a")
    found = probe_vector(load_probe(tmp_path / "p.safetensors"), model=model, name="up")
    np.testing.assert_allclose(found.vector, probe.direction_, atol=1e-6)
    assert (found.site.layer, found.fingerprint, found.name, found.norm) == (3, "model-a", "up", pytest.approx(1))


def test_of_several_classes_one_is_said():
    probe = make_probe("logistic").fit(X, np.argmax(X[:, :3], axis=1))
    weights, bias = probe_weights(probe, target=1)
    np.testing.assert_allclose(weights, probe.coef_[1], rtol=1e-5)
    assert bias == pytest.approx(probe.intercept_[1])
    with pytest.raises(DataError, match="3 targets: say which, target=0"):
        probe_vector(probe, site=3)
    with pytest.raises(DataError, match="unknown class of the probe 7"):
        probe_vector(probe, site=3, target=7)


def test_what_is_no_fitted_probe_or_knows_no_site_is_refused_in_one_line():
    with pytest.raises(DataError, match=r"^\w+ has no coef_[^\n]*$"):
        probe_vector(object(), site=3)
    fitted = SimpleNamespace(direction_=np.ones(4))
    with pytest.raises(SiteError, match="pass site="):
        probe_vector(fitted)
    assert torch.allclose(probe_vector(fitted, site=3).vector, torch.full((4,), 0.5))
    with pytest.raises(DataError, match="weights of 0"):
        probe_vector(SimpleNamespace(direction_=np.zeros(4)), site=3)
