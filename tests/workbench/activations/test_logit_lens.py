"""The logit lens against an explicit norm and unembedding, and against TransformerLens."""

import numpy as np
import pytest
import torch

from steering import Add
from workbench.activations.logit_lens import logit_lens
from workbench.errors import ModelError, SiteError
from workbench.models import with_backend
from workbench.models.tiny import SHAPES, tiny_model
from workbench.models.token_probabilities import token_probabilities


@pytest.mark.parametrize("shape", SHAPES)
def test_last_layer_is_the_model_itself(shape):
    model = tiny_model(shape)
    lens, own = logit_lens(model, "a b c d", sites=[model.n_layers - 1]), token_probabilities(model, "a b c d")
    np.testing.assert_allclose(lens["kl"], 0, atol=1e-6)
    assert lens["predicted"].tolist() == [texts[0] for texts in own["top_texts"].iloc[1:]]
    np.testing.assert_allclose(
        np.log(lens["next_probability"].iloc[:-1]), own["logprob"].iloc[1:-1].astype(float), rtol=1e-4
    )


def test_every_layer_agrees_with_transformer_lens():
    model = tiny_model("gpt2")
    bridge = with_backend(model, "transformer_lens").backend.bridge
    tokens = model.encode("a b c")
    _, cache = bridge.run_with_cache(torch.tensor([tokens]))
    lens = logit_lens(model, "a b c", top=3)
    for layer in range(model.n_layers):
        p = bridge.unembed(bridge.ln_final(cache[f"blocks.{layer}.hook_resid_post"]))[0].softmax(-1).detach()
        found = lens[lens["layer"] == layer]
        np.testing.assert_allclose(np.stack(found["top_probabilities"]), p.topk(3).values, rtol=1e-3)
        np.testing.assert_allclose(found["entropy"], torch.special.entr(p).sum(-1), rtol=1e-3)


def test_steering_moves_layers_from_its_own_on():
    model = tiny_model()
    add = Add(torch.ones(model.d_model), 5.0, site=2)
    said = model.encode_continuation(" d e")
    plain, steered = logit_lens(model, "a b c", said), logit_lens(model, "a b c", said, [add])
    moved = (plain["entropy"] - steered["entropy"]).abs().to_numpy().reshape(model.n_layers, -1) > 1e-6
    prompt = len(model.encode("a b c"))
    assert not moved[:2].any() and not moved[:, : prompt - 1].any() and moved[2:, prompt - 1 :].all()


def test_other_points_of_the_stream_can_be_read_and_others_not():
    model = tiny_model()
    assert logit_lens(model, "a b", sites=["0.resid_pre"])["site"].unique().tolist() == ["blocks.0.hook_resid_pre"]
    with pytest.raises(SiteError, match="not a point of the residual stream"):
        logit_lens(model, "a b", sites=["0.mlp_out"])


def test_model_whose_output_is_not_its_unembedded_last_layer_is_refused():
    model = tiny_model(seed=3)
    model.backend.hf_model.lm_head.register_forward_hook(lambda module, args, output: output)
    logit_lens(model, "a b")
    model.backend.hf_model.register_forward_hook(lambda m, a, out: setattr(out, "logits", 2 * out.logits) or out)
    with pytest.raises(ModelError, match="logit lens does not fit"):
        logit_lens(model, "a b")
