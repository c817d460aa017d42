"""Every decoder of transformers that can be made tiny: right, right but slower, or refused in one line."""

from __future__ import annotations

import pytest

from tests.workbench.models.architectures import PAGE, page, verdict
from tests.workbench.models.tiny_architectures import KINDS

_ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("kind", KINDS)
def test_an_architecture_is_right_or_refused_as_the_table_says(kind: str) -> None:
    row = verdict(kind)
    assert "WRONG" not in row
    assert row in _ROWS, "python -m tests.workbench.models.architectures writes docs/models.md"


def test_the_page_has_a_row_for_each_architecture_and_nothing_else() -> None:
    assert [row.split(" | ")[0].removeprefix("| ") for row in _ROWS] == KINDS
    assert PAGE.read_text(encoding="utf-8") == page(_ROWS)
    assert len(KINDS) > 150
