from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from steering import (
    Ablate,
    Add,
    Affine,
    Clamp,
    Cosine,
    RankOne,
    Replace,
    Rotate,
    SetProjection,
    SteeringVector,
    ablate_everywhere,
    bake,
    conditional,
)
from workbench.errors import ArtifactError, ModelError, SpecError, WorkbenchError
from workbench.models import load_model
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import tiny_hf_model, tiny_model, tiny_tokenizer

D, ALL = 32, Scope.everywhere()
GENERATOR = torch.Generator().manual_seed(5)
V, W = torch.randn(D, generator=GENERATOR), torch.randn(D, generator=GENERATOR)
MATRIX = torch.eye(D) + torch.randn(D, D, generator=GENERATOR) / 20
PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12], [13, 14, 15]]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request):
    return tiny_model(request.param)


def everywhere(kind, *given, site):
    return kind(*given, site=site, scope=ALL)


CASES = {
    "what is added behind a block": lambda m: [everywhere(Add, V, site=1)],
    "what is added in its middle, before it and to the embeddings": lambda m: [
        everywhere(Add, V, 0.5, site=site) for site in ("1.resid_mid", "2.resid_pre", "0.resid_pre")
    ],
    "additions at one place": lambda m: [everywhere(Add, V, site=-1), everywhere(Add, W, -2.0, site=-1)],
    "ablation everywhere": lambda m: ablate_everywhere(V, m),
    "ablation of a span everywhere": lambda m: ablate_everywhere([V, W], m),
    "ablation up to a layer": lambda m: ablate_everywhere(V, m)[:4],
    "ablation and what is added across it": lambda m: [
        *ablate_everywhere(V, m), everywhere(Add, W - (W @ V) / (V @ V) * V, site=1),
    ],
    "ablation and what is added along it at the end": lambda m: [*ablate_everywhere(V, m), everywhere(Add, V, site=-1)],
    "half an ablation of what a part writes": lambda m: [everywhere(Ablate, V, 0.5, site="1.mlp_out")],
    "affine edits of what parts write": lambda m: [
        everywhere(Affine, MATRIX, V, site="1.attn_out"),
        everywhere(SetProjection, V, 2.0, site="2.mlp_out"),
        everywhere(Rotate, [V, W], 40.0, site="2.attn_out"),
        everywhere(RankOne, V, W / 10, 0.5, site="3.mlp_out"),
    ],
    "an affine edit of the embeddings": lambda m: [everywhere(Affine, MATRIX, V, site="0.resid_pre")],
    "a part replaced": lambda m: [everywhere(Replace, V, site="1.mlp_out")],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_folder_gives_the_logits_of_the_steered_model(case, model, tmp_path):
    steer = case(model)
    baked = bake(model, steer, tmp_path / "baked", texts=PROMPTS)
    expected = model.forward(PROMPTS, interventions=steer, logits=True).logits
    plain = AutoModelForCausalLM.from_pretrained(baked.folder, dtype=torch.float32)
    for row, tokens in enumerate(PROMPTS):
        with torch.no_grad():
            logits = plain(torch.tensor([tokens])).logits[0]
        torch.testing.assert_close(logits, expected[row, : len(tokens)], atol=1e-4, rtol=1e-5)
    assert baked.difference < 1e-4 < baked.effect
    assert load_model(baked.folder).fingerprint == baked.fingerprint != model.fingerprint == baked.base_fingerprint


def test_the_model_stays_as_it_was(model, tmp_path):
    before = {name: weight.clone() for name, weight in model.backend.hf_model.state_dict().items()}
    fingerprint = tiny_model("gpt2" if "gpt2" in model.name else "llama").fingerprint
    bake(model, [*ablate_everywhere(V, model), everywhere(Add, V, site=-1)], tmp_path / "baked")
    after = model.backend.hf_model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert LanguageModel(HuggingFaceBackend(model.backend.hf_model), model.tokenizer, "x").fingerprint == fingerprint


def test_tied_embeddings_are_untied_where_the_first_is_changed(tmp_path):
    hf_model = tiny_hf_model("llama")
    config = hf_model.config
    config.tie_word_embeddings = True
    tied = type(hf_model)(config).eval()
    assert tied.lm_head.weight is tied.get_input_embeddings().weight
    model = LanguageModel(HuggingFaceBackend(tied), tiny_tokenizer(), "tied")
    bake(model, ablate_everywhere(V, model), tmp_path / "ablated")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "ablated")
    assert torch.equal(found.lm_head.weight, tied.lm_head.weight)
    assert float((found.get_input_embeddings().weight @ V).detach().abs().max()) < 1e-4
    bake(model, [everywhere(Add, V, site=1)], tmp_path / "added")
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "added")
    assert kept.lm_head.weight is kept.get_input_embeddings().weight


def test_a_card_and_a_record_say_what_was_done_and_measured(model, tmp_path):
    vector = SteeringVector(1, V, name="calm").for_model(model)
    baked = bake(model, [Add(vector, dose=0.25, scope=ALL)], tmp_path / "calm-model")
    card = (tmp_path / "calm-model" / "README.md").read_text()
    for fact in ("calm", model.name, model.fingerprint, baked.fingerprint, "0.25", "blocks.1.hook_resid_post"):
        assert fact in card
    record = json.loads((tmp_path / "calm-model" / "baked.json").read_text())
    assert record["written"][0]["dose"] == pytest.approx(0.25)
    assert record["difference"] == baked.difference
    assert AutoTokenizer.from_pretrained(tmp_path / "calm-model")("a b")["input_ids"] == model.encode("a b")


