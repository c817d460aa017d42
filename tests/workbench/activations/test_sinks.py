"""Attention sinks in activations that are captured: left out of means, marked elsewhere, kept where asked for."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from probes import evaluate
from workbench.activations import ActivationSet, ActivationStore, capture, capture_to_store
from workbench.activations.components import principal_components
from workbench.activations.sinks import sink_rows
from workbench.errors import ArtifactError, DataError, SpecError
from workbench.models.language_model import LanguageModel
from workbench.models.sinks import residual_norms, sinks_in
from workbench.models.tiny import tiny_model, tiny_model_with_sinks
from workbench.sites import Site

TEXTS = ["a b z c", "d e", "z", "f g h i j k l m"]
SINKS = [[0, 3], [0], [0, 1], [0]]  # the BOS and every z


@pytest.fixture(scope="module")
def sunk() -> LanguageModel:
    return tiny_model_with_sinks()


def kept(model: LanguageModel, positions: object = "all", sites: object = (1, 3)) -> ActivationSet:
    return capture(model, TEXTS, sites, positions, sinks="keep")  # type: ignore[arg-type]


def test_a_mean_is_over_the_positions_that_are_no_sinks(sunk: LanguageModel) -> None:
    with pytest.warns(UserWarning, match=r"4 positions that are attention sinks are left out of 3 means"):
        found = capture(sunk, TEXTS, [1, 3, "2.attn_out"], "mean")
    assert found.labels.columns.tolist() == ["input", "position", "sinks_left_out"]
    assert found.labels["sinks_left_out"].tolist() == [2, 1, 0, 1]  # a row of sinks alone is kept whole
    for site in found.sites:
        every = kept(sunk, sites=[site])
        for number, sinks in enumerate(SINKS):
            rows = (every.labels["input"] == number) & ~(every.labels["position"].isin(sinks) & (number != 2))
            torch.testing.assert_close(found[site][number], every[site][torch.tensor(rows.tolist())].mean(0))


def test_what_is_left_out_at_a_site_does_not_depend_on_the_other_sites(sunk: LanguageModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone, among = capture(sunk, TEXTS, 1, "mean"), capture(sunk, TEXTS, [3, 1, 2], "mean")
    assert torch.equal(alone[1], among[1])


def test_rows_read_at_sinks_are_marked_and_left_out_of_what_probes_see(sunk: LanguageModel) -> None:
    found = capture(sunk, TEXTS, [1, 3], "all", labels={"side": list("abab")})
    marked = found.labels[found.labels["attention_sink"]]
    assert [[p for i, p in marked[["input", "position"]].to_numpy() if i == n] for n in range(4)] == SINKS
    assert all(torch.equal(found[site], kept(sunk)[site]) for site in found.sites)
    assert sink_rows(found).sum() == 6 and "(19 rows of 4 groups, 6 at attention sinks, blocks.1" in repr(found)
    with pytest.warns(UserWarning, match="6 of 19 rows were read at attention sinks and are left out"):
        x, y, groups = found.xy(1, "side")
    assert len(x) == len(y) == len(groups) == 13 and set(groups) == {0, 1, 3}
    np.testing.assert_array_equal(x, found.numpy(1)[~sink_rows(found)])


@pytest.mark.parametrize("positions", ["last", "first", 0, [0, -1]])
def test_positions_that_are_asked_for_are_never_dropped_or_marked(sunk: LanguageModel, positions: object) -> None:
    found = capture(sunk, TEXTS, 2, positions)  # type: ignore[arg-type]
    assert found.labels.columns.tolist() == ["input", "position"]
    assert torch.equal(found[2], kept(sunk, positions, 2)[2])


def test_a_model_without_sinks_gives_the_rows_it_gave() -> None:
    model = tiny_model()
    for positions in ("mean", "all", slice(1, None)):
        found, plain = capture(model, TEXTS[:2], 2, positions), capture(model, TEXTS[:2], 2, positions, sinks="keep")
        assert found.labels.columns.tolist() == ["input", "position"]
        assert torch.equal(found[2], plain[2])


def test_a_store_keeps_what_was_left_out_and_goes_on_only_with_the_same(sunk: LanguageModel, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="left out of 3 means"):
        capture_to_store(sunk, TEXTS, 2, "mean", store=tmp_path / "s", shard_inputs=2)
    assert ActivationStore(tmp_path / "s").labels["sinks_left_out"].tolist() == [2, 1, 0, 1]
    with pytest.raises(ArtifactError, match="belongs to another capture: sinks is leave out there and None here"):
        capture_to_store(sunk, TEXTS, 2, "mean", store=tmp_path / "s", sinks="keep")


def test_a_control_read_from_a_model_without_sinks_has_the_rows_of_the_model_that_has_some(sunk: LanguageModel) -> None:
    texts = [f"{a} {b} z {a}" for a in "abcdefgh" for b in "stuv"]
    labels = {"early": [text[0] < "e" for text in texts]}
    found, control = (capture(model, texts, 2, "all", labels=labels) for model in (sunk, tiny_model(seed=1)))
    with pytest.warns(UserWarning, match="64 of 164 rows were read at attention sinks"):
        result = evaluate(
            LogisticRegression(), found, target="early", controls=[], control_features={"other": control}, resamples=50
        )
    rows = np.flatnonzero(~found.labels["attention_sink"])
    assert len(rows) == 100 and set(result.predictions["row"]) == set(rows)
    expected = evaluate(
        LogisticRegression(), control.numpy(2)[rows], control.labels["early"].to_numpy()[rows], found.groups[rows],
        controls=[], resamples=50,
    )  # fmt: skip
    assert result.interval("accuracy", "other").estimate == expected.interval("accuracy").estimate


def test_an_unknown_way_with_sinks_and_labels_of_the_same_name_are_refused(sunk: LanguageModel) -> None:
    with pytest.raises(SpecError, match="unknown sinks 'drop'; valid: leave out, keep"):
        capture(sunk, TEXTS, 2, "mean", sinks="drop")
    with pytest.raises(DataError, match="'attention_sink', which capture writes itself"):
        capture(sunk, TEXTS, 2, "all", labels={"attention_sink": [1, 2, 3, 4]})


def test_rows_at_sinks_are_found_in_a_set_by_its_norms(sunk: LanguageModel) -> None:
    found = capture(sunk, ["a b z c", "d e"], [1, 2], "all", sinks="keep").select(range(8)[::-1])  # in any order
    rows = found.labels[sink_rows(found)]
    assert rows[["input", "position"]].to_numpy().tolist() == [[1, 0], [0, 3], [0, 0]]


def test_a_set_in_which_sinks_cannot_be_told_is_refused() -> None:
    unlabelled = ActivationSet({Site(1): torch.eye(3)})
    no_stream = ActivationSet({Site(1, "attn_out"): torch.eye(1)}, {"input": [0], "position": [0]})
    for some in (unlabelled, no_stream):
        with pytest.raises(DataError, match="capture it at positions 'all'"):
            sink_rows(some)


# Of SmolLM2-135M-Instruct; bands around what was measured.

_CHAT = [{"role": "user", "content": "What is the capital of France?"}]
_SEA = "The sea was calm that morning, and the boats lay still in the harbour while the fishermen mended their nets."
_TAX = "Companies must file their annual tax return within nine months of the end of the accounting period."


@pytest.mark.real
def test_the_first_position_of_smollm2_is_a_sink_in_some_layers_and_as_others_between(smollm2: LanguageModel) -> None:
    for prompt in (_SEA, _TAX, _CHAT):
        norms = residual_norms(smollm2, [prompt])[0][:, 0]
        times = norms[:, 0] / norms.median(1).values
        assert 8 < times[2] < 13 and 0.8 < times[9] < 2 and 0.8 < times[10] < 2
        assert 120 < times[11] < 230 and 25 < times[27] < 60
        assert (norms[:, 1:] / norms.median(1, keepdim=True).values).max() < 13  # other sinks are of the early layers


@pytest.mark.real
def test_sinks_of_smollm2_are_found_in_rows_of_any_length(smollm2: LanguageModel) -> None:
    assert smollm2.sinks.exist and smollm2.sinks.first
    together = sinks_in(smollm2, [_SEA, _CHAT, "Hi", "Hi there", "\n\n"])
    assert all(sinks[0] == 0 and len(sinks) <= 3 for sinks in together)
    assert [sinks_in(smollm2, [prompt])[0] for prompt in (_SEA, _CHAT, "Hi")] == together[:3]


@pytest.mark.real
def test_means_and_components_of_smollm2_are_of_the_text_and_not_of_its_sink(smollm2: LanguageModel) -> None:
    alike = {}
    for sinks in ("keep", "leave out"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            a, b = capture(smollm2, [_SEA, _TAX], 14, "mean", sinks=sinks)[14]
        alike[sinks] = float(torch.cosine_similarity(a, b, dim=0))
    assert alike["keep"] > 0.995 and alike["leave out"] < 0.95
    every = capture(smollm2, [_SEA], 14, "all")
    with_sinks, without = (principal_components(every[14][rows]).explained for rows in (slice(None), ~_marked(every)))
    assert with_sinks[0] > 0.99 and without[0] < 0.5


def _marked(found: ActivationSet) -> torch.Tensor:
    return torch.tensor(found.labels["attention_sink"].tolist())
