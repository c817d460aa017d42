"""Scopes and windows: the text form, and which positions they touch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SpecError
from workbench.models.interventions import Intervention, Scope, Where, Window

_ends = st.none() | st.integers(-6, 6)
_windows = st.none() | st.builds(Window, _ends, _ends)
_generation = st.none() | st.builds(Window, st.none() | st.integers(0, 6), st.none() | st.integers(0, 6))


@given(prompt=_windows, generation=_generation, length=st.integers(1, 8), new=st.integers(0, 8), pad=st.integers(0, 3))
def test_a_scope_touches_what_slices_of_prompt_and_generation_hold(
    prompt: Window | None, generation: Window | None, length: int, new: int, pad: int
) -> None:
    scope = Scope(prompt, generation)
    positions = torch.tensor([[*range(length + new), *[-1] * pad]])
    where = Where(positions, torch.zeros_like(positions), torch.full_like(positions, length))
    touched = positions[scope.mask(where)].tolist()
    parts = (range(length), prompt), (range(length, length + new), generation)
    expected = [p for part, window in parts if window is not None for p in part[window.start : window.stop]]
    assert touched == expected
    first = scope.first_position(length)
    assert not expected or (first is not None and first <= expected[0])
    if prompt is not None and expected and expected[0] < length:
        assert first == expected[0]


@given(prompt=_windows, generation=_generation)
def test_the_text_form_survives_a_round_trip(prompt: Window | None, generation: Window | None) -> None:
    if prompt is not None or generation is not None:
        assert Scope.parse(str(Scope(prompt, generation))) == Scope(prompt, generation)


@pytest.mark.parametrize("text", ["", "prompt[1]", "prompt[1:2", "answer", "prompt+prompt", "generation[a:b]"])
def test_a_scope_that_cannot_be_read_shows_the_grammar(text: str) -> None:
    with pytest.raises(SpecError, match=r"cannot read scope .*: write prompt\[-1:\]\+generation"):
        Scope.parse(text)


def test_negative_generation_positions_are_refused() -> None:
    with pytest.raises(SpecError, match="generation windows count from 0"):
        Scope.parse("generation[-1:]")


def test_anything_of_the_right_form_is_an_intervention(add: type, watch: type) -> None:
    from workbench.sites import Site

    assert isinstance(add(Site(0), torch.zeros(2)), Intervention) and not isinstance(torch.zeros(2), Intervention)
