from __future__ import annotations

import torch

from workbench.models.shared_weights import copy_sharing_weights
from workbench.models.tiny import tiny_hf_model


def test_a_copy_shares_all_weights_and_no_module() -> None:
    model = tiny_hf_model("gpt2")
    other = copy_sharing_weights(model)
    assert all(a is b for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert all(a is b for a, b in zip(model.buffers(), other.buffers(), strict=True))
    assert not set(model.modules()) & set(other.modules()) and other.config is not model.config


def test_tied_weights_stay_tied_and_training_reaches_the_copy() -> None:
    model = tiny_hf_model("gpt2")
    other = copy_sharing_weights(model)
    assert other.lm_head.weight is other.transformer.wte.weight
    tokens = torch.tensor([[1, 40, 41]])
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight.add_(0.5)
        assert torch.equal(model(tokens).logits, other(tokens).logits)


def test_hooks_on_one_do_not_fire_in_the_other() -> None:
    model, fired = tiny_hf_model("llama"), []
    other = copy_sharing_weights(model)
    other.model.layers[0].register_forward_hook(lambda *_: fired.append(1))
    model(torch.tensor([[1, 40]]))
    assert not fired
