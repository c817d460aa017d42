"""What a dose does inside a model: its share of the norm, at exactly the asked tokens, on every way of running."""

from __future__ import annotations

import pytest
import torch

from steering import Add, SteeringVector, export_gguf, import_gguf
from workbench.errors import DataError, WorkbenchWarning
from workbench.models import load_model, with_backend
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


QUESTIONS = (
    "What is the capital of France?", "Name three colours.", "Why is the sky blue?", "Write a sentence about a dog.",
    "How do I boil an egg?", "What is 7 plus 5?", "Who wrote Hamlet?", "Say hello in Spanish.",
)  # fmt: skip


@pytest.fixture(params=["float32", "bfloat16"])
def chat_model(request, smollm2, smollm2_folder):
    same = request.param == "float32"
    return smollm2 if same else load_model(smollm2_folder, device="cpu", dtype=request.param)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*was made on this model in float32")
def test_smollm2_steered_by_a_dose_writes_what_hugging_face_would_under_a_plain_hook(smollm2, chat_model):
    layer, norm = 14, smollm2.residual_norm(14)
    direction = torch.randn(576, generator=torch.Generator().manual_seed(0))
    vector = SteeringVector(layer, direction, **stamp_of(smollm2), residual_norm=norm)
    prompts = [chat_model.encode([{"role": "user", "content": question}]) for question in QUESTIONS]
    found = chat_model.generate(prompts, max_new_tokens=12, temperature=0, interventions=[Add(vector, dose=0.3)])
    behind, hf_model = 0, chat_model.backend.hf_model

    def hook(module, given, output):
        steered = output.clone()
        steered[:, behind:] += 0.3 * norm * direction / direction.norm()
        return steered

    handle = hf_model.model.layers[layer].register_forward_hook(hook)
    for prompt, (completion,) in zip(prompts, found, strict=True):
        behind = len(prompt) - 1
        with torch.no_grad():
            logits = hf_model(torch.tensor([prompt + completion.tokens])).logits[0, behind:-1].float()
        said = logits[range(len(completion.tokens)), completion.tokens]
        # In bfloat16 logits of 16 to 32 lie 1/8 apart, and passes of other shapes round otherwise.
        slack = 0.0 if chat_model.precision == "float32" else 0.25
        assert float((logits.amax(-1) - said).max()) <= slack
    handle.remove()
    assert found[:2] != chat_model.generate(prompts[:2], max_new_tokens=12, temperature=0)


@pytest.mark.real
def test_a_vector_made_in_float32_steers_smollm2_in_bfloat16_and_one_line_names_both(smollm2, smollm2_folder):
    half = load_model(smollm2_folder, device="cpu", dtype="bfloat16")
    vector = SteeringVector(14, torch.ones(576), **stamp_of(smollm2))
    with pytest.warns(WorkbenchWarning, match="was made on this model in float32, and the model is in bfloat16 here$"):
        half.forward([[1, 2, 3]], interventions=[Add(vector, dose=0.3)], logits=True)
    assert half.residual_norm(14) == pytest.approx(smollm2.residual_norm(14), rel=0.01)


@pytest.mark.real
def test_a_dose_of_smollm2_is_its_share_of_the_norm_and_attention_sinks_do_not_count(smollm2):
    for layer in (2, 11):
        norms = [smollm2.forward([question], layer).activations[layer][0].norm(dim=-1) for question in QUESTIONS]
        typical = torch.cat([row[1:] for row in norms]).median().item()
        assert 0.8 < smollm2.residual_norm(layer) / typical < 1.25
        assert float(norms[0][0]) > (1 if layer == 2 else 20) * typical
        assert float(torch.cat(norms).mean()) > 3 * typical or layer == 2, "a mean with sinks would be no norm at all"
    steer = [Add(torch.randn(576), dose=0.3, site=11, scope=EVERYWHERE)]
    plain, steered = (smollm2.forward([QUESTIONS[0]], 11, given).activations[11] for given in ([], steer))
    added = (steered - plain).norm(dim=-1)[0, 1:]  # at the sink itself float32 rounds more away
    torch.testing.assert_close(added, torch.full_like(added, 0.3 * smollm2.residual_norm(11)), rtol=1e-3, atol=0)
