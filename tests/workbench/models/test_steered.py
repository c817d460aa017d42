"""The Hugging Face model itself, steered: the tokens of ``generate`` are those of our own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.errors import ArtifactError, DataError, ModelError, SiteError
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Scope, Where
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import tiny_tokenizer
from workbench.sites import Site

NEW = 7
SCOPES = ["prompt[-1:]+generation", "prompt", "prompt[1:3]+generation[1:4]", "generation[2:]", "prompt[:-1]+generation"]


def _left_padded(model: LanguageModel, prompts: list[Any]) -> dict[str, torch.Tensor]:
    rows = model.encode_all(prompts)
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    return {"input_ids": ids, "attention_mask": torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])}


def _generated(model: LanguageModel, prompts: list[Any], **options: Any) -> list[list[int]]:
    """Greedy tokens of Hugging Face's own ``generate`` over a batch padded on the left, up to the end token."""
    batch = _left_padded(model, prompts)
    out = model.backend.hf_model.generate(
        **batch, max_new_tokens=NEW, do_sample=False, pad_token_id=0, **options
    )[:, batch["input_ids"].shape[1] :].tolist()  # fmt: skip
    return [row[: row.index(2)] if 2 in row else row for row in out]


def _own(model: LanguageModel, prompts: list[Any], interventions: list[Any]) -> list[list[int]]:
    found = model.generate(prompts, max_new_tokens=NEW, temperature=0, interventions=interventions)
    return [row[0].tokens for row in found]


def _hooks(model: LanguageModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.backend.hf_model.modules())


@pytest.mark.parametrize("shape", ["llama", "gpt2", "mistral"])  # mistral: a sliding window of 6
@pytest.mark.parametrize("scope", SCOPES)
def test_generate_of_hugging_face_gives_the_tokens_of_our_own(
    model_on: Callable[[str, str], LanguageModel], shape: str, scope: str, prompts: list[str], add: Any, vectors: Any
) -> None:
    model = model_on(shape, "hf")
    steer = [add(Site(1), vectors, Scope.parse(scope)), add(Site(-1, "resid_pre"), vectors[0], Scope.parse(scope))]
    with model.steered(steer):
        found = _generated(model, prompts)
    assert found == _own(model, prompts, steer) != _own(model, prompts, [])
    assert _generated(model, prompts) == _own(model, prompts, [])


