"""Attention sinks: found by evidence, wherever they are, in rows of any length; none where there are none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.activations import capture
from workbench.errors import DataError, WorkbenchWarning
from workbench.models import LanguageModel, Scope, load_model, shipped_models, with_backend
from workbench.models.sinks import SinkHabit, find_sinks, residual_norms, sample_inputs, sinks_in
from workbench.models.tiny import tiny_model, tiny_model_with_sinks
from workbench.sites import Site

pytestmark = pytest.mark.filterwarnings("error::workbench.errors.WorkbenchWarning")


def ordinary(layers: int, rows: int, width: int) -> torch.Tensor:
    """Norms [layer, row, pos] without a sink: between 0.5 and 2 times what is usual, growing with depth."""
    generator = torch.Generator().manual_seed(0)
    spread = 0.5 + 1.5 * torch.rand(layers, rows, width, generator=generator)
    return spread * torch.logspace(1, 3, layers)[:, None, None]


@pytest.mark.parametrize("position", [0, 7, 19])
def test_a_sink_is_found_wherever_it_stands_and_in_whichever_layers_it_shows(position: int) -> None:
    norms = ordinary(8, 3, 20)
    norms[3:5, 1, position] *= 40  # as long as others before and after: it is a sink all the same
    assert find_sinks(norms).nonzero().tolist() == [[1, position]]


def test_an_outlier_in_one_layer_of_several_is_no_sink() -> None:
    norms = ordinary(8, 2, 20)
    norms[3, 0, 5] *= 40
    assert not find_sinks(norms).any()
    assert find_sinks(norms[3:4]).nonzero().tolist() == [[0, 5]]  # the one layer is all there is to go by


def test_ordinary_rows_have_no_sinks() -> None:
    assert not find_sinks(ordinary(8, 5, 20)).any()
    assert not find_sinks(torch.zeros(2, 1, 3)).any()


def test_padding_is_neither_counted_nor_found() -> None:
    norms = ordinary(4, 2, 12)
    norms[:, 0, 4:] = 1e6
    norms[:, 0, 1] *= 30
    assert find_sinks(norms, [4, 12]).nonzero().tolist() == [[0, 1]]


def test_rows_of_two_and_more_tokens_tell_their_sinks_by_themselves() -> None:
    for length in (2, 3, 4, 5):
        norms = ordinary(4, 1, length)
        norms[:, 0, 0] *= 100
        assert find_sinks(norms).nonzero().tolist() == [[0, 0]]


def test_a_row_of_one_token_is_told_by_what_is_usual_in_the_model() -> None:
    norms, typical = ordinary(4, 2, 1), ordinary(4, 1, 50).mean((1, 2))
    norms[:, 1] *= 100
    assert not find_sinks(norms).any()
    assert find_sinks(norms, typical=typical).nonzero().tolist() == [[1, 0]]


def test_what_makes_a_whole_long_row_longer_makes_no_sinks_of_it() -> None:
    assert not find_sinks(50 * ordinary(4, 1, 9), typical=torch.ones(4)).any()


def test_norms_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"norms \[layer, row, pos\], not \[2, 3\]"):
        find_sinks(torch.ones(2, 3))


def test_norms_are_those_of_the_activations(model: LanguageModel) -> None:
    norms, lengths = residual_norms(model, ["a b c", "d"])
    expected = model.forward(["a b c", "d"], range(model.n_layers)).activations
    assert lengths == [4, 2]
    for layer in range(model.n_layers):
        torch.testing.assert_close(norms[layer, 1, :2], expected[layer][1, :2].norm(dim=-1))


@pytest.mark.parametrize("name", list(shipped_models()))
def test_shipped_models_have_no_sinks(name: str) -> None:
    habit = load_model(name).sinks
    assert not habit.exist and not habit.first and bool((habit.norms > 0).all())


def test_a_model_that_has_sinks_is_known_by_them() -> None:
    sunk = tiny_model_with_sinks()
    assert sunk.sinks.exist and sunk.sinks.first
    assert sinks_in(sunk, ["a b z c", "b c", "z"]) == [[0, 3], [0], [0, 1]]
    plain, usual = tiny_model("llama").sinks, sunk.sinks
    assert not plain.exist and bool((usual.norms < 3 * plain.norms).all())  # the sinks are not in what is usual


def test_a_models_habit_is_looked_at_once_and_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(
        SinkHabit, "of", classmethod(lambda cls, model: looked.append(model) or cls(False, False, None))
    )
    model = tiny_model("llama")
    model.generate(["a b"], max_new_tokens=2)
    assert not looked
    assert model.sinks is model.sinks and len(looked) == 1


@pytest.mark.parametrize("backend", ["nnsight", "transformer_lens"])
def test_every_back_end_sees_the_same_sinks(backend: str) -> None:
    plain = tiny_model_with_sinks()
    other = with_backend(plain, backend)
    assert (other.sinks.exist, other.sinks.first) == (True, True)
    torch.testing.assert_close(other.sinks.norms, plain.sinks.norms)
    texts, means = ["a b z c", "d e"], []
    for model in (plain, other):
        with pytest.warns(WorkbenchWarning, match="3 positions that are attention sinks are left out of 2 means"):
            means.append(capture(model, texts, [1, 3], "mean"))
    for site in means[0].sites:
        torch.testing.assert_close(means[0][site], means[1][site])


def test_models_of_other_makers_without_sinks_have_none(shared_data: Path) -> None:
    for name in ("stories260K", "slm4096", "nano_sort"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one lacks an embedding
            assert not load_model(shared_data / "models" / name).sinks.exist


def test_a_scope_that_touches_a_sink_is_said_once(add: Any) -> None:
    model, vector = tiny_model_with_sinks(), torch.ones(32)
    for scope in ("prompt[-1:]+generation", "prompt[1:]+generation", "prompt[1:3]", "generation"):
        model.generate(["a b"], max_new_tokens=1, interventions=[add(Site(1), vector, Scope.parse(scope))])
    with pytest.warns(
        WorkbenchWarning, match=r"AddVector with scope prompt\+generation also changes position 0, an att"
    ):
        model.forward(["a b"], interventions=[add(Site(1), vector, Scope.everywhere())], logits=True)
    model.score(["a b"], [["c"]], [add(Site(1), vector, Scope.everywhere())])  # warns no more


def test_a_model_without_sinks_is_steered_everywhere_without_a_word(model: LanguageModel, add: Any) -> None:
    model.generate(["a b"], max_new_tokens=1, interventions=[add(Site(1), torch.ones(32), Scope.everywhere())])


def test_a_model_is_looked_at_on_text_it_reads_and_within_its_positions(model: LanguageModel) -> None:
    assert all(0 < len(row) <= 64 for row in sample_inputs(model))
    episodes = sample_inputs(load_model("pinpad-base"))
    assert episodes and all(row.ndim == 2 for row in episodes)
