"""Text that is read from runs, models, addresses and forms is shown as text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What Streamlit reads as Markdown: the first argument of these, and some by name of any.
MARKDOWN = {
    "badge", "button", "caption", "checkbox", "download_button", "error", "expander", "file_uploader", "header", "info",
    "link_button", "markdown", "metric", "multiselect", "number_input", "popover", "progress", "radio",
    "segmented_control", "selectbox", "slider", "spinner", "status", "subheader", "success", "tabs", "text_area",
    "text_input", "title", "toast", "toggle", "warning", "write",
}  # fmt: skip
NAMED = {"help", "text", "label", "body"}
PAGES = [
    file
    for folder in ("apps/explorer", "workbench")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if "import streamlit" in file.read_text()
]


def shown(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions of a module that Streamlit reads as Markdown."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in MARKDOWN:
            place = call.func.attr == "progress"  # whose first argument is a number
            yield from (call.args[:1] if not place else [])
            yield from (word.value for word in call.keywords if word.arg in NAMED)


def ours(node: ast.expr | None) -> bool:
    """Whether an expression can only be text that stands in the code, numbers, and what ``plain`` has gone over."""
    match node:
        case None | ast.Constant():
            return True
        case ast.Name(id=name):
            return name.strip("_").isupper()
        case ast.Subscript(value=value):
            return ours(value)
        case ast.Call(func=ast.Name(id="plain" | "len")):
            return True
        case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts) | ast.List(elts=parts):
            return all(map(ours, parts))
        case ast.ListComp(elt=each):
            return ours(each)
        case ast.FormattedValue(value=value, format_spec=ast.JoinedStr(values=[ast.Constant(value=spec)])):
            return spec[-1] in "dfge%" or ours(value)
        case ast.FormattedValue(value=value):
            return ours(value)
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            return ours(one) and ours(other)
    return False


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_markdown_holds_nothing_but_own_words_numbers_and_plain_text(file: Path) -> None:
    foreign = [each for each in shown(ast.parse(file.read_text())) if not ours(each)]
    found = [f"{file}:{each.lineno}: {ast.unparse(each)}" for each in foreign]
    assert not found, "give it to workbench.views.text.plain:\n" + "\n".join(found)
