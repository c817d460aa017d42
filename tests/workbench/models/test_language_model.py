"""Reading a model: prompts, sites, and what ``forward`` gives back."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from workbench.errors import DataError, ModelError, SiteError
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Scope, Where
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import tiny_hf_model, tiny_tokenizer
from workbench.sites import Site


def test_layers_as_list_range_or_generator_are_alike(model: LanguageModel) -> None:
    forms = [[0, 1, 2], range(3), (k for k in range(3)), ["0.resid_post", "blocks.1.hook_resid_post", Site(2)]]
    found = [model.forward(["a b c"], sites).activations for sites in forms]
    for other in found[1:]:
        assert list(other) == list(found[0]) == [Site(0), Site(1), Site(2)]
        assert all(torch.equal(other[site], found[0][site]) for site in other)


def test_negative_layers_count_from_the_end_and_come_back_as_the_true_ones(model: LanguageModel) -> None:
    plain = model.forward(["a b c"], [3, "2.attn_out"]).activations
    for sites in ([-1, "-2.attn_out"], [Site(-1), "blocks.-2.hook_attn_out"]):
        found = model.forward(["a b c"], sites).activations
        assert list(found) == [Site(3), Site(2, "attn_out")]
        assert all(torch.equal(found[site], plain[site]) for site in plain)


def test_activations_are_found_by_site_text_and_layer(model: LanguageModel) -> None:
    found = model.forward(["a b c"], [1, 3]).activations
    for form in (Site(1), 1, -3, "1.resid_post", "blocks.1.hook_resid_post", "-3.resid_post"):
        assert found[form] is found[Site(1)] and form in found
    assert 0 not in found and "nonsense" not in found and found.get("2.resid_post") is None
    with pytest.raises(SiteError, match=r"blocks.2.hook_resid_post was not captured; did you mean"):
        found[2]


def test_an_intervention_at_a_negative_layer_acts_at_the_true_one(
    model: LanguageModel, add: Any, vectors: torch.Tensor
) -> None:
    def run(site: Site) -> list[Any]:
        steer = [add(site, vectors)]
        logits = model.forward(["a b", "c"], [3], steer, logits=True).logits
        return [logits.tolist(), model.generate(["a b", "c"], max_new_tokens=4, temperature=0, interventions=steer)]

    assert run(Site(-2)) == run(Site(2)) != run(Site(1))
    with pytest.raises(SiteError, match="the model has layers 0 to 3"):
        run(Site(-5))


@pytest.mark.parametrize("wrong", [lambda z: None, lambda z: z[:, :1], lambda z: z.double(), lambda z: z.tolist()])
def test_an_intervention_that_returns_no_activation_of_its_kind_is_named(
    model_on: Any, backend: str, wrong: Any
) -> None:
    class Wrong:
        site, scope = Site(1), Scope()

        def __call__(self, activation: torch.Tensor, where: Where) -> Any:
            return wrong(activation)

    with pytest.raises(
        DataError, match=r"^Wrong at blocks.1.hook_resid_post returned .*, not a tensor .*32\)"
    ) as caught:
        model_on("llama", backend).forward(["a b", "c"], [2], [Wrong()])
    assert "\n" not in str(caught.value)


def test_rows_are_padded_on_the_right_and_lengths_told(model: LanguageModel, prompts: list[str]) -> None:
    found = model.forward(prompts, [1], logits=True)
    assert found.lengths == [len(model.encode(p)) for p in prompts]
    assert found.activations[Site(1)].shape == (3, max(found.lengths), model.d_model)
    assert found.logits is not None and found.logits.shape == (3, max(found.lengths), model.config.vocab_size)


def test_text_messages_and_tokens_are_the_same_prompt(model: LanguageModel) -> None:
    messages = [{"role": "user", "content": "a b"}]
    text = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    tokens = model.encode(messages)
    assert tokens == model.tokenizer(text, add_special_tokens=False)["input_ids"] == model.encode(tokens)
    assert model.encode_all(["a b", "c"]) == [model.encode("a b"), model.encode("c")]
    assert model.encode_all([messages, tokens]) == [tokens, tokens]


def test_a_continuation_gets_no_special_tokens(model: LanguageModel) -> None:
    assert model.encode("a b") == [1, *model.encode_continuation("a b")]
    assert model.decode([1, *model.encode_continuation("a b"), 2]) == "a b"


def test_select_keeps_only_what_it_returns(model: LanguageModel) -> None:
    whole = model.forward(["a b c", "d"], [1]).activations[Site(1)]
    first = model.forward(["a b c", "d"], [1], select=lambda activation: activation[:, 0]).activations[Site(1)]
    assert torch.equal(first, whole[:, 0])


def test_a_select_for_each_site_is_called_once_in_the_order_of_the_pass(model: LanguageModel) -> None:
    seen: list[int] = []
    sites = [Site(2), Site(0), Site(1)]

    def first(layer: int, activation: torch.Tensor) -> torch.Tensor:
        seen.append(layer)
        return activation[:, 0]

    select = {site: partial(first, site.layer) for site in sites[:2]}
    found = model.forward(["a b c", "d"], sites, select=select).activations
    whole = model.forward(["a b c", "d"], sites).activations
    assert seen == [0, 2] and list(found) == sites
    assert torch.equal(found[1], whole[1]) and torch.equal(found[2], whole[2][:, 0])


def test_row_numbers_say_which_row_of_an_intervention_a_prompt_is(
    model: LanguageModel, add: Any, vectors: torch.Tensor
) -> None:
    whole = model.forward(["a b", "c", "d e"], interventions=[add(Site(0), vectors)], logits=True).logits
    part = model.forward(["d e"], interventions=[add(Site(0), vectors)], logits=True, row_numbers=[2]).logits
    torch.testing.assert_close(part[0], whole[2, : part.shape[1]])


def test_padding_is_never_touched_and_marked_so(model: LanguageModel, watch: Any) -> None:
    seen: list[Where] = []
    model.forward(["a b", "c"], [0], [watch(Site(0), lambda _, where: seen.append(where))])
    assert seen[0].positions.tolist() == [[0, 1, 2], [0, 1, -1]]
    assert seen[0].rows.tolist() == [[0] * 3, [1] * 3] and seen[0].prompt_lengths.tolist() == [[3] * 3, [2] * 3]


def test_interventions_at_one_site_act_in_the_order_given(model: LanguageModel, watch: Any) -> None:
    order: list[int] = []
    chain = [watch(Site(1), lambda *_, k=k: order.append(k)) for k in (2, 0, 1)]
    model.forward(["a"], [1], chain)
    assert order == [2, 0, 1]


def test_what_it_is_called_and_made_of(model: LanguageModel) -> None:
    assert (model.n_layers, model.d_model, model.basis, model.backend_name) == (4, 32, "raw", "hf")
    assert repr(model) == "LanguageModel('tiny-llama', hf, 4 layers x 32, torch.float32, cpu)"


def test_a_prompt_may_fill_the_positions_and_not_more(model: LanguageModel) -> None:
    model.forward([[5] * 256], [0])
    with pytest.raises(ModelError, match="exceed the 256 positions"):
        model.forward([[5] * 257], [0])


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ([4], "blocks.4.hook_resid_post does not exist: the model has layers 0 to 3"),
        (["resid_post"], "cannot read site 'resid_post'"),
        (["1.resid_pots"], "did you mean 'resid_post'"),
        ([-5], r"blocks.-5.hook_resid_post does not exist: .* 0 to 3 \(or -4 to -1, from the end\)"),
        ([True], "cannot read layer True"),
    ],
)
def test_sites_that_do_not_exist_are_named(model: LanguageModel, sites: Any, message: str) -> None:
    with pytest.raises(SiteError, match=message):
        model.forward(["a"], sites)


def test_empty_prompts_are_refused(model: LanguageModel) -> None:
    for prompts in ([], [[]]):
        with pytest.raises(DataError, match=r"non-empty list|at least one token"):
            model.forward(prompts, [0])


def test_messages_need_a_chat_template() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    model = LanguageModel(HuggingFaceBackend(tiny_hf_model("llama")), tokenizer, "plain")
    with pytest.raises(ModelError, match="plain has no chat template: pass the prompt as text"):
        model.encode([{"role": "user", "content": "a"}])
