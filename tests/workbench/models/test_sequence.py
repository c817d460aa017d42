"""The transformer that acts: equal to plain torch, step by step equal to the whole, rows dropped without a trace."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from workbench.errors import SpecError
from workbench.models import load_model
from workbench.models.sequence import SequenceCache, SequenceConfig, SequenceModelForActions, relative_buckets
from workbench.models.sequence_model import SequenceModel
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site

SIZES, TIME = (3, 5, 4), 14


@pytest.fixture(scope="module")
def model() -> SequenceModel:
    return tiny_sequence_model(seed=4, field_sizes=SIZES)


@pytest.fixture(scope="module")
def episodes() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.stack([torch.randint(size, (6, TIME), generator=generator) for size in SIZES], -1)


def plain(model: SequenceModel, observations: Tensor) -> dict[str, Tensor]:
    """One episode [pos, fields] through the equations, a head, a query and a key at a time."""
    w, heads, d = model.backend.hf_model.state_dict(), model.config.num_attention_heads, model.d_model
    hot = torch.cat([torch.nn.functional.one_hot(o, n) for o, n in zip(observations.T, SIZES, strict=True)], -1)
    x, size, found = hot.float() @ w["model.embed.weight"], d // heads, {}

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    for layer in range(model.n_layers):
        at = f"model.layers.{layer}"
        q, k, v = (norm(x, f"{at}.input_layernorm") @ w[f"{at}.self_attn.qkv.weight"].T).split(d, -1)
        mixed = torch.zeros_like(x)
        for head in range(heads):
            cut = slice(head * size, (head + 1) * size)
            for t in range(len(x)):
                bias = torch.stack([w[f"{at}.self_attn.bias.weight"][bucket(t - s), head] for s in range(t + 1)])
                score = torch.stack([q[t, cut] @ k[s, cut] for s in range(t + 1)]) / math.sqrt(size) + bias
                mixed[t, cut] = score.softmax(0) @ v[: t + 1, cut]
        x = x + mixed @ w[f"{at}.self_attn.out.weight"].T
        inner = norm(x, f"{at}.post_attention_layernorm") @ w[f"{at}.mlp.up.weight"].T + w[f"{at}.mlp.up.bias"]
        x = x + inner.clamp(min=0) @ w[f"{at}.mlp.down.weight"].T + w[f"{at}.mlp.down.bias"]
        found[f"{layer}"] = x
    last = norm(x, "model.norm")
    logits = last @ w["action_head.weight"].T + w["action_head.bias"]
    return found | {"logits": logits, "next": last @ w["observation_head.weight"].T + w["observation_head.bias"]}


def bucket(back: int) -> int:
    """T5's bucket of a distance, one at a time: 16 exact ones, 16 up to a distance of 128."""
    return back if back < 16 else min(31, 16 + int(math.log(back / 16) / math.log(8) * 16))


def test_residual_stream_and_logits_equal_an_explicit_forward(model: SequenceModel, episodes: Tensor) -> None:
    found = model.forward(episodes, sites=range(3), logits=True)
    for row, each in enumerate(episodes):
        wanted = plain(model, each)
        torch.testing.assert_close(found.logits[row], wanted["logits"], atol=2e-5, rtol=1e-4)
        for layer in range(3):
            at = found.activations[Site(layer)][row]
            torch.testing.assert_close(at, wanted[str(layer)], atol=2e-5, rtol=1e-4)


def test_the_next_observation_has_a_head_for_every_field(model: SequenceModel, episodes: Tensor) -> None:
    out = model.backend.hf_model(episodes[:1])
    fields = model.backend.hf_model.next_observation(out.last_hidden_state)
    assert [each.shape[-1] for each in fields] == list(SIZES)
    torch.testing.assert_close(torch.cat(fields, -1)[0], plain(model, episodes[0])["next"], atol=2e-5, rtol=1e-4)


