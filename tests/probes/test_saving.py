from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from probes import make_probe
from probes.saving import load_probe, save_probe
from probes.shared import SharedRidge
from workbench.errors import ArtifactError, WorkbenchWarning
from workbench.sites import Site

LINEAR = ["logistic", "ridge", "mass-mean", "lda", "ridge-regression"]
STAMP = {"site": "3.resid_post", "basis": "raw", "fingerprint": "model-a"}


@pytest.fixture
def model():
    return SimpleNamespace(fingerprint="model-a", basis="raw", precision="float32")


@pytest.fixture
def saved(make_rows, tmp_path):
    data = make_rows(200)
    probe = make_probe("ridge", alphas=(1.0, 10.0)).fit(data.X, data.y, data.groups)
    save_probe(probe, tmp_path / "new" / "p.safetensors", **STAMP, metadata={"note": "é"})
    return tmp_path / "new" / "p.safetensors"


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("name", LINEAR)
def test_a_probe_comes_back_bit_for_bit(make_rows, tmp_path, name, text):
    data = make_rows(200, text=text and name != "ridge-regression")
    probe = make_probe(name).fit(data.X, data.y, data.groups)
    save_probe(probe, tmp_path / "p", **STAMP)
    loaded = load_probe(tmp_path / "p")
    assert type(loaded) is type(probe)
    assert (loaded.predict(data.X) == probe.predict(data.X)).all()
    assert loaded.direction_.tobytes() == probe.direction_.tobytes()
    if name != "ridge-regression":
        assert (loaded.predict_proba(data.X) == probe.predict_proba(data.X)).all()
    save_probe(loaded, tmp_path / "q", **STAMP)
    assert (tmp_path / "p").read_bytes() == (tmp_path / "q").read_bytes()


def test_a_shared_probe_comes_back(make_rows, tmp_path):
    data, probe = make_rows(200, targets=3), SharedRidge(alphas=(1.0, 10.0))
    save_probe(probe.fit(data.X, data.y), tmp_path / "p", **STAMP)
    assert (load_probe(tmp_path / "p").predict(data.X) == probe.predict(data.X)).all()


def test_place_and_parameters_travel_with_the_probe(saved):
    loaded = load_probe(saved)
    assert (loaded.site_, loaded.basis_, loaded.fingerprint_) == (Site(3), "raw", "model-a")
    assert loaded.metadata_ == {"note": "é"}
    assert list(loaded.alphas) == [1.0, 10.0] and loaded.alpha_ in loaded.alphas


@pytest.mark.parametrize("change", [{"fingerprint": "model-b"}, {"basis": "folded"}])
def test_another_model_is_refused_unless_forced(saved, model, change):
    assert load_probe(saved, model).fingerprint_ == "model-a"
    other = SimpleNamespace(**{**vars(model), **change})
    with pytest.raises(ArtifactError, match=f"belongs to another model \\({next(iter(change))}"):
        load_probe(saved, other)
    assert load_probe(saved, other, force=True).fingerprint_ == "model-a"


def test_the_same_model_in_another_precision_is_said(saved, model, tmp_path):
    save_probe(load_probe(saved), tmp_path / "p", **STAMP, precision="bfloat16")
    with pytest.warns(WorkbenchWarning, match="made on this model in bfloat16, and the model is in float32 here"):
        assert load_probe(tmp_path / "p", model).precision_ == "bfloat16"


def test_a_flipped_bit_in_a_saved_probe_is_found_on_reading(saved):
    whole = saved.read_bytes()
    saved.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    with pytest.raises(ArtifactError, match="it is damaged: its checksum differs"):
        load_probe(saved)


def test_broken_and_foreign_files_are_refused(saved, tmp_path):
    with pytest.raises(ArtifactError, match="no such file"):
        load_probe(tmp_path / "none")
    broken = tmp_path / "broken"
    for data in (b"", saved.read_bytes()[:200], b"\x00" * 50):
        broken.write_bytes(data)
        with pytest.raises(ArtifactError, match="is not a saved probe"):
            load_probe(broken)
    from safetensors.numpy import save_file

    save_file({"coef_": np.ones((1, 2))}, broken, metadata={"workbench-probe": '{"kind": "rigde", "texts": {}}'})
    with pytest.raises(ArtifactError, match="is not a saved probe of this version"):
        load_probe(broken)


def test_what_cannot_be_saved_is_refused_and_nothing_is_written(make_rows, tmp_path):
    from sklearn.linear_model import LogisticRegression

    data = make_rows(200)
    with pytest.raises(ArtifactError, match="only registered probes"):
        save_probe(LogisticRegression().fit(data.X, data.y), tmp_path / "p", **STAMP)
    probe = make_probe("lda").fit(data.X, data.y)
    with pytest.raises(ArtifactError, match="not JSON"):
        save_probe(probe, tmp_path / "p", **STAMP, metadata={"array": data.X})
    assert list(tmp_path.iterdir()) == []


def test_a_probe_that_is_not_fitted_is_not_saved(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        save_probe(make_probe("lda"), tmp_path / "p", **STAMP)
