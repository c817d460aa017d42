"""Shapes in annotations are quoted: unquoted, Python reads "rows *pos" as a product and "batch #pos" as a comment."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = {"Bool", "Complex", "Float", "Int", "Int8", "Int64", "Num", "Shaped", "UInt8"}


def unquoted(source: str) -> list[int]:
    """Lines of jaxtyping annotations whose shape is not one string."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in KINDS:
            _, shape = node.slice.elts if isinstance(node.slice, ast.Tuple) else (None, node.slice)
            if not (isinstance(shape, ast.Constant) and isinstance(shape.value, str)):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("package", ["apps", "probes", "steering", "workbench"])
def test_every_shape_is_a_string(package: str) -> None:
    wrong = {str(path.relative_to(ROOT)): lines for path in sorted((ROOT / package).rglob("*.py"))
             if (lines := unquoted(path.read_text(encoding="utf-8")))}  # fmt: skip
    assert not wrong


@pytest.mark.parametrize("shape", ["rows * pos", "batch", "4", "(batch  # pos\n)"])
def test_a_shape_without_quotes_is_found(shape: str) -> None:
    assert unquoted(f'x: Float[Tensor, {shape}]\ny: Float[Tensor, "batch pos"]') == [1]
