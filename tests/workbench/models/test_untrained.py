"""A model's untrained copy: other weights, everything else alike."""

from __future__ import annotations

import torch

from workbench.models.tiny import tiny_model
from workbench.models.untrained import untrained


def test_untrained_leaves_the_random_state_and_the_model_alone() -> None:
    model = tiny_model("llama", seed=3)
    before, mark = torch.get_rng_state(), model.backend.hf_model.get_input_embeddings().weight.clone()
    other = untrained(model, 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(model.backend.hf_model.get_input_embeddings().weight, mark)
    assert other.fingerprint not in (model.fingerprint, untrained(model, 6).fingerprint)
    assert other.dtype == model.dtype and other.n_layers == model.n_layers


def test_untrained_model_reads_the_same_tokens_differently() -> None:
    model = tiny_model("gpt2")
    other = untrained(model, 7)
    assert other.encode("a b") == model.encode("a b")
    one, other = (each.forward(["a b"], [1]).activations for each in (model, other))
    (site,) = one
    assert one[site].shape == other[site].shape and not torch.allclose(one[site], other[site])
