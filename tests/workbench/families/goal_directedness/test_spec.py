"""A spec that cannot run says so at once, in one line that names the field."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from workbench.families.goal_directedness import PRESETS, GoalSpec


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("map_size", 9, "grids of size 15 do not fit into maps of size 9: set map_size to 15"),
        ("sizes", (), "name at least one"),
        ("sizes", (8,), "size 8: sizes are odd and at least 5"),
        ("sizes", (7, 7), "7 is named twice"),
        ("structure_sizes", (5,), "structure_sizes are odd and at least 7"),
        ("densities", (0.2, 1.2), "densities lie in 0 to 1"),
        ("modes", ("direkt",), "unknown mode 'direkt'; did you mean 'direct'"),
        ("modes", (), "name at least one"),
        ("wording", "shrt", "unknown wording 'shrt'; did you mean 'short'"),
        ("layers", (), "name at least one"),
        ("plan_decoders", (0, 1), "0: at least 1 is needed"),
        ("hidden", (64, 0), "0: at least 1 is needed"),
        ("plan_width", 100, "multiple of 8"),
        ("multipliers", (0.0, 1.0), "0 is the unsteered agent"),
        ("holdout", 1.0, "less than 1"),
    ],
)
def test_a_wrong_field_is_one_line(field: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GoalSpec(**{field: value})
    (error,) = caught.value.errors()
    assert error["loc"] == (field,) and message in error["msg"] and "\n" not in error["msg"]


def test_sizes_beyond_the_default_map_are_refused_too() -> None:
    with pytest.raises(ValidationError, match="set map_size to 17"):
        GoalSpec(sizes=(7, 17))
    assert GoalSpec(sizes=(7, 17), map_size=17).map_size == 17


def test_presets_are_valid_and_frozen() -> None:
    for spec in PRESETS.values():
        assert GoalSpec.model_validate(spec.model_dump()) == spec
        with pytest.raises(ValidationError):
            spec.seed = 1
