"""Every back end against Hugging Face, on every shape."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from workbench.errors import SiteError
from workbench.models.backend import in_order
from workbench.models.check import check_backend
from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.tiny import SHAPES
from workbench.sites import Site

Maker = Callable[[str, str], LanguageModel]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_back_end_passes_its_conformance_check(model_on: Maker, shape: str, backend: str) -> None:
    report = check_backend(model_on(shape, backend))
    assert report.ok and len(report.rows) == 18, str(report)


@pytest.mark.parametrize("shape", SHAPES)
def test_activations_and_logits_equal_hugging_face(
    model_on: Maker, shape: str, backend: str, prompts: list[str]
) -> None:
    model = model_on(shape, backend)
    sites = [Site(k, c) for k in range(4) for c in ("resid_pre", "resid_post")]
    found = model.forward(prompts, sites, logits=True)
    for i, prompt in enumerate(prompts):
        tokens = torch.tensor([model.encode(prompt)])
        with torch.no_grad():
            expected = model.backend.hf_model(tokens, output_hidden_states=True)
        n = tokens.shape[1]
        torch.testing.assert_close(found.logits[i, :n], expected.logits[0], atol=1e-5, rtol=1e-5)
        for site in sites[:-1]:  # Hugging Face takes its last entry after the final norm
            stage = site.layer + (site.component == "resid_post")
            actual = found.activations[site][i, :n]
            torch.testing.assert_close(actual, expected.hidden_states[stage][0], atol=1e-5, rtol=1e-5)
        normed = _final_norm(model)(found.activations[Site(3)][i, :n])
        torch.testing.assert_close(normed, expected.hidden_states[-1][0], atol=1e-5, rtol=1e-5)


def _final_norm(model: LanguageModel) -> Any:
    base = model.backend.hf_model.base_model
    return base.ln_f if hasattr(base, "ln_f") else base.norm


@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_tokens_equal_hugging_face_generate(
    model_on: Maker, shape: str, backend: str, prompts: list[str]
) -> None:
    model = model_on(shape, backend)
    found = model.generate(prompts, n=2, max_new_tokens=10, temperature=0)
    for prompt, (one, other) in zip(prompts, found, strict=True):
        tokens = model.encode(prompt)
        with torch.no_grad():
            out = model.backend.hf_model.generate(torch.tensor([tokens]), max_new_tokens=10, do_sample=False)
        expected = out[0, len(tokens) :].tolist()
        assert one.tokens == other.tokens == (expected[: expected.index(2)] if 2 in expected else expected)


@pytest.mark.parametrize(
    "text", ["prompt[-1:]+generation", "prompt[2:4]", "generation[1:3]", "prompt[-3:-1]+generation[2:]"]
)
@pytest.mark.parametrize("shape", ["gpt2", "mistral"])
def test_steering_under_the_cache_touches_exactly_the_positions_of_its_scope(
    model_on: Maker, shape: str, backend: str, text: str, prompts: list[str],
    add: Any, vectors: torch.Tensor, oracle_greedy: Callable[..., list[int]],
) -> None:  # fmt: skip
    model, scope, new = model_on(shape, backend), Scope.parse(text), 6
    found = model.generate(prompts, max_new_tokens=new, temperature=0, interventions=[add(Site(1), 3 * vectors, scope)])
    for prompt, vector, (completion,) in zip(prompts, 3 * vectors, found, strict=True):
        tokens = model.encode(prompt)
        prompt_at, generated_at = list(range(len(tokens))), list(range(len(tokens), len(tokens) + new))
        at = _window(prompt_at, scope.prompt) + _window(generated_at, scope.generation)
        steered = oracle_greedy(model.backend.hf_model, tokens, new, layer=1, vector=vector, at=at)
        assert completion.tokens == steered


def _window(positions: list[int], window: Any) -> list[int]:
    return [] if window is None else positions[window.start : window.stop]


def test_steering_changes_what_is_said(model_on: Maker, backend: str, add: Any, vectors: torch.Tensor) -> None:
    """Else the tests of where it acts would hold without it acting at all."""
    model = model_on("gpt2", backend)
    plain, steered = (
        model.generate(["a b c d e"], max_new_tokens=6, temperature=0, interventions=interventions)[0][0].tokens
        for interventions in ([], [add(Site(1), 9 * vectors[0], Scope.parse("generation[1:3]"))])
    )
    assert plain != steered and plain[:1] == steered[:1]


@pytest.mark.parametrize("component", ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"])
def test_dose_zero_equals_unsteered_bit_for_bit(
    model_on: Maker, backend: str, component: str, prompts: list[str], add: Any, vectors: torch.Tensor
) -> None:
    model = model_on("llama", backend)
    nothing = add(Site(2, component), 0 * vectors, Scope.everywhere())
    plain, steered = (model.forward(prompts, interventions=i, logits=True).logits for i in ([], [nothing]))
    assert torch.equal(plain, steered)


@pytest.mark.parametrize("component", ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"])
def test_back_ends_agree_on_steering_at_every_component(
    model_on: Maker, backend: str, component: str, prompts: list[str], add: Any, vectors: torch.Tensor
) -> None:
    steer = add(Site(1, component), vectors, Scope.everywhere())
    sites = [Site(k, c) for k in (1, 2) for c in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")]
    a, b = (model_on("qwen2", name).forward(prompts, sites, [steer], logits=True) for name in ("hf", backend))
    for row, length in enumerate(a.lengths):
        torch.testing.assert_close(a.logits[row, :length], b.logits[row, :length], atol=1e-5, rtol=1e-5)
        for site in sites:
            x, y = (f.activations[site][row, :length] for f in (a, b))
            torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)


def test_activations_are_read_after_interventions_at_the_same_site(
    model_on: Maker, backend: str, add: Any, vectors: torch.Tensor
) -> None:
    model, site = model_on("llama", backend), Site(1)
    plain = model.forward(["a b c"], [site]).activations[site]
    steered = model.forward(["a b c"], [site], [add(site, vectors[0], Scope.everywhere())]).activations[site]
    torch.testing.assert_close(steered, plain + vectors[0])


def test_a_site_sees_what_interventions_before_it_in_the_same_block_changed(
    model_on: Maker, backend: str, add: Any, vectors: torch.Tensor
) -> None:
    """Whatever the order in which they are given."""
    model, everywhere = model_on("llama", backend), Scope.everywhere()
    parts = [Site(1, c) for c in ("resid_mid", "attn_out", "resid_pre")]
    steer = [add(Site(1, "resid_mid"), vectors[0], everywhere), add(Site(1, "resid_pre"), vectors[1], everywhere)]
    found = model.forward(["a b c"], parts, steer).activations
    middle, attn_out, pre = (found[site] for site in parts)
    torch.testing.assert_close(middle, pre + attn_out + vectors[0], atol=1e-5, rtol=1e-5)


def test_hooks_are_ordered_as_a_pass_reaches_them() -> None:
    sites = [Site(1, "resid_post"), Site(1, "resid_mid"), Site(0, "mlp_out"), Site(1, "attn_out"), Site(1, "resid_pre")]
    ordered = [site for site, _ in in_order({site: torch.Tensor.clone for site in sites}, None)]
    assert ordered == [sites[2], sites[4], sites[3], sites[1], sites[0]]


@pytest.mark.parametrize("where", ["resid_pre", "attn_out", "resid_mid", "resid_post"])
def test_whatever_raises_in_a_hook_is_seen_and_leaves_no_hooks(
    model_on: Maker, backend: str, where: str, prompts: list[str], watch: Any
) -> None:
    model = model_on("llama", backend)
    before, hooks = model.forward(prompts, logits=True).logits, _hook_count(model)
    first, calls = KeyError("mine"), []

    def fail(*_: Any) -> None:
        calls.append(1)
        raise first

    for call in (partial(model.forward, logits=True), model.generate):
        with pytest.raises(KeyError, match="mine") as caught:
            call(prompts, interventions=[watch(Site(1, where), fail), watch(Site(3), fail)])
        assert caught.value is first
    assert len(calls) == 2  # no hook of the first pass fired in the second
    assert _hook_count(model) == hooks
    assert torch.equal(model.forward(prompts, logits=True).logits, before)


def _hook_count(model: LanguageModel) -> int:
    backend = model.backend
    bridge = getattr(backend, "bridge", None)
    points = 0 if bridge is None else sum(len(point.fwd_hooks) for point in bridge.hook_dict.values())
    modules = [*backend.hf_model.modules(), *(getattr(backend, "_copy", None) or torch.nn.Identity()).modules()]
    return points + sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def test_a_pass_stops_behind_the_deepest_site_and_gives_no_logits(
    model_on: Maker, backend: str, prompts: list[str], watch: Any
) -> None:
    model, seen = model_on("llama", backend), []
    deep = watch(Site(2, "resid_pre"), lambda *_: seen.append(2))
    found = model.forward(prompts, [Site(0), Site(1)], [deep])
    assert found.logits is None and not seen
    model.forward(prompts, [Site(2, "resid_pre")], [deep])
    assert seen == [2]


def test_activations_carry_no_graph(model_on: Maker, backend: str) -> None:
    model = model_on("llama", backend)
    for parameter in model.backend.hf_model.parameters():
        parameter.requires_grad_(True)
    found = model.forward(["a b"], [Site(1)], logits=True)
    assert not found.activations[Site(1)].requires_grad and not found.logits.requires_grad


def test_hooks_of_threads_do_not_meet(model_on: Maker, backend: str, add: Any, vectors: torch.Tensor) -> None:
    model = model_on("llama", backend)
    steer = [add(Site(1), v, Scope.everywhere()) for v in vectors]
    expected = [model.forward(["a b c d"], interventions=[s], logits=True).logits for s in steer]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(8):
            found = model.forward(["a b c d"], interventions=[steer[k]], logits=True).logits
            if not torch.equal(found, expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_back_ends_share_the_weights_and_leave_the_model_as_it_is(model_on: Maker, backend: str) -> None:
    model = model_on("llama", backend)
    hf_model = model_on("llama", "hf").backend.hf_model
    assert model.backend.hf_model is hf_model
    assert type(hf_model.model.layers[0]).__name__ == "LlamaDecoderLayer"
    assert "forward" not in vars(hf_model.model.layers[0])
    running = {"hf": "hf_model", "nnsight": "_copy", "transformer_lens": "bridge"}[backend]
    embedding = getattr(model.backend, running).get_input_embeddings() if backend != "transformer_lens" else None
    if embedding is not None:
        assert embedding.weight is hf_model.get_input_embeddings().weight


def test_any_back_end_can_be_swapped_for_any_other(model_on: Maker, backend: str, prompts: list[str]) -> None:
    start = model_on("gpt2", backend)
    expected = start.generate(prompts, max_new_tokens=5, seeds=4)
    for other in ("hf", "transformer_lens", "nnsight"):
        model = with_backend(start, other)
        assert model.backend_name == other and model.fingerprint == start.fingerprint and model.basis == "raw"
        found = model.generate(prompts, max_new_tokens=5, seeds=4)
        assert [c[0].tokens for c in found] == [c[0].tokens for c in expected]


def test_a_component_that_a_back_end_lacks_is_named_with_those_it_has(model_on: Maker) -> None:
    with pytest.raises(SiteError, match=r"no attn.pattern \(it has attn_out, .*backend='transformer_lens'"):
        model_on("llama", "hf").forward(["a"], ["1.attn.pattern"])
