"""The recurrent model: the recurrence against a plain loop, the block against Hugging Face's, steps against wholes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import RecurrentGemmaConfig
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import RecurrentGemmaRecurrentBlock

from workbench.activations import capture
from workbench.errors import DataError, SpecError
from workbench.models import Scope, Window, load_model
from workbench.models.recurrent import RecurrentMixing, RgLru, linear_recurrence
from workbench.models.sequence import SequenceConfig, SequenceModelForActions
from workbench.models.sequence_model import SequenceModel
from workbench.models.untrained import untrained
from workbench.sites import Site

SIZE, TIME = 7, 23
EVERYWHERE = Scope(prompt=Window())


def tiny_config(**changes: Any) -> SequenceConfig:
    shape = {
        "block": "recurrent", "observation": "vector", "observation_size": SIZE, "action": "gaussian", "n_actions": 3,
        "field_sizes": [], "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3,
        "num_attention_heads": 2, "max_position_embeddings": 32,
    }  # fmt: skip
    return SequenceConfig(**(shape | changes))


@pytest.fixture(scope="module")
def hawk() -> SequenceModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SequenceModelForActions(tiny_config())
        for name, parameter in model.named_parameters():
            if "rg_lru" not in name:
                parameter.data.normal_(std=0.4)
    return SequenceModel(model.eval().requires_grad_(False), "tiny-hawk")


@pytest.fixture(scope="module")
def episodes() -> Tensor:
    return torch.randn(4, TIME, SIZE, generator=torch.Generator().manual_seed(1))


def plain(decay: Tensor, x: Tensor, start: Tensor) -> Tensor:
    states, h = [], start
    for t in range(x.shape[1]):
        h = decay[:, t] * h + x[:, t]
        states.append(h)
    return torch.stack(states, 1)


@given(st.integers(1, 70), st.integers(0, 10**6))
def test_the_chunked_recurrence_equals_the_plain_one(time: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    decay, x = torch.rand(2, 2, time, 3, generator=generator, dtype=torch.float64)
    start = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(linear_recurrence(decay, x, start), plain(decay, x, start), atol=1e-12, rtol=0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_decays_at_their_bounds_give_the_inputs_or_their_sum(value: float) -> None:
    x = torch.randn(1, 500, 2)
    states = linear_recurrence(torch.full_like(x, value), x, torch.zeros(1, 2))
    torch.testing.assert_close(states, x if value == 0 else x.cumsum(1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("time", [1, 2, 7, 10])
def test_the_gradient_is_that_of_finite_differences(time: int) -> None:
    generator = torch.Generator().manual_seed(time)
    shapes = ((2, time, 3), (2, time, 3), (2, 3))
    inputs = [torch.rand(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(linear_recurrence, inputs)


def gemma_block(ours: RecurrentMixing) -> RecurrentGemmaRecurrentBlock:
    """Hugging Face's block with our weights."""
    d = ours.out.in_features
    config = RecurrentGemmaConfig(
        hidden_size=d, lru_width=d, num_attention_heads=ours.rg_lru.heads, conv1d_width=4,
        hidden_activation="gelu_pytorch_tanh", num_hidden_layers=1,
    )  # fmt: skip
    theirs, unit = RecurrentGemmaRecurrentBlock(config, 0), ours.rg_lru
    theirs.linear_y, theirs.linear_x, theirs.linear_out = ours.gate, ours.inner, ours.out
    theirs.conv_1d.weight, theirs.conv_1d.bias = ours.conv.weight, ours.conv.bias
    theirs.rg_lru.recurrent_param = unit.decay
    theirs.rg_lru.input_gate_weight, theirs.rg_lru.input_gate_bias = unit.input_gate, unit.input_bias
    theirs.rg_lru.recurrent_gate_weight = unit.recurrence_gate
    theirs.rg_lru.recurrent_gate_bias = unit.recurrence_bias
    return theirs


def test_the_block_and_its_gradients_are_those_of_hugging_faces_recurrent_gemma() -> None:
    torch.manual_seed(3)
    ours = RecurrentMixing(16, heads=2, layer=0)
    with torch.no_grad():
        for bias in (ours.rg_lru.input_bias, ours.rg_lru.recurrence_bias):
            bias.normal_()
    theirs = gemma_block(ours)
    x = torch.randn(2, TIME, 16, requires_grad=True)
    # Theirs gives position 0 another scale (a reset, not in the paper): counting from 1 there is none.
    positions = torch.arange(1, TIME + 1).expand(2, -1)
    found, expected = ours(x), theirs(x, positions, None, use_cache=False)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    parameters = [x, *ours.parameters()]
    pairs = [torch.autograd.grad(each.square().sum(), parameters) for each in (found, expected)]
    for mine, their in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, their, atol=1e-5, rtol=1e-4)


