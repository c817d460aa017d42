"""What a dose does inside a model: its share of the norm, at exactly the asked tokens, on every way of running."""

from __future__ import annotations

import pytest
import torch

from steering import Add, SteeringVector, export_gguf, import_gguf
from workbench.errors import DataError
from workbench.models import with_backend
from workbench.models.continuations import as_generated
from workbench.models.fingerprint import stamp_of
from workbench.models.sinks import sample_inputs
from workbench.models.tiny import tiny_model, tiny_sequence_model
from workbench.sites import Site

PROMPTS = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14]]
VECTORS = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
DOSES = torch.tensor([0.3, 0.0, -1.5])
EVERYWHERE = "prompt+generation"


@pytest.fixture(scope="module", params=["hf", "transformer_lens", "nnsight"])
def model(request):
    return with_backend(tiny_model(), request.param)


def change(model, steer, site=1):
    """How long what was added is, at every token of every prompt."""
    plain, steered = (model.forward(PROMPTS, site, given) for given in ([], steer))
    lengths = (steered.activations[site] - plain.activations[site]).norm(dim=-1)
    return [row[:n] for row, n in zip(lengths, plain.lengths, strict=True)]


@pytest.mark.parametrize("dose", [0.0, torch.zeros(3)], ids=["one", "rows"])
def test_dose_zero_is_the_unsteered_model_bit_for_bit(model, dose):
    plain = model.forward(PROMPTS, logits=True).logits
    steer = [Add(VECTORS, dose=dose, site=1, scope=EVERYWHERE)]
    assert torch.equal(model.forward(PROMPTS, interventions=steer, logits=True).logits, plain)


@pytest.mark.parametrize("site", [1, -1, "2.attn_out"])
@pytest.mark.parametrize("dose", [0.1, -0.6])
def test_what_is_added_is_the_dose_times_the_norm_at_that_site(model, site, dose):
    expected = abs(dose) * model.residual_norm(site)
    for vector in (VECTORS[0], 100 * VECTORS[0], SteeringVector(site, VECTORS[1])):
        for row in change(model, [Add(vector, dose=dose, site=site, scope=EVERYWHERE)], site):
            torch.testing.assert_close(row, torch.full_like(row, expected), rtol=1e-3, atol=0)


def test_the_norm_that_a_vector_brings_counts_at_its_own_site_only(model):
    vector = SteeringVector(1, VECTORS[0], residual_norm=7.0)
    for row in change(model, [Add(vector, dose=0.5, scope=EVERYWHERE)]):
        torch.testing.assert_close(row, torch.full_like(row, 3.5), rtol=1e-3, atol=0)
    for row in change(model, [Add(vector, dose=0.5, site=2, scope=EVERYWHERE)], 2):
        torch.testing.assert_close(row, torch.full_like(row, model.residual_norm(2) / 2), rtol=1e-3, atol=0)


def test_every_row_has_its_own_dose_whatever_the_padding(model):
    norm = model.residual_norm(1)
    for row, dose in zip(change(model, [Add(VECTORS, dose=DOSES, site=1, scope=EVERYWHERE)]), DOSES, strict=True):
        torch.testing.assert_close(row, (dose.abs() * norm).expand_as(row), rtol=1e-3, atol=0)


def test_controls_are_added_at_the_same_length_as_their_vector(model):
    vector = SteeringVector(1, VECTORS[0], residual_norm=7.0)
    for control in (vector.random_like(3), vector.shuffled(3)):
        for row in change(model, [Add(control, dose=0.5, scope=EVERYWHERE)]):
            torch.testing.assert_close(row, torch.full_like(row, 3.5), rtol=1e-3, atol=0)


def test_generation_under_a_cache_has_the_doses_of_one_pass_over_prompt_and_completion(model):
    steer = [Add(VECTORS, dose=DOSES, site=-2)]
    cache = model.prompt_cache()
    found = model.generate(PROMPTS, max_new_tokens=5, temperature=0, interventions=steer, cache=cache)
    plain = model.generate(PROMPTS, max_new_tokens=5, temperature=0)
    assert found[1] == plain[1] and found != plain
    rows = [prompt + completion[0].tokens for prompt, completion in zip(PROMPTS, found, strict=True)]
    lengths = list(map(len, PROMPTS))
    logits = model.forward(rows, interventions=as_generated(steer, lengths), logits=True).logits
    for row, tokens, length in zip(logits, rows, lengths, strict=True):
        assert row[length - 1 : len(tokens) - 1].argmax(-1).tolist() == tokens[length:]


