"""Where a model stands on a trait's axis is the projection of its last token, under every condition."""

import numpy as np
import pytest
import torch

from steering import Add
from steering.conditions import Condition
from workbench.families.personality.activity import Axis, read_activity, read_pairs, sides_of
from workbench.families.personality.instrument import prompt
from workbench.families.personality.traits import read_traits


def test_pairs_are_read_over_the_answer_and_halves_do_not_overlap(bandit_model):
    traits = read_traits("five")
    small = traits.model_copy(update={"traits": {"openness": traits.traits["openness"]}})
    read = read_pairs(bandit_model, small, [2, 4])
    assert len(read) == 32
    up, down = sides_of(read, 2, "openness", 0)
    other_up, _ = sides_of(read, 2, "openness", 1)
    assert up.shape == down.shape == (8, bandit_model.d_model) and not torch.equal(up, other_up)
    axis = Axis.between(up, down)
    assert axis.of(up).mean() == pytest.approx(1, abs=1e-3) and axis.of(down).mean() == pytest.approx(-1, abs=1e-3)


def test_activity_is_the_projection_under_the_same_condition(bandit_model):
    generator = torch.Generator().manual_seed(0)
    axis = Axis(torch.randn(128, generator=generator), torch.zeros(128))
    add = Add(torch.randn(128, generator=generator), 2.0, site=3)
    questions = ["Who are you?", "What did you do yesterday?"]
    conditions = [Condition("unsteered"), Condition("prompt", front="Be glad."), Condition("vector", (add,))]
    rows = read_activity(bandit_model, {"x": axis}, 4, questions, conditions)
    assert rows["method"].tolist() == ["unsteered"] * 2 + ["prompt"] * 2 + ["vector"] * 2
    for number, question in enumerate(questions):
        for condition in conditions:
            asked = condition.prompt(prompt(bandit_model, question))
            state = bandit_model.forward([asked], [4], list(condition.interventions)).activations[4][0, -1]
            row = rows[(rows["method"] == condition.method) & (rows["item"] == number)].iloc[0]
            assert row["value"] == pytest.approx(float(axis.of(state[None])[0]), rel=1e-3, abs=1e-3)
    assert np.isfinite(rows["value"]).all()
