"""What only the TransformerLens back end can read, against Hugging Face and an explicit computation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.workbench.models.architectures import tiny_architecture
from workbench.errors import ModelError, SiteError
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.tiny import SHAPES, tiny_hf_model, tiny_tokenizer
from workbench.models.transformer_lens import TransformerLensBackend
from workbench.sites import COMPONENTS, Site

Maker = Callable[[str, str], LanguageModel]


@pytest.mark.parametrize("shape", SHAPES)
def test_patterns_equal_hugging_faces_attentions(model_on: Maker, shape: str) -> None:
    model = model_on(shape, "transformer_lens")
    eager = tiny_hf_model(shape)
    eager.set_attn_implementation("eager")
    tokens = model.encode("a b c d e f g h i")  # longer than the sliding window
    with torch.no_grad():
        expected = eager(torch.tensor([tokens]), output_attentions=True).attentions
    found = model.forward([tokens], [Site(k, "attn.pattern") for k in range(4)]).activations
    for k in range(4):
        torch.testing.assert_close(found[Site(k, "attn.pattern")], expected[k], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_heads_put_together_are_what_attention_puts_out(model_on: Maker, shape: str) -> None:
    """z = pattern @ v for each head, and attn_out = z @ W_O."""
    model = model_on(shape, "transformer_lens")
    names = ("attn.v", "attn.pattern", "attn.z", "attn_out")
    found = model.forward(["a b c d"], [Site(1, c) for c in names]).activations
    v, pattern, z, out = (found[Site(1, c)] for c in names)
    assert v.shape == z.shape == (1, 5, 4, 8) and pattern.shape == (1, 4, 5, 5)
    torch.testing.assert_close(z, torch.einsum("bhqk,bkhd->bqhd", pattern, v), atol=1e-5, rtol=1e-5)
    if shape == "llama":
        w_o = model.backend.hf_model.model.layers[1].self_attn.o_proj.weight.T
    else:
        projection = model.backend.hf_model.transformer.h[1].attn.c_proj
        w_o, out = projection.weight, out - projection.bias
    torch.testing.assert_close(out, z.flatten(2) @ w_o, atol=1e-5, rtol=1e-5)


def test_mlp_neurons_put_together_are_what_the_mlp_puts_out(model_on: Maker) -> None:
    model = model_on("gpt2", "transformer_lens")
    found = model.forward(["a b c d"], [Site(1, c) for c in ("mlp.pre", "mlp.post", "mlp_out")]).activations
    pre, post, out = (found[Site(1, c)] for c in ("mlp.pre", "mlp.post", "mlp_out"))
    mlp = model.backend.hf_model.transformer.h[1].mlp
    torch.testing.assert_close(post, mlp.act(pre), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out, mlp.c_proj(post), atol=1e-5, rtol=1e-5)


def test_it_has_every_component_that_a_site_can_name(model_on: Maker) -> None:
    assert model_on("llama", "transformer_lens").backend.components == set(COMPONENTS)


def test_heads_cannot_be_steered(model_on: Maker, add: Any) -> None:
    with pytest.raises(SiteError, match=r"no attn\.z"):
        model_on("llama", "transformer_lens").generate(["a"], interventions=[add(Site(1, "attn.z"), torch.zeros(32))])


def test_hooks_that_a_user_put_on_the_bridge_stay(model_on: Maker) -> None:
    model, seen = model_on("llama", "transformer_lens"), []
    point = model.backend.bridge.hook_dict["blocks.1.hook_resid_post"]
    handle = point.add_hook(lambda activation, hook: seen.append(1))
    try:
        model.forward(["a b"], [1, 2])
        model.forward(["a b"], [1, 2])
        assert seen == [1, 1] and len(point.fwd_hooks) == 1
    finally:
        handle.hook.remove()
        point.fwd_hooks.clear()


def test_an_interrupt_while_hooks_are_put_leaves_none(model_on: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_on("llama", "transformer_lens")
    point = model.backend.bridge.hook_dict["blocks.1.hook_resid_post"]
    before = model.forward(["a b"], [1, 2]).activations[2]
    put = type(point).add_hook

    def interrupted(self: Any, *given: Any, **options: Any) -> None:
        put(self, *given, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(point), "add_hook", interrupted)
        model.forward(["a b"], [1])
    assert not point._forward_hooks and not point.fwd_hooks
    assert torch.equal(model.forward(["a b"], [1, 2]).activations[2], before)


def test_precision_and_device_are_the_models_own() -> None:
    hf_model = tiny_hf_model("llama").to(torch.bfloat16)
    model = LanguageModel(TransformerLensBackend(hf_model, tiny_tokenizer()), tiny_tokenizer(), "half")
    found = model.forward(["a b"], ["1.attn.pattern", 1], logits=True)
    assert {x.dtype for x in [*found.activations.values(), found.logits]} == {torch.bfloat16}
    assert hf_model.config._attn_implementation == "sdpa"  # the bridge's copy went over to eager attention


def test_the_basis_says_when_someone_folds_the_weights(model_on: Maker) -> None:
    model = with_backend(model_on("gpt2", "hf"), "transformer_lens")
    before = {name: weight.clone() for name, weight in model.backend.hf_model.state_dict().items()}
    assert model.basis == "raw"
    model.backend.bridge.enable_compatibility_mode(disable_warnings=True)
    assert model.basis == "compatibility"
    assert all(torch.equal(before[k], w) for k, w in model.backend.hf_model.state_dict().items())


def test_an_architecture_it_does_not_know_is_one_line() -> None:
    class StrangeForCausalLM(type(tiny_hf_model("llama"))):  # type: ignore[misc]
        pass

    hf_model = tiny_hf_model("llama")
    hf_model.config.model_type, hf_model.config.architectures = "strange", ["StrangeForCausalLM"]
    hf_model.__class__ = StrangeForCausalLM
    with pytest.raises(ModelError, match=r"cannot run StrangeForCausalLM \(use backend='hf'\)") as caught:
        TransformerLensBackend(hf_model, tiny_tokenizer())
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_points_that_do_not_add_up_are_not_offered() -> None:
    hf_model = tiny_architecture("gemma4_text")  # the stream is scaled behind the MLP
    model = LanguageModel(TransformerLensBackend(hf_model, tiny_tokenizer()), tiny_tokenizer(), "scaled")
    assert {"resid_pre", "resid_post"} <= model.backend.components
    for part in ("attn_out", "mlp_out", "resid_mid"):
        with pytest.raises(SiteError, match=rf"there is no {part}: TransformerLens has no point in Gemma4ForCausalLM"):
            model.forward(["a b"], f"1.{part}")


def test_a_bridge_that_computes_something_else_is_refused() -> None:
    with pytest.raises(ModelError, match=r"cannot run FalconForCausalLM .*: its bridge computes something else"):
        TransformerLensBackend(tiny_architecture("falcon, ALiBi"), tiny_tokenizer())