def test_a_dose_equals_its_multiplier_in_generate_score_and_steered():
    model = tiny_model()
    multiplier = 0.4 * model.residual_norm(1) / float(VECTORS[0].double().norm())
    dose, raw = ([Add(VECTORS[0], **how, site=1)] for how in ({"dose": 0.4}, {"multiplier": multiplier}))
    assert model.generate(PROMPTS, interventions=dose) == model.generate(PROMPTS, interventions=raw)
    answers = [[[3, 4]]] * 3
    assert model.score(PROMPTS, answers, dose) == model.score(PROMPTS, answers, raw) != model.score(PROMPTS, answers)
    tokens = torch.tensor([PROMPTS[0]])
    with model.steered(dose) as steered:
        logits = steered(tokens).logits
    with model.steered(raw) as steered:
        torch.testing.assert_close(logits, steered(tokens).logits, rtol=0, atol=0)


@pytest.mark.parametrize("bad", ["2", True, float("nan"), torch.ones(2, 2)])
def test_what_is_no_dose_is_refused_in_one_line(bad):
    with pytest.raises(DataError, match=r"^Add at blocks.0.hook_resid_post: dose must be [^\n]*$"):
        Add(VECTORS[0], dose=bad, site=0)


def test_a_multiplier_and_a_dose_at_once_are_refused():
    with pytest.raises(DataError, match="give a multiplier or a dose, not both"):
        Add(VECTORS[0], 1.0, dose=0.1, site=0)


def test_a_sequence_model_takes_doses():
    model = tiny_sequence_model()
    own = SteeringVector(1, torch.ones(16), residual_norm=4.0)
    for vector, norm in ((own, 4.0), (torch.ones(16), model.residual_norm(1))):
        steer = Add(vector, dose=0.5, site=1, scope=EVERYWHERE)
        plain, steered = (model.forward([[[0, 1]] * 3], 1, given).activations[1] for given in ([], [steer]))
        torch.testing.assert_close((steered - plain).norm(dim=-1), torch.full((1, 3), norm / 2), rtol=1e-3, atol=0)


@pytest.mark.parametrize("component", ["resid_post", "attn_out", "mlp.pre"])
def test_the_norm_of_a_model_is_the_median_over_the_tokens_of_its_sample_texts(model, component):
    if component not in model.backend.components:
        return
    norms = []
    for row in sample_inputs(model):
        norms += (
            model.forward([row], Site(2, component)).activations[Site(2, component)].norm(dim=-1).flatten().tolist()
        )
    assert model.residual_norm(Site(2, component)) == pytest.approx(sorted(norms)[(len(norms) - 1) // 2], rel=1e-3)


def test_the_norm_of_a_model_is_the_same_each_time_and_at_negative_layers(model):
    assert model.residual_norm(-1) == model.residual_norm(3) == model.residual_norm("3.resid_post")
    again = with_backend(tiny_model(), model.backend_name)
    assert again.residual_norm(2) == pytest.approx(model.residual_norm(2), rel=1e-6)
    assert tiny_model().residual_norm(2) == pytest.approx(model.residual_norm(2), rel=1e-4)


def test_a_saved_vector_keeps_its_residual_norm(tmp_path):
    model = tiny_model()
    vector = SteeringVector(2, VECTORS[0], **stamp_of(model), name="up", residual_norm=7.25)
    vector.save(tmp_path / "v.safetensors")
    assert SteeringVector.load(tmp_path / "v.safetensors", model).residual_norm == 7.25
    export_gguf([vector], tmp_path / "v.gguf", "llama")
    assert import_gguf(tmp_path / "v.gguf", model)[0].residual_norm == 7.25


def test_arithmetic_keeps_the_norm_where_both_sides_agree_and_another_model_loses_it():
    vector = SteeringVector(1, VECTORS[0], residual_norm=7.0, fingerprint="another")
    assert (2 * vector - vector).residual_norm == 7.0
    assert (vector + SteeringVector(1, VECTORS[1], "another", residual_norm=8.0)).residual_norm is None
    assert vector.for_model(tiny_model(), force=True).residual_norm is None


@pytest.mark.parametrize("bad", [0, -1.0, "7", float("inf"), True])
def test_what_is_no_norm_is_refused_in_one_line(bad):
    with pytest.raises(ValueError, match=r"^[^\n]*residual_norm[^\n]*$"):
        SteeringVector(1, VECTORS[0], residual_norm=bad)