@pytest.mark.parametrize(
    "options",
    [
        {"use_cache": False},
        {"prefill_chunk_size": 4},
        {"cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 3},
    ],
)
def test_any_cache_of_hugging_face_gives_the_same_tokens(
    model: LanguageModel, prompts: list[str], add: Any, vectors: Any, options: dict[str, Any]
) -> None:
    prompts = prompts[:1] if "prompt_lookup_num_tokens" in options else prompts
    for scope in SCOPES[:3]:
        steer = [add(Site(1), vectors, Scope.parse(scope))]
        expected = _own(model, prompts, steer)
        with model.steered(steer):
            assert _generated(model, prompts, **options) == expected


@pytest.mark.parametrize("component", ["resid_pre", "resid_mid", "attn_out", "mlp_out", "resid_post"])
def test_every_component_is_steered(
    model: LanguageModel, component: str, prompts: list[str], add: Any, vectors: Any
) -> None:
    steer = [add(Site(2, component), vectors)]
    expected = _own(model, prompts, steer)
    with model.steered(steer):
        assert _generated(model, prompts) == expected


def test_every_back_end_steers_the_hugging_face_model(
    model_on: Callable[[str, str], LanguageModel], backend: str, prompts: list[str], add: Any, vectors: Any
) -> None:
    model, steer = model_on("llama", backend), [add(Site(1), vectors)]
    expected = _own(model, prompts, steer)
    with model.steered(steer) as hf_model:
        assert hf_model is model.backend.hf_model
        assert _generated(model, prompts) == expected


def test_several_turns_equal_our_own(model: LanguageModel, add: Any, vectors: Any) -> None:
    steer, said = [add(Site(1), vectors[:2], Scope.parse("prompt[-2:]+generation[1:]"))], []
    prompts = [model.encode("a b c d e"), model.encode("q")]
    with model.steered(steer):
        for turn in ("x y", "z"):
            said.append(_generated(model, prompts))
            prompts = [
                p + tokens + model.encode_continuation(turn) for p, tokens in zip(prompts, said[-1], strict=True)
            ]
    prompts = [model.encode("a b c d e"), model.encode("q")]
    for turn, tokens in zip(("x y", "z"), said, strict=True):
        assert tokens == _own(model, prompts, steer)
        prompts = [p + t + model.encode_continuation(turn) for p, t in zip(prompts, tokens, strict=True)]


def _positions(model: LanguageModel, watch: Any, run: Callable[[Any], Any]) -> list[Where]:
    seen: list[Where] = []
    with model.steered([watch(Site(0), lambda _, where: seen.append(where))]) as hf_model, torch.no_grad():
        run(hf_model)
    return seen


def test_a_kept_cache_goes_on_at_its_positions(model: LanguageModel, watch: Any) -> None:
    def run(hf_model: Any) -> None:
        cache = hf_model(torch.tensor([[1, 5, 6]])).past_key_values
        hf_model(torch.tensor([[7]]), past_key_values=cache)
        hf_model(torch.tensor([[8, 9]]), past_key_values=cache)  # a second turn
        hf_model(torch.tensor([[7]]), past_key_values=cache)

    seen = _positions(model, watch, run)
    assert [w.positions.tolist() for w in seen] == [[[0, 1, 2]], [[3]], [[4, 5]], [[6]]]
    assert [w.prompt_lengths[0, 0].item() for w in seen] == [3, 3, 6, 6]


def test_padding_on_either_side_is_never_touched(model: LanguageModel, watch: Any) -> None:
    ids = torch.tensor([[0, 0, 1], [1, 5, 6]])
    masks = [torch.tensor([[0, 0, 1], [1, 1, 1]]), torch.tensor([[1, 0, 0], [1, 1, 1]])]
    left, right = _positions(model, watch, lambda hf: [hf(ids, attention_mask=mask) for mask in masks])
    assert left.positions.tolist() == [[-1, -1, 0], [0, 1, 2]] and right.positions.tolist() == [[0, -1, -1], [0, 1, 2]]
    for where in (left, right):
        assert where.prompt_lengths[:, 0].tolist() == [1, 3] and where.rows[:, 0].tolist() == [0, 1]


def test_a_plain_pass_gives_the_logits_of_forward(
    model: LanguageModel, prompts: list[str], add: Any, vectors: Any
) -> None:
    steer = [add(Site(1), vectors, Scope.parse("prompt[1:-1]"))]
    own = model.forward(prompts, interventions=steer, logits=True)
    with model.steered(steer) as hf_model, torch.no_grad():
        found = hf_model(**_left_padded(model, prompts)).logits
        base = hf_model.base_model(**_left_padded(model, prompts)).last_hidden_state
    for row, length in enumerate(own.lengths):
        torch.testing.assert_close(found[row, -length:], own.logits[row, :length])
        torch.testing.assert_close(hf_model.lm_head(base[row, -length:]), own.logits[row, :length])


def test_a_row_is_a_prompt_whatever_number_of_sequences_it_returns(
    model: LanguageModel, prompts: list[str], watch: Any
) -> None:
    batch = _left_padded(model, prompts)
    seen = _positions(model, watch, lambda hf: hf.generate(
        **batch, max_new_tokens=2, do_sample=True, num_return_sequences=2, pad_token_id=0
    ))  # fmt: skip
    assert all(where.rows[:, 0].tolist() == [0, 0, 1, 1, 2, 2] for where in seen)
    assert all(where.prompt_lengths[:, 0].tolist() == [13, 13, 2, 2, 9, 9] for where in seen)


def test_nested_blocks_act_in_order_and_end_one_by_one(model: LanguageModel, add: Any, vectors: Any) -> None:
    one, two = add(Site(1), vectors[0]), add(Site(2), vectors[1])
    expected = [_own(model, ["a b c"], list(steer)) for steer in ((one, two), (one,), ())]
    with model.steered([one]):
        with model.steered([two]):
            assert _generated(model, ["a b c"]) == expected[0]
        assert _generated(model, ["a b c"]) == expected[1]
    assert _generated(model, ["a b c"]) == expected[2]


def test_a_thread_that_streams_is_steered_too(model: LanguageModel, add: Any, vectors: Any) -> None:
    steer, found = [add(Site(1), vectors)], []
    expected = _own(model, ["a b c"], steer)
    with model.steered(steer):
        thread = threading.Thread(target=lambda: found.append(_generated(model, ["a b c"])))
        thread.start()
        thread.join()
    assert found == [expected]


class _Expected(Exception):
    pass


@pytest.mark.parametrize("where", ["block", "intervention", "site"])
def test_whatever_raises_leaves_the_model_as_it_was(
    model: LanguageModel, watch: Any, add: Any, vectors: Any, where: str
) -> None:
    before, plain = _hooks(model), _own(model, ["a b c"], [])

    def fail(*_: Any) -> None:
        raise _Expected

    steer = [add(Site(1), vectors[0]), watch(Site(0), fail if where == "intervention" else lambda *_: None)]
    error = SiteError if where == "site" else _Expected
    with (
        pytest.raises(error),
        model.steered([*steer, *([add(Site(1, "attn.z"), vectors[0])] if where == "site" else [])]),
    ):
        _generated(model, ["a b c"])
        raise _Expected
    assert _hooks(model) == before and "generate" not in vars(model.backend.hf_model)
    assert _own(model, ["a b c"], []) == plain == _generated(model, ["a b c"])


def test_calls_of_the_workbench_are_refused_inside(
    model_on: Callable[[str, str], LanguageModel], backend: str, add: Any, vectors: Any
) -> None:
    model = model_on("llama", backend)
    with (
        model.steered([add(Site(1), vectors[0])]),
        pytest.raises(ModelError, match=r"inside model.steered\(...\) only"),
    ):
        model.generate(["a"])
    assert model.generate(["a"], max_new_tokens=1)


def test_mistakes_are_one_line(model: LanguageModel, add: Any, vectors: Any) -> None:
    with pytest.raises(DataError, match="for one intervention"), model.steered(add(Site(1), vectors[0])):  # type: ignore[arg-type]
        pass
    with pytest.raises(SiteError, match="layers 0 to 3"), model.steered([add(Site(4), vectors[0])]):
        pass
    other = add(Site(1), vectors[0])
    object.__setattr__(other, "fingerprint", "another")
    with pytest.raises(ArtifactError, match="fingerprint another"), model.steered([other]):
        pass
    with torch.no_grad():
        cache = model.backend.hf_model(torch.tensor([[1, 5]])).past_key_values
    with model.steered([add(Site(1), vectors[0])]) as hf_model:
        with pytest.raises(ModelError, match="goes on from a cache that was not filled"):
            hf_model(torch.tensor([[7]]), past_key_values=cache)
        with pytest.raises(ModelError, match="packed sequences"):
            hf_model(torch.tensor([[1, 5, 1, 6]]), position_ids=torch.tensor([[0, 1, 0, 1]]))
        with pytest.raises(ModelError, match="mask of 1 tokens for 2"):
            hf_model(torch.tensor([[1, 5]]), attention_mask=torch.tensor([[1]]))


def test_a_model_with_two_kinds_of_layers_is_steered_like_our_own(prompts: list[str], add: Any, vectors: Any) -> None:
    """Gemma 3: a window on some layers, norms behind attention and MLP."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(
        vocab_size=len(tiny_tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=4, head_dim=8,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=4, max_position_embeddings=256,
        layer_types=["sliding_attention", "full_attention"] * 2, initializer_range=0.15, eos_token_id=2, bos_token_id=1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hf_model = Gemma3ForCausalLM(config).eval()
    model = LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), "tiny-gemma")
    plain = _own(model, prompts, [])
    for scope in SCOPES[:3]:
        steer = [add(Site(1), 3 * vectors, Scope.parse(scope)), add(Site(2, "mlp_out"), vectors, Scope.parse(scope))]
        expected = _own(model, prompts, steer)
        with model.steered(steer):
            assert _generated(model, prompts) == expected != plain
