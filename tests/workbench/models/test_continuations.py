"""Reading a steered completion in one pass gives what generating it saw."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steering import Add
from workbench.errors import DataError
from workbench.models.continuations import as_generated
from workbench.models.interventions import Scope, Where, Window
from workbench.models.tiny import tiny_model
from workbench.models.token_probabilities import token_probabilities
from workbench.sites import Site

MODEL = tiny_model()
VECTOR = torch.linspace(-1, 1, MODEL.d_model)
SCOPES = [
    "prompt[-1:]+generation",
    "generation[1:3]",
    "prompt[0:2]",
    "prompt+generation",
    "generation",
    "prompt[-2:-1]",
]


@pytest.mark.parametrize("scope", SCOPES)
def test_one_pass_over_a_steered_completion_gives_the_probabilities_of_its_generation(scope):
    prompt = MODEL.encode("a b c d")
    steer = [Add(VECTOR, 3.0, site=1, scope=scope)]
    said = MODEL.generate([prompt], max_new_tokens=6, seeds=5, interventions=steer)[0][0]
    table = token_probabilities(MODEL, prompt, said.tokens, steer)
    found = table.loc[table["part"] == "completion", "logprob"].sum()
    tail = said.logprob if said.finish != "eos" else None
    if tail is not None:
        assert found == pytest.approx(tail, abs=1e-4)
    [[score]] = MODEL.score([prompt], [[said.tokens]], steer)
    assert found == pytest.approx(score.logprob, abs=1e-4)


@settings(max_examples=25)
@given(
    prompt=st.integers(1, 6), said=st.integers(0, 5), low=st.integers(-6, 6), high=st.integers(-6, 6),
    start=st.integers(0, 4), stop=st.integers(0, 6),
)  # fmt: skip
def test_touched_positions_are_those_of_the_scope(prompt, said, low, high, start, stop):
    scope = Scope(Window(low, high), Window(start, stop))
    total = prompt + said
    positions, rows = torch.arange(total)[None], torch.zeros(1, total, dtype=torch.long)
    as_one = Where(positions, rows, torch.full((1, total), total))
    expected = scope.mask(Where(positions, rows, torch.full((1, total), prompt)))
    [wrapped] = as_generated([Add(torch.ones(2), site=0, scope=scope)], prompt)
    moved = wrapped(torch.zeros(1, total, 2), as_one)[..., 0] != 0
    assert torch.equal(moved, expected)


def test_each_row_has_its_own_prompt_length():
    add = Add(VECTOR, site=0, scope=Scope(None, Window()))
    rows = [MODEL.encode("a b c"), MODEL.encode("a b c")]
    plain = MODEL.forward(rows, [0]).activations[Site(0)]
    steered = MODEL.forward(rows, [0], as_generated([add], [1, 3])).activations[Site(0)]
    changed = (plain != steered).any(-1)
    assert changed.tolist() == [[False, True, True, True], [False, False, False, True]]


def test_missing_length_and_empty_prompt_are_refused():
    add = Add(VECTOR, site=0)
    with pytest.raises(DataError, match="row 2 has none"):
        MODEL.forward(["a", "b", "c"], [0], as_generated([add], [1, 1]))
    with pytest.raises(DataError, match="at least one token"):
        as_generated([add], 0)
