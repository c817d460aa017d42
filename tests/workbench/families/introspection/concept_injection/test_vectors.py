"""Concept vectors: the paper's difference, from one pass, as ordinary steering vectors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steering.interventions import Add
from steering.vectors import SteeringVector
from workbench.errors import DataError, ModelError
from workbench.families.introspection.concept_injection.spec import layers_between
from workbench.families.introspection.concept_injection.steps import saved_vectors
from workbench.families.introspection.concept_injection.vectors import (
    concept_table,
    concept_vectors,
    control_vector,
)
from workbench.models.tiny import tiny_model
from workbench.runs import load_run
from workbench.sites import Site

CONCEPTS, BASELINES = ["volcano", "snow"], ["apron", "island", "oven"]


def test_a_vector_is_the_last_token_less_the_mean_of_the_baselines(chat_model) -> None:
    vectors = concept_vectors(chat_model, CONCEPTS, BASELINES, [0, 2])

    def last(word: str, layer: int) -> torch.Tensor:
        chat = [{"role": "user", "content": f"Tell me about {word}."}]
        return chat_model.forward([chat], [layer]).activations[Site(layer)][0, -1].double()

    for layer in (0, 2):
        mean = torch.stack([last(word, layer) for word in BASELINES]).mean(0)
        for word in CONCEPTS:
            expected = (last(word, layer) - mean).float()
            torch.testing.assert_close(vectors[layer][word].vector, expected, atol=1e-5, rtol=1e-4)
            assert vectors[layer][word].fingerprint == chat_model.fingerprint


def test_all_words_and_layers_come_from_one_pass_that_ends_at_the_deepest_layer(chat_model, monkeypatch) -> None:
    genuine, seen = chat_model.backend.forward, []

    def counted(tokens, **options):
        seen.append((len(tokens), options["stop_after"], options["logits"]))
        return genuine(tokens, **options)

    monkeypatch.setattr(chat_model.backend, "forward", counted)
    concept_vectors(chat_model, CONCEPTS, BASELINES, [0, 1])
    assert sum(rows for rows, _, _ in seen) == len(CONCEPTS) + len(BASELINES)
    assert {(stop, logits) for _, stop, logits in seen} == {(1, False)}


def test_controls_have_the_norm_of_the_vector_and_another_direction(chat_model) -> None:
    vector = concept_vectors(chat_model, CONCEPTS, BASELINES, [1])[1]["snow"]
    random, shuffled = (control_vector(vector, kind, 5) for kind in ("random", "shuffled"))
    assert random.norm == pytest.approx(vector.norm, rel=1e-5) and shuffled.norm == pytest.approx(vector.norm, rel=1e-5)
    assert sorted(shuffled.vector.tolist()) == sorted(vector.vector.tolist())
    assert abs(random.cosine(vector)) < 0.9 and random.site == vector.site


def test_the_vectors_of_a_run_are_files_that_steer_the_model(chat_model, injection_run, tmp_path) -> None:
    record = load_run(injection_run)
    saved = saved_vectors(record)
    layer = record.read_json("chosen")["detection/standard"]["layer"]
    vector = SteeringVector.load(injection_run / "artifacts" / "vector-volcano.safetensors", chat_model)
    assert vector.site == Site(layer) and torch.equal(vector.vector, saved[layer]["volcano"].vector)
    plain, steered = (
        chat_model.score(["Tell me"], [[" about"]], steer)[0][0].logprob for steer in ([], [Add(vector, 9.0)])
    )
    assert plain != steered
    table = concept_table(saved)
    assert set(table["layer"]) == {0, 1} and table["norm"].min() > 0 and table["residual_norm"].min() > 0


@given(st.integers(2, 80), st.integers(2, 12))
def test_layers_are_distinct_in_order_and_reach_from_the_first_to_the_last_but_one(n_layers, points) -> None:
    layers = layers_between(n_layers, points)
    assert list(layers) == sorted(set(layers)) and layers[0] == 0 and layers[-1] == n_layers - 2
    assert len(layers) == min(points, n_layers - 1)


def test_a_model_without_a_chat_template_and_empty_lists_are_refused(chat_model) -> None:
    model = tiny_model()
    model.tokenizer.chat_template = None
    with pytest.raises(ModelError, match="tiny-llama has no chat template"):
        concept_vectors(model, CONCEPTS, BASELINES, [0])
    with pytest.raises(DataError, match="at least one concept and one baseline"):
        concept_vectors(chat_model, CONCEPTS, [], [0])
