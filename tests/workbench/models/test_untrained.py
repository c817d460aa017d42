"""A model's untrained twin: other weights, everything else alike."""

from __future__ import annotations

import torch

from workbench.models.tiny import tiny_model
from workbench.models.untrained import untrained


def test_untrained_leaves_the_random_state_and_the_model_alone() -> None:
    model = tiny_model("llama", seed=3)
    before, mark = torch.get_rng_state(), model.backend.hf_model.get_input_embeddings().weight.clone()
    twin = untrained(model, 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(model.backend.hf_model.get_input_embeddings().weight, mark)
    assert twin.fingerprint not in (model.fingerprint, untrained(model, 6).fingerprint)
    assert twin.dtype == model.dtype and twin.n_layers == model.n_layers


def test_untrained_twin_reads_the_same_tokens_differently() -> None:
    model = tiny_model("gpt2")
    twin = untrained(model, 7)
    assert twin.encode("a b") == model.encode("a b")
    one, other = (each.forward(["a b"], [1]).activations for each in (model, twin))
    (site,) = one
    assert one[site].shape == other[site].shape and not torch.allclose(one[site], other[site])
