"""Captured activations are Hugging Face's, row for row, in the order of the input."""

import numpy as np
import pandas as pd
import pytest
import torch

from steering import Add
from workbench.activations import ActivationSet, Role, Span, capture
from workbench.errors import DataError, ModelError, SiteError, SpecError
from workbench.models.interventions import Scope
from workbench.models.tiny import tiny_model
from workbench.sites import Site


@pytest.mark.parametrize("shape", ["llama", "gpt2", "qwen2", "mistral"])
@pytest.mark.parametrize("batch_tokens", [1, 70, None])
def test_last_token_equals_hidden_states_of_each_text_alone_in_input_order(models, texts, oracle, shape, batch_tokens):
    model = models[shape]
    found = capture(model, texts, [0, 2], batch_tokens=batch_tokens)
    for layer in (0, 2):
        expected = torch.stack([oracle(model, text, layer)[-1] for text in texts])
        assert torch.allclose(found[layer], expected, atol=1e-5)
    assert found.labels["input"].tolist() == list(range(len(texts)))
    assert found.labels["position"].tolist() == [len(model.encode(text)) - 1 for text in texts]
    assert (found.fingerprint, found.basis, found.model) == (model.fingerprint, "raw", model.name)


@pytest.mark.parametrize(
    "positions", ["first", "all", [-1, 0], slice(-3, None), Span("a"), Span("a", 0)], ids=lambda p: str(p)
)
def test_each_kind_of_position_reads_the_tokens_it_names(model, texts, oracle, positions):
    texts = ["a " + text for text in texts[:12]]
    found = capture(model, texts, 1, positions, batch_tokens=64)
    assert found.labels["input"].is_monotonic_increasing
    whole = [oracle(model, text, 1) for text in texts]
    expected = torch.stack([whole[i][p] for i, p in found.labels[["input", "position"]].to_numpy()])
    assert torch.allclose(found[1], expected, atol=1e-5)
    lengths = [len(model.encode(text)) for text in texts]
    counts = {"first": [1] * 12, "all": lengths, "[-1, 0]": [2] * 12}.get(str(positions))
    assert counts is None or found.labels.groupby("input").size().tolist() == counts


def test_mean_is_over_the_tokens_of_the_row_and_not_over_padding(model, texts, oracle):
    found = capture(model, texts, 1, "mean")
    expected = torch.stack([oracle(model, text, 1).mean(0) for text in texts])
    assert torch.allclose(found[1], expected, atol=1e-5)
    assert found.labels["position"].eq(-1).all()


def test_chats_and_tokens_and_roles_are_read(model, chat, oracle):
    found = capture(model, [chat, chat[:3]], 1, Role("assistant"))
    expected = torch.stack([oracle(model, [chat, chat[:3]][i], 1)[p] for i, p in found.labels.to_numpy()])
    assert torch.allclose(found[1], expected, atol=1e-5)
    tokens = [model.encode(chat), [5, 6]]
    assert torch.allclose(capture(model, tokens, 1)[1][0], oracle(model, chat, 1)[-1], atol=1e-5)


@pytest.mark.parametrize("component", ["resid_pre", "resid_mid", "attn_out", "mlp_out"])
def test_other_components_are_those_of_forward(model, component):
    site = Site(2, component)
    expected = model.forward(["a b c"], [site]).activations[site][0, -1]
    assert torch.allclose(capture(model, ["a b c", "d"], site)[site][0], expected, atol=1e-5)


def test_pass_ends_at_the_deepest_site_and_leaves_no_hook():
    model, ran = tiny_model(), []
    layers = model.backend.hf_model.model.layers
    for number, layer in enumerate(layers):
        layer.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
    capture(model, ["a b"], [0, 2])
    assert ran == [0, 1, 2]
    assert not any(layer._forward_hooks for layer in layers)


def test_sites_may_be_a_generator_or_range(model, texts):
    assert capture(model, texts[:3], range(2)).sites == (Site(0), Site(1))
    assert capture(model, texts[:3], (layer for layer in (1, 0))).sites == (Site(1), Site(0))


