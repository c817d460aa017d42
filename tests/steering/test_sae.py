from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from steering.sae import sae_vector
from workbench.errors import ArtifactError, SpecError
from workbench.sites import Site

DECODER = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))


def write(folder, config: Any, decoder=DECODER, **more):
    (folder / "cfg.json").write_text(config if isinstance(config, str) else json.dumps(config))
    tensors = {"W_dec": decoder} if decoder is not None else {}
    save_file(tensors | more | {"W_enc": DECODER.T.contiguous()}, folder / "sae_weights.safetensors")


@pytest.mark.parametrize(
    ("config", "site"),
    [
        ({"hook_point": "blocks.4.hook_resid_pre", "hook_point_layer": 4}, Site(4, "resid_pre")),
        ({"hook_name": "blocks.4.hook_mlp_out", "hook_layer": 4, "hook_head_index": None}, Site(4, "mlp_out")),
        ({"architecture": "jumprelu", "metadata": {"hook_name": "blocks.4.hook_resid_post"}}, Site(4)),
        (
            {"metadata": {"hook_name": "blocks.3.hook_resid_mid", "hook_name_out": "blocks.3.hook_mlp_out"}},
            Site(3, "mlp_out"),
        ),
    ],
)
def test_old_and_new_folders_say_where_a_feature_writes(tmp_path, model, config, site):
    write(tmp_path, config)
    found = sae_vector(tmp_path, 5, model=model)
    assert torch.equal(found.vector, DECODER[5])
    assert (found.site, found.fingerprint, found.name) == (site, "model-a", f"{tmp_path.name}/5")


def test_a_site_may_be_said_where_the_hook_is_unknown(tmp_path):
    write(tmp_path, {"hook_name": "model.layers.7"})
    with pytest.raises(ArtifactError, match=r"cannot read site 'model.layers.7'[^\n]*say it with site="):
        sae_vector(tmp_path, 0)
    assert sae_vector(tmp_path, 0, site=7).site == Site(7)


def test_half_precision_files_are_read(tmp_path):
    write(tmp_path, {"hook_name": "blocks.4.hook_resid_pre"}, DECODER.bfloat16())
    assert torch.equal(sae_vector(tmp_path, 1).vector, DECODER[1].bfloat16().float())


@pytest.mark.parametrize(
    ("config", "decoder", "line"),
    [
        ("{", DECODER, "not readable JSON"),
        ("[]", DECODER, "not a JSON object"),
        ({}, DECODER, "has no hook_name"),
        ({"hook_name": "blocks.4.attn.hook_z", "hook_head_index": 3}, DECODER, "one attention head"),
        ({"hook_name": "blocks.4.hook_resid_pre"}, None, "has no W_dec"),
        ({"hook_name": "blocks.4.hook_resid_pre"}, DECODER[None], r"shape \[1, 12, 8\]"),
        (
            {"hook_name": "blocks.4.hook_resid_pre"},
            DECODER[:3].contiguous(),
            "no feature 5: they are numbered from 0 to 2",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, config, decoder, line):
    write(tmp_path, config, decoder)
    with pytest.raises(ArtifactError, match=line) as caught:
        sae_vector(tmp_path, 5)
    assert "\n" not in str(caught.value)


def test_missing_files_broken_weights_and_odd_numbers_are_refused(tmp_path, model):
    with pytest.raises(ArtifactError, match="no such file"):
        sae_vector(tmp_path / "absent", 0)
    write(tmp_path, {"hook_name": "blocks.4.hook_resid_pre"})
    for feature, error in ((-1, ArtifactError), (1.5, SpecError)):
        with pytest.raises(error, match="feature"):
            sae_vector(tmp_path, feature)
    model.n_layers = 3
    with pytest.raises(ArtifactError, match="layers 0 to 2"):
        sae_vector(tmp_path, 0, model=model)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(ArtifactError, match="not a readable safetensors"):
        sae_vector(tmp_path, 0)
    (tmp_path / "sae_weights.safetensors").unlink()
    with pytest.raises(ArtifactError, match="no such file"):
        sae_vector(tmp_path, 0)