@pytest.mark.parametrize(
    ("steer", "line"),
    [
        (lambda m: [Add(V, site=1)], "Add at blocks.1.hook_resid_post has scope"),
        (lambda m: [Add(torch.stack([V, W]), site=1, scope=ALL)], "values by row"),
        (lambda m: [everywhere(Add, V, torch.ones(2), site=1)], "values by row"),
        (lambda m: [everywhere(Clamp, V, 0.0, 1.0, site="1.mlp_out")], "Clamp at [^ ]* is not an affine map"),
        (
            lambda m: [Rotate([V, W], 10.0, to=True, site="1.mlp_out", scope=ALL)],
            "Rotate at [^ ]* is not an affine map",
        ),
        (
            lambda m: [everywhere(Rotate, [V, W], 10.0, site=1)],
            r"Rotate at [^ ]*: in the middle [^\n]* only additions and ablations",
        ),
        (lambda m: [everywhere(Ablate, V, 0.5, site=1)], "only additions and ablations"),
        (
            lambda m: [everywhere(Ablate, V, site=1)],
            "every point from the embeddings on, which blocks.0.hook_resid_pre",
        ),
        (lambda m: ablate_everywhere(V, m)[:3] + ablate_everywhere(W, m)[3:], "the same at every point"),
        (lambda m: [*ablate_everywhere(V, m), everywhere(Add, V, site=1)], "along what is ablated after it"),
        (
            lambda m: conditional(everywhere(Add, V, site=1), Cosine(V, above=0, site=0)),
            "not the same map of every token",
        ),
        (lambda m: [], "no interventions"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line_and_leaves_nothing(steer, line, model, tmp_path):
    with pytest.raises(SpecError, match=line) as caught:
        bake(model, steer(model), tmp_path / "baked")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_architecture_without_biases_takes_ablations_and_no_additions(tmp_path):
    model = tiny_model("qwen2")
    with pytest.raises(ModelError, match=r"^Qwen2ForCausalLM has no bias for model.layers.1.mlp.down_proj[^\n]*$"):
        bake(model, [everywhere(Add, V, site=1)], tmp_path / "added")
    assert not list(tmp_path.iterdir())
    assert bake(model, ablate_everywhere(V, model), tmp_path / "ablated").difference < 1e-4


def test_half_precision_and_full_folders_are_refused(model, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    with pytest.raises(ArtifactError, match="there already"):
        bake(model, ablate_everywhere(V, model), tmp_path / "full")
    half = LanguageModel(HuggingFaceBackend(tiny_hf_model("llama").bfloat16()), tiny_tokenizer(), "half")
    with pytest.raises(ModelError, match=r"half is in bfloat16[^\n]*dtype='float32'"):
        bake(half, ablate_everywhere(V, half), tmp_path / "half")


def test_a_folder_that_does_not_equal_the_steered_model_is_not_kept(model, tmp_path):
    with pytest.raises(ModelError, match=r"^the logits of [^\n]* differ by"):
        bake(model, ablate_everywhere(V, model), tmp_path / "baked", tolerance=0.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shape", "written"), [("gemma3", 1), ("gpt_neox", 3), ("phi3", 2), ("olmo2", 1)])
def test_other_architectures_are_written_rightly_or_refused_in_one_line(shape, written, tmp_path):
    import transformers

    size = {"vocab_size": len(tiny_tokenizer()), "hidden_size": D, "num_hidden_layers": 2, "num_attention_heads": 4}
    size |= {"intermediate_size": 64, "max_position_embeddings": 64, "initializer_range": 0.15}
    more = {
        "gemma3": {"num_key_value_heads": 2, "head_dim": 8},
        "gpt_neox": {},
        "phi3": {"pad_token_id": 0},
        "olmo2": {},
    }
    name = {"gemma3": "Gemma3TextConfig", "gpt_neox": "GPTNeoXConfig", "phi3": "Phi3Config", "olmo2": "Olmo2Config"}[
        shape
    ]
    torch.manual_seed(0)
    hf_model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, name)(**size, **more[shape])).eval()
    model = LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), shape)
    done = 0
    for k, steer in enumerate(
        (ablate_everywhere(V, model), [everywhere(Add, V, site=0)], [everywhere(Add, V, site="0.resid_pre")])
    ):
        try:
            done += bake(model, steer, tmp_path / str(k), texts=PROMPTS).difference < 1e-4
        except WorkbenchError as error:
            assert "\n" not in str(error)
    assert done == written


@pytest.mark.real
@pytest.mark.slow
def test_a_real_model_is_baked_with_equal_logits(smollm2, tmp_path):
    direction = torch.randn(smollm2.d_model, generator=torch.Generator().manual_seed(0))
    chat = [{"role": "user", "content": "What do you think of the sea?"}]
    steer = [*ablate_everywhere(direction, smollm2), Add(direction, dose=0.2, site=-1, scope=ALL)]
    baked = bake(smollm2, steer, tmp_path / "baked", texts=[chat])
    assert baked.difference < 1e-4 < baked.effect
    found = load_model(baked.folder, dtype="float32")
    options = {"max_new_tokens": 12, "temperature": 0}
    expected = smollm2.generate([chat], interventions=steer, **options)
    assert found.generate([chat], **options)[0][0].tokens == expected[0][0].tokens