@given(st.integers(0, 400), st.integers(0, 50))
def test_buckets_are_those_of_t5_and_look_at_the_distance_alone(back: int, shift: int) -> None:
    found = relative_buckets(torch.tensor([back + shift]), torch.tensor([shift]))
    assert abs(int(found) - bucket(back)) <= (back >= 16 and math.log2(back) % 1 == 0)  # at whole powers, rounding
    assert int(found) == back if back < 16 else 16 <= int(found) <= 31


def test_keys_after_the_query_share_the_bucket_of_no_distance() -> None:
    assert relative_buckets(torch.tensor([2]), torch.tensor([2, 5])).tolist() == [[0, 0]]


def test_nothing_later_reaches_what_was_before(model: SequenceModel, episodes: Tensor) -> None:
    changed = episodes.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % torch.tensor(SIZES)
    a, b = (model.forward(each, logits=True).logits for each in (episodes, changed))
    assert torch.equal(a[:, :9], b[:, :9]) and not torch.allclose(a[:, 9], b[:, 9])


# ---- the cache


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_cached_logits_equal_uncached_ones_however_it_is_cut(
    model: SequenceModel, episodes: Tensor, pieces: list[int]
) -> None:
    ends = torch.tensor(pieces).cumsum(0).clamp(max=TIME).tolist()
    whole, cache, parts = model.forward(episodes[:, : ends[-1]], logits=True).logits, model.cache(), []
    with torch.no_grad():
        for start, end in zip([0, *ends], ends, strict=False):
            if end > start:
                parts.append(model.backend.forward(episodes[:, start:end], cache=cache))
    assert cache.get_seq_length() == ends[-1]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_rows_that_are_kept_go_on_as_if_the_others_had_never_been(model: SequenceModel, episodes: Tensor) -> None:
    rows, cache, alone = torch.tensor([4, 1]), model.cache(), model.cache()
    with torch.no_grad():
        for t in range(7):
            model.step(episodes[:, t], cache)
            model.step(episodes[rows, t], alone)
        cache.keep(rows)
        for t in range(7, TIME):
            found, wanted = model.step(episodes[rows, t], cache), model.step(episodes[rows, t], alone)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    whole = model.forward(episodes[rows], logits=True).logits[:, -1]
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


def test_an_untouched_cache_drops_rows_and_a_stopped_pass_leaves_the_layers_above(model: SequenceModel) -> None:
    cache = model.cache(length=4)
    cache.keep(torch.tensor([0]))
    assert cache.get_seq_length() == 0
    with torch.no_grad():
        model.step(torch.zeros(2, 3, dtype=torch.long), cache, stop_after=0)
    assert cache.get_seq_length() == 0  # the last layer saw nothing
    keys, _ = cache.update(torch.ones(2, 2, 1, 8), torch.ones(2, 2, 1, 8), layer=0)
    assert keys.shape == (2, 2, 2, 8)


def test_a_cache_hands_back_all_keys_in_order() -> None:
    cache = SequenceCache(layers=1, length=5)
    for t in range(5):
        new = torch.full((1, 1, 1, 2), float(t))
        keys, values = cache.update(new, -new, 0)
    assert keys[0, 0, :, 0].tolist() == [0, 1, 2, 3, 4] == (-values)[0, 0, :, 0].tolist()


# ---- folders and kinds


def test_a_saved_folder_loads_as_the_same_model(model: SequenceModel, episodes: Tensor, tmp_path: Path) -> None:
    model.backend.hf_model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, device="cpu")
    assert isinstance(loaded, SequenceModel) and loaded.fingerprint == model.fingerprint
    assert torch.equal(loaded.forward(episodes, logits=True).logits, model.forward(episodes, logits=True).logits)


def test_new_weights_are_small_and_biases_zero() -> None:
    fresh = SequenceModelForActions(SequenceConfig(field_sizes=SIZES, hidden_size=64))
    named = dict(fresh.named_parameters())
    assert 0.015 < named["model.layers.0.mlp.up.weight"].std() < 0.025
    assert named["action_head.bias"].abs().max() == 0 == named["model.layers.1.mlp.down.bias"].abs().max()


def test_an_unknown_kind_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'attention'"):
        SequenceConfig(block="atention")
