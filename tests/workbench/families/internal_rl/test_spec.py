"""Presets and what a spec refuses."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from workbench.families.internal_rl.discovery import course_of
from workbench.families.internal_rl.spec import METHODS, PRESETS, InternalRLSpec
from workbench.families.internal_rl.steps import steps
from workbench.families.running import waves_of


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name: str) -> None:
    preset = PRESETS[name]
    assert InternalRLSpec.model_validate_json(preset.model_dump_json()) == preset
    assert set(preset.methods) == set(METHODS)


def test_the_presets_asked_for_are_there() -> None:
    assert {"smoke", "cpu", "gpu", "paper"} == set(PRESETS)
    paper = PRESETS["paper"]
    assert (paper.rl_batch, paper.batch, paper.rl_lr, paper.gate, paper.random_share) == (1024, 512, 3e-5, "learned", 0)
    assert {course_of(paper).alpha_at(done) for done in (0.0, 0.5, 1.0)} == {paper.alpha}  # no ramp


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("internl RL",)}, "did you mean 'internal RL'"),
        ({"methods": ("internal RL", "internal RL")}, "named twice"),
        ({"history": (0.5, 0.1)}, "rising order"),
        ({"alphas": (0.0, 0.1)}, "above 0"),
        ({"baseline_seeds": 4, "seeds": 3}, "at most seeds=3"),
        ({"peak_at": 0.1, "random_share": 0.3}, "before the end of the random gate"),
        ({"gate": "lerned"}, "did you mean 'learned'"),
        ({"co_trained_from": "scratch"}, "unknown 'scratch'"),
        ({"layers": 3}, "Extra inputs"),
    ],
)
def test_a_bad_value_is_refused_with_what_would_be_right(change: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        InternalRLSpec(**change)


def test_steps_wait_for_what_they_read() -> None:
    spec = PRESETS["smoke"].model_copy(update={"layer": None})
    by_name = {step.name: step for step in steps(spec)}
    assert "controllers-2" in by_name["discovery-frozen-0"].after  # which choose the layer
    assert by_name["rl-internal-rl-held-out-1"].after == ("discovery-frozen-1",)
    # What needs no discovery is in one wave with what does: a wave lasts as long as its longest unit.
    waves = [{step.name for step in wave} for wave in waves_of(list(by_name.values()))]
    assert any({"rl-raw-actions-held-out-0", "rl-internal-rl-held-out-0"} <= wave for wave in waves)
    assert by_name["alpha-co-trained-0-0.5"].after == ("start-co-trained-0",)
    done: set[str] = set()
    for wave in waves_of(list(by_name.values())):
        assert all(set(step.after) <= done for step in wave)
        done |= {step.name for step in wave}
    assert done == set(by_name)


def test_another_alpha_scales_the_peak() -> None:
    spec = InternalRLSpec(alpha=0.1, alpha_peak=0.2)
    assert course_of(spec, 0.3).alpha_peak == pytest.approx(0.6) and course_of(spec, 0.3).alpha == 0.3
    assert course_of(spec).alpha_peak == 0.2
