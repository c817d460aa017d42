"""Finding blocks and their parts, on shapes that do things differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.workbench.models.tiny_architectures import tiny_architecture
from workbench.errors import ModelError, SiteError
from workbench.models.blocks import Structure, find_blocks, structure
from workbench.models.check import check_backend
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.tiny import tiny_tokenizer
from workbench.models.watched import Parts
from workbench.sites import Site

_ALL = {"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"}
_SIDE_BY_SIDE = _ALL - {"resid_mid"}  # attention and MLP read the same stream
_NO_MLP = _ALL - {"mlp_out"}  # what the MLP adds is flattened, or changed on its way
_BARE = {"resid_pre", "resid_post"}
_PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14]]


def _make(kind: str, **options: Any) -> LanguageModel:
    hf_model = tiny_architecture(kind, **options)
    return LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), kind)


def _sites(model: LanguageModel) -> list[Site]:
    return [Site(k, c) for k in range(model.n_layers) for c in model.backend.components & _ALL]


def _off(model: LanguageModel) -> float:
    """How far resid_pre + attn_out + mlp_out is from resid_post, at worst."""
    found = model.forward(_PROMPTS[:1], _sites(model)).activations

    def block(k: int) -> torch.Tensor:
        pre, attn, mlp, post = (found[Site(k, c)] for c in ("resid_pre", "attn_out", "mlp_out", "resid_post"))
        return (pre + attn + mlp - post).norm(dim=-1) / post.norm(dim=-1)

    return max(float(block(k).max()) for k in range(model.n_layers))


@pytest.mark.parametrize(
    ("kind", "options", "components"),
    [
        ("gemma2", {}, _ALL),  # norms behind attention and MLP, two masks
        ("gemma3_text", {}, _ALL),
        ("gemma4_text", {}, _NO_MLP),  # the stream is scaled behind the MLP
        ("olmo2", {}, _ALL),  # norms behind, none before
        ("glm4", {}, _ALL),
        ("gpt_neox", {}, _SIDE_BY_SIDE),
        ("gptj", {}, _SIDE_BY_SIDE),
        ("phi", {}, _SIDE_BY_SIDE),
        ("cohere", {}, _SIDE_BY_SIDE),
        ("falcon", {}, _SIDE_BY_SIDE),
        ("falcon, new blocks", {}, _SIDE_BY_SIDE),
        ("falcon", {"parallel_attn": False}, _ALL),
        ("gpt_neo", {}, _ALL),
        ("bloom", {}, _ALL),  # adds the stream within attention and MLP
        ("mpt", {}, _ALL),  # and within the MLP
        ("opt", {}, _NO_MLP),
        ("granite", {"residual_multiplier": 1.0}, _ALL),
        ("granite", {"residual_multiplier": 0.5}, _BARE),  # outputs scaled on their way
        ("mixtral", {}, _ALL),  # experts
        ("qwen3_5_text", {}, _ALL),  # some blocks with attention, some without
    ],
)
def test_what_is_read_of_a_block_is_what_it_adds(kind: str, options: dict[str, Any], components: set[str]) -> None:
    model = _make(kind, **options)
    assert model.backend.components == components
    if {"attn_out", "mlp_out"} <= components:
        assert _off(model) < 1e-5
    for missing in _ALL - components:
        with pytest.raises(SiteError, match=rf"^there is no {missing}: in block 0 of \w+ no module \w+ .*resid_post"):
            model.forward(_PROMPTS, f"1.{missing}")


@pytest.mark.parametrize("kind", ["gemma2", "gpt_neox", "falcon", "bloom", "granite"])
@pytest.mark.parametrize("other", ["nnsight", "transformer_lens"])
def test_other_back_ends_read_the_same_or_do_not_offer_it(kind: str, other: str) -> None:
    model = _make(kind)
    there = with_backend(model, other)
    sites = [site for site in _sites(model) if site.component in there.backend.components]
    assert {site.component for site in sites} >= _BARE
    found, expected = (m.forward(_PROMPTS[:1], sites).activations for m in (there, model))
    for site in sites:
        torch.testing.assert_close(found[site], expected[site], atol=1e-5, rtol=1e-5, msg=lambda m, s=site: f"{s}: {m}")


@pytest.mark.parametrize(
    ("kind", "options"),
    [("gemma2", {}), ("gpt_neox", {}), ("granite", {"residual_multiplier": 0.5}), ("mixtral", {}), ("bloom", {})],
)
def test_unusual_blocks_conform(kind: str, options: dict[str, Any]) -> None:
    report = check_backend(_make(kind, **options))
    assert report.ok, str(report)


def test_a_block_that_adds_in_place_reads_equally_however_far_the_pass_goes() -> None:
    model, site = _make("falcon"), Site(1, "mlp_out")
    short = model.forward(_PROMPTS[:1], site).activations[site]
    long = model.forward(_PROMPTS[:1], _sites(model), logits=True).activations[site]
    part = model.forward(_PROMPTS[:1], site, logits=True, select=lambda x: x[:, 2:4]).activations[site]
    assert torch.equal(short, long) and torch.equal(part, short[:, 2:4])
    assert part.untyped_storage().nbytes() == part.nbytes  # a view would keep the whole


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["llama", "gemma2", "falcon", "bloom", "opt", "gemma4_text"])
def test_precision_changes_nothing_about_what_is_found(kind: str, dtype: torch.dtype) -> None:
    assert structure(tiny_architecture(kind).to(dtype)) == structure(tiny_architecture(kind))


def test_the_text_blocks_of_a_model_with_eyes_are_found_though_its_tower_is_as_deep(add: Any) -> None:
    model = _make("gemma3")
    assert len(model.backend.hf_model.model.vision_tower.encoder.layers) == model.n_layers
    assert {path.rsplit(".", 1)[0] for path in structure(model.backend.hf_model).blocks} == {
        "model.language_model.layers"
    }
    plain = model.forward(_PROMPTS[:1], logits=True).logits
    steered = model.forward(_PROMPTS[:1], logits=True, interventions=[add(Site(1), torch.full((32,), 3.0))]).logits
    assert float((plain - steered).abs().max()) > 0.1


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm", "gemma3_text, bidirectional"])
@pytest.mark.parametrize("scale", [0.02, 0.15])
def test_models_that_attend_to_later_tokens_are_refused(kind: str, scale: float) -> None:
    with pytest.raises(ModelError, match=r"^\w+ attends to later tokens: the workbench reads causal models$"):
        find_blocks(tiny_architecture(kind, initializer_range=scale))


@pytest.mark.parametrize(
    ("kind", "theirs"), [("gemma3n_text", "4, 2, 9, 32"), ("deepseek_v4", "2, 9, 4, 32"), ("xlnet", "9, 2, 32")]
)
def test_streams_that_are_not_one_vector_a_token_are_refused(kind: str, theirs: str) -> None:
    with pytest.raises(ModelError, match=rf"\[batch, pos, d\] = \[2, 9, 32\] .*\(theirs are \[{theirs}\]\)"):
        find_blocks(tiny_architecture(kind))


def _twice(hf_model: Any) -> None:
    blocks = hf_model.model.layers
    blocks[2] = blocks[1]


def _backwards(hf_model: Any) -> None:
    hf_model.model.layers.__class__ = _Backwards


class _Backwards(torch.nn.ModuleList):
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return torch.nn.ModuleList(list(found)[::-1]) if isinstance(index, slice) else found


@pytest.mark.parametrize("change", [_twice, _backwards])
def test_blocks_that_do_not_run_once_each_in_order_are_refused(change: Callable[[Any], None]) -> None:
    hf_model = tiny_architecture("llama")
    change(hf_model)
    with pytest.raises(ModelError, match="no list of blocks that run once each, in order"):
        find_blocks(hf_model)


def test_a_model_without_attention_blocks_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match="MambaForCausalLM has no list of attention blocks"):
        find_blocks(tiny_architecture("mamba"))


def test_the_search_leaves_no_hooks_and_draws_nothing() -> None:
    hf_model, state = tiny_architecture("llama"), torch.get_rng_state()
    find_blocks(hf_model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in hf_model.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_weights_that_are_not_numbers_do_not_hide_the_blocks() -> None:
    hf_model = tiny_architecture("llama")
    hf_model.model.layers[1].mlp.down_proj.weight[0] = torch.nan
    assert len(find_blocks(hf_model)) == 4


def test_a_component_counts_only_if_every_block_has_it() -> None:
    whole, part = Parts("attn", "mlp", True), Parts("attn", None, True)
    assert Structure("Model", ("h.0", "h.1"), (whole, whole)).components == _ALL
    short = Structure("Model", ("h.0", "h.1"), (whole, part))
    assert short.components == _ALL - {"mlp_out"}
    assert short.missing == {
        "mlp_out": "in block 1 of Model no module puts out what the MLP adds to the residual stream"
    }