def test_decays_start_between_0_9_and_0_999_where_the_gate_is_open() -> None:
    open_gate = torch.exp(-8 * torch.nn.functional.softplus(RgLru(512, 4).decay))
    assert 0.9 <= open_gate.min() < 0.91 and 0.989 < open_gate.max() <= 0.9991


def test_step_by_step_equals_the_whole_sequence(hawk: SequenceModel, episodes: Tensor) -> None:
    whole = hawk.forward(episodes, logits=True).logits
    cache = hawk.cache()
    with torch.no_grad():
        steps = [hawk.step(episodes[:, t], cache) for t in range(TIME)]
    assert cache.get_seq_length() == TIME
    torch.testing.assert_close(torch.stack(steps, 1), whole, atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_any_cut_into_pieces_gives_the_same(hawk: SequenceModel, episodes: Tensor, pieces: list[int]) -> None:
    ends = torch.tensor(pieces).cumsum(0).clamp(max=TIME).tolist()
    whole = hawk.forward(episodes[:, : ends[-1]], logits=True).logits
    cache, parts = hawk.cache(), []
    with torch.no_grad():
        for start, end in zip([0, *ends], ends, strict=False):
            if end > start:
                parts.append(hawk.backend.forward(episodes[:, start:end], cache=cache))
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_the_cache_does_not_grow_and_keeps_the_rows_it_is_told_to(hawk: SequenceModel, episodes: Tensor) -> None:
    cache, rows = hawk.cache(), torch.tensor([2, 0])
    sizes = []
    with torch.no_grad():
        for t in range(10):
            hawk.step(episodes[:, t], cache)
            sizes.append(sum(each.numel() for layer in range(3) for each in cache.state(layer)))
        cache.keep(rows)
        found = hawk.step(episodes[rows, 10], cache)
    assert len(set(sizes)) == 1
    torch.testing.assert_close(
        found, hawk.forward(episodes[rows, :11], logits=True).logits[:, -1], atol=1e-5, rtol=1e-5
    )


def test_nothing_later_reaches_what_was_before(hawk: SequenceModel, episodes: Tensor) -> None:
    changed = episodes.clone()
    changed[:, 12:] += 1
    a, b = (hawk.forward(each, logits=True).logits for each in (episodes, changed))
    assert torch.equal(a[:, :12], b[:, :12]) and not torch.equal(a[:, 12], b[:, 12])


@pytest.mark.parametrize("component", ["resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"])
def test_every_site_is_read_and_steered_as_by_a_plain_hook(
    hawk: SequenceModel, episodes: Tensor, component: str, add: Any
) -> None:
    site, vector = Site(1, component), torch.linspace(-1, 1, 16)
    parts = hawk.forward(episodes, sites=[Site(1, c) for c in ("resid_pre", "attn_out", "resid_mid", "mlp_out")])
    pre, mixed, mid, mlp = parts.activations.values()
    expected = {"resid_pre": pre, "attn_out": mixed, "resid_mid": pre + mixed, "mlp_out": mlp, "resid_post": mid + mlp}
    read = hawk.forward(episodes, sites=[site]).activations[site]
    torch.testing.assert_close(read, expected[component])
    steered = hawk.forward(episodes, sites=[site], interventions=[add(site, vector, EVERYWHERE)], logits=True)
    torch.testing.assert_close(steered.activations[site], read + vector)
    assert not torch.allclose(steered.logits, hawk.forward(episodes, logits=True).logits, atol=1e-3)
    zero = hawk.forward(episodes, interventions=[add(site, 0 * vector, EVERYWHERE)], logits=True).logits
    assert torch.equal(zero, hawk.forward(episodes, logits=True).logits)


def test_steering_while_stepping_equals_steering_the_whole(hawk: SequenceModel, episodes: Tensor, add: Any) -> None:
    site, vector = Site(1, "resid_post"), torch.linspace(-1, 1, 16)
    whole = hawk.forward(episodes, interventions=[add(site, vector, EVERYWHERE)], logits=True).logits
    cache = hawk.cache()
    with torch.no_grad():
        steps = [hawk.step(episodes[:, t], cache, hooks={site: lambda x: x + vector}) for t in range(TIME)]
    torch.testing.assert_close(torch.stack(steps, 1), whole, atol=1e-5, rtol=1e-5)


def test_capture_takes_episodes_of_vectors(hawk: SequenceModel, episodes: Tensor) -> None:
    ragged = [episodes[0], episodes[1, :5], episodes[2, :1]]
    found = capture(hawk, ragged, "2.resid_post", positions="all")
    expected = [hawk.forward([each], sites=[2]).activations[Site(2)][0] for each in ragged]
    torch.testing.assert_close(found.activations[Site(2)], torch.cat(expected))


def test_a_saved_folder_loads_as_the_same_model(hawk: SequenceModel, episodes: Tensor, tmp_path: Path) -> None:
    hawk.backend.hf_model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, device="cpu")
    assert loaded.fingerprint == hawk.fingerprint
    assert torch.equal(loaded.forward(episodes, logits=True).logits, hawk.forward(episodes, logits=True).logits)