def test_labels_and_groups_follow_their_inputs(model, texts):
    labels = pd.DataFrame({"run": np.arange(40) // 4, "word": list(texts)}, index=np.arange(40)[::-1])
    found = capture(model, texts, 1, [-1, 0], labels=labels, groups="run")
    assert list(found.labels) == ["input", "position", "run", "word"]
    assert found.labels["word"].tolist() == [text for text in texts for _ in range(2)]
    assert found.groups.tolist() == [i // 4 for i in range(40) for _ in range(2)]
    by_value = capture(model, texts, 1, [-1, 0], groups=[f"g{i}" for i in range(40)])
    assert by_value.groups[:4].tolist() == ["g0", "g0", "g1", "g1"]
    assert capture(model, texts, 1, [-1, 0]).groups[:4].tolist() == [0, 0, 1, 1]


def test_per_row_intervention_meets_the_row_it_was_made_for(model, texts):
    vectors = torch.randn(len(texts), model.d_model, generator=torch.Generator().manual_seed(0))
    steer = Add(vectors, site=1, scope=Scope.everywhere())
    plain, steered = capture(model, texts, 1), capture(model, texts, 1, interventions=[steer], batch_tokens=50)
    assert torch.allclose(steered[1], plain[1] + vectors, atol=1e-5)


def test_dtype_and_device_are_as_asked(model, texts):
    assert capture(model, texts[:2], 1).activations[Site(1)].dtype == torch.float32
    half = capture(model, texts[:2], 1, dtype="bfloat16", device="cpu")
    assert half[1].dtype == torch.bfloat16
    assert half.numpy(1).dtype == np.float32
    assert not half[1].requires_grad
    with pytest.raises(SpecError, match="'float23'; did you mean 'float32'"):
        capture(model, texts, 1, dtype="float23")
    with pytest.raises(SpecError, match="no floating-point dtype 'int64'"):
        capture(model, texts, 1, dtype="int64")


def test_mean_of_a_bfloat16_model_is_summed_in_float32(texts):
    model = tiny_model()
    model.backend.hf_model.to(torch.bfloat16)
    everything, mean = capture(model, texts[:5], 1, "all"), capture(model, texts[:5], 1, "mean", dtype="float32")
    for i in range(5):
        rows = everything.select(everything.labels["input"] == i)[1]
        assert torch.allclose(mean[1][i], rows.float().mean(0), atol=2e-2, rtol=2e-2)  # batches differ: bf16 noise
    assert mean[1].dtype == torch.float32
    assert not torch.equal(mean[1], mean[1].bfloat16().float())


def test_not_finite_activation_names_site_row_and_position(model, texts, poison):
    said = (
        rf"blocks\.1\.hook_resid_post are not finite at row 14 \(input 7, position {len(model.encode(texts[7])) - 1}\)"
    )
    with pytest.raises(DataError, match=said):
        capture(model, texts, 1, [-1, 0], interventions=[poison(7)])


@pytest.mark.parametrize(
    ("inputs", "changes", "error", "said"),
    [
        ([], {}, DataError, "non-empty list"),
        ("a b", {}, DataError, "non-empty list"),
        (["a", []], {}, DataError, "input 1: a prompt is empty"),
        (["a b", "a"], {"positions": 2}, DataError, "input 1: position 2 does not exist"),
        (["a b", "b"], {"positions": Span("a")}, DataError, "input 1: 'a' does not occur"),
        (["a b", "a " * 300], {}, DataError, "input 1 has .* tokens, more than the 256 positions"),
        (["a", "b"], {"labels": {"x": [1]}}, DataError, "1 labels for 2 rows"),
        (["a", "b"], {"labels": {"x": [1, 2], "y": [1]}}, DataError, "labels are not a table"),
        (["a", "b"], {"labels": {"input": [1, 2]}}, DataError, "labels have a column 'input'"),
        (["a", "b"], {"groups": "rnu", "labels": {"run": [1, 2]}}, DataError, "did you mean 'run'"),
        (["a", "b"], {"groups": [1]}, DataError, "1 groups for 2 rows"),
        (["a"], {"sites": []}, SiteError, "no site"),
        (["a"], {"sites": "1.attn.pattern"}, SiteError, "pattern over pairs"),
        (["a"], {"sites": "1.attn.q"}, SiteError, "transformer_lens"),
        (["a"], {"sites": 9}, SiteError, "layers 0 to 3"),
        (["a"], {"batch_tokens": 0}, SpecError, "batch_tokens must be an integer of at least 1"),
    ],
)
def test_unusable_requests_are_one_clear_line(model, inputs, changes, error, said):
    with pytest.raises(error, match=said) as caught:
        capture(model, inputs, **{"sites": 1} | changes)
    assert "\n" not in str(caught.value)


def test_chat_without_a_template_is_refused(model, chat, monkeypatch):
    monkeypatch.setattr(model.tokenizer, "chat_template", None)
    with pytest.raises(ModelError, match="no chat template"):
        capture(model, [chat], 1)


def test_result_is_a_set(model):
    assert isinstance(capture(model, ["a"], 1, progress=True), ActivationSet)
