"""``unembed`` against the model's own logits, and against TransformerLens."""

import pytest
import torch

from workbench.errors import ModelError
from workbench.models import with_backend
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import SHAPES, tiny_hf_model, tiny_model, tiny_tokenizer
from workbench.models.unembedding import unembed


@pytest.mark.parametrize("shape", SHAPES)
def test_last_layer_unembeds_to_the_models_logits(shape):
    model = tiny_model(shape)
    forward = model.forward(["a b c d"], [model.n_layers - 1], logits=True)
    (last,) = forward.activations.values()
    torch.testing.assert_close(unembed(model, last), forward.logits)


@pytest.mark.parametrize("layer", [0, 2])
def test_any_layer_agrees_with_transformer_lens(layer):
    model = tiny_model("llama")
    bridge = with_backend(model, "transformer_lens").backend.bridge
    residual = next(iter(model.forward(["a b c"], [layer]).activations.values()))
    expected = bridge.unembed(bridge.ln_final(residual))
    torch.testing.assert_close(unembed(model, residual), expected)


def test_soft_cap_of_gemma_is_applied():
    import transformers

    config = transformers.Gemma2Config(
        vocab_size=len(tiny_tokenizer()), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, intermediate_size=64, head_dim=16, final_logit_softcapping=0.05, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    hf_model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model = LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), "gemma")
    forward = model.forward(["a b c"], [1], logits=True)
    assert forward.logits.abs().max() > 0.045  # the cap bites
    torch.testing.assert_close(unembed(model, next(iter(forward.activations.values()))), forward.logits)


def test_model_without_a_known_final_norm_is_refused_in_one_line():
    hf_model = tiny_hf_model("llama")
    model = LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), "odd")
    hf_model.model.another_norm = hf_model.model._modules.pop("norm")
    with pytest.raises(ModelError, match=r"odd .*no final norm"):
        unembed(model, torch.zeros(1, 32))