def test_an_untrained_model_has_other_weights_of_the_same_kind(hawk: SequenceModel, episodes: Tensor) -> None:
    other = untrained(hawk)
    assert other.fingerprint != hawk.fingerprint and other.config.block == "recurrent"
    assert torch.isfinite(other.forward(episodes, logits=True).logits).all()


def test_gaussian_actions_have_the_normal_density(hawk: SequenceModel, episodes: Tensor) -> None:
    logits = hawk.forward(episodes, logits=True).logits
    action = torch.randn(4, TIME, 3)
    mean, log_sigma = logits[..., :3], logits[..., 3:].clamp(-5, 2)
    each = -0.5 * ((action - mean) / log_sigma.exp()) ** 2 - log_sigma - 0.5 * torch.log(torch.tensor(2 * torch.pi))
    torch.testing.assert_close(hawk.action_distribution(logits).log_prob(action), each.sum(-1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block", ["attention", "recurrent"])
@pytest.mark.parametrize("observation", ["fields", "vector"])
@pytest.mark.parametrize("action", ["discrete", "gaussian"])
def test_every_combination_steps_as_it_reads(block: str, observation: str, action: str) -> None:
    torch.manual_seed(0)
    fields = [3, 4] if observation == "fields" else []
    hf_model = SequenceModelForActions(
        tiny_config(block=block, observation=observation, action=action, field_sizes=fields)
    )
    model = SequenceModel(hf_model.eval().requires_grad_(False), "tiny")
    seen = torch.randint(3, (2, 6, 2)) if observation == "fields" else torch.randn(2, 6, SIZE)
    whole, cache = model.forward(seen, logits=True).logits, model.cache()
    with torch.no_grad():
        steps = torch.stack([model.step(seen[:, t], cache) for t in range(6)], 1)
    torch.testing.assert_close(steps, whole, atol=1e-5, rtol=1e-5)
    assert whole.shape == (2, 6, 6 if action == "gaussian" else 3)
    drawn = model.action_distribution(whole).sample()
    assert drawn.shape == ((2, 6, 3) if action == "gaussian" else (2, 6))
    following = hf_model.next_observation(torch.zeros(1, 16))
    assert [each.shape[1] for each in following] == (fields or [SIZE])


def test_a_config_of_the_default_kind_is_written_without_the_kinds() -> None:
    written = SequenceConfig().to_dict()
    assert not {"block", "observation", "action", "observation_size"} & set(written)


@pytest.mark.parametrize("kind", ["block", "observation", "action"])
def test_an_unknown_kind_is_one_clear_line(kind: str) -> None:
    with pytest.raises(SpecError, match=f"no {kind} 'recurrant'"):
        tiny_config(**{kind: "recurrant"})


@pytest.mark.parametrize("wrong", [torch.zeros(3, SIZE + 1), torch.zeros(SIZE), torch.zeros(0, SIZE)])
def test_observations_of_another_shape_are_refused(hawk: SequenceModel, wrong: Tensor) -> None:
    with pytest.raises(DataError, match=f"shape \\[pos, {SIZE}\\]"):
        hawk.encode(wrong)


def test_observations_that_are_not_finite_are_refused(hawk: SequenceModel) -> None:
    with pytest.raises(DataError, match="not finite"):
        hawk.encode(torch.full((2, SIZE), torch.nan))
