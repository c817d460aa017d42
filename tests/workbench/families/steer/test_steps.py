"""A whole run, small: its tables, its report and figure, and that a control is of the vector's length."""

import pandas as pd
import pytest
import torch

from steering import SteeringVector
from workbench.families import Context, families, figures_of
from workbench.families.steer import STEER
from workbench.families.steer.steps import _drawn, vector
from workbench.models import load_model
from workbench.runs import load_run


def test_a_run_has_every_condition_once(steer_run):
    record = load_run(steer_run)
    results = record.load_table("results")
    counts = results[results["measure"] == "effect"].groupby("method").size().to_dict()
    assert counts == {"prompt": 2, "vector": 4, "random": 1, "shuffled": 1}
    assert record.read_json("chosen")["dose"] == 0.3 and record.status.state == "finished"
    assert len(record.load_table("claims")) == 10


def test_the_report_and_the_figure_show_the_chosen_cell(steer_run):
    record = load_run(steer_run)
    grid, beside = STEER.report(record)
    assert list(grid.frame.columns) == ["layer", "-0.3", "+0.3"] and len(grid.frame) == 2
    assert beside.frame["condition"].iloc[0] == "vector, dose +0.3" and len(beside.frame) == 6
    figure = figures_of(record)["doses"]
    assert {trace.name for trace in figure.data if trace.name} >= {"layer 1", "layer 4", "random directions"}


def test_the_saved_vector_is_the_mean_difference_of_the_last_tokens(steer_run):
    from workbench.families.steer.concept import read_concept

    model, record = load_model("bandit-agent", device="cpu"), load_run(steer_run)
    made = vector(Context(STEER.presets["smoke"], record, model), 1)
    assert isinstance(made, SteeringVector) and made.fingerprint == model.fingerprint
    differences = []
    for pair in read_concept("valence").pairs:
        up, down = (model.forward([text], sites=[1]).activations[1][0, -1] for text in pair)
        differences.append(up - down)
    assert torch.allclose(made.vector, torch.stack(differences).mean(0), atol=1e-4)


@pytest.mark.parametrize("name", ["random", "shuffled"])
def test_controls_are_of_the_vectors_length_and_differ_by_draw(name, steer_run):
    model, record = load_model("bandit-agent", device="cpu"), load_run(steer_run)
    own = vector(Context(STEER.presets["smoke"], record, model), 1)
    one, other = _drawn(name, own, 1), _drawn(name, own, 2)
    assert torch.isclose(one.norm(), own.vector.norm()) and not torch.allclose(one, other)


def test_the_family_is_found():
    assert families()["steer"] is STEER


@pytest.mark.real
def test_valence_pushes_smollm2_further_than_random_directions(smollm2):
    from workbench.families.steer.concept import read_concept
    from workbench.families.steer.measures import Condition, measure
    from workbench.families.steer.summary import changes

    concept = read_concept("valence")
    concept = concept.model_copy(update={"neutral": concept.neutral[:2]})
    texts = [text for side in (0, 1) for text in (pair[side] for pair in concept.pairs)]
    read = smollm2.forward(texts, sites=[21])
    ends = torch.stack([read.activations[21][i, n - 1] for i, n in enumerate(read.lengths)]).float()
    direction = ends[: len(concept.pairs)].mean(0) - ends[len(concept.pairs) :].mean(0)
    drawn = torch.randn(4, smollm2.d_model, generator=torch.Generator().manual_seed(0))
    conditions = [Condition("vector", 21, dose, direction) for dose in (-0.3, 0.3)]
    conditions += [Condition("random", 21, 0.3, each, draw) for draw, each in enumerate(drawn)]
    rows = changes(
        pd.concat([measure(smollm2, concept, [Condition("unsteered")]), measure(smollm2, concept, conditions)])
    )
    effect = rows[rows["set"] == "test"].groupby(["method", "dose", "draw"])["change"].mean()
    assert effect["vector", 0.3, 0] > 2 and effect["vector", -0.3, 0] < -2  # about +4.6 and -3.6
    assert effect["random"].abs().max() < 2  # about -.1 +- .6
