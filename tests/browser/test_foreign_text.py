"""What Markdown, HTML, LaTeX and Streamlit's own signs make of a text of someone else's: nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workbench.families.east.figures import east_run

pytestmark = pytest.mark.slow

SIGNS = [
    "1) list", "![image](http://a.example/b.png)", "[link](https://a.example)", "<http://a.example>", "www.a.example",
    "a@b.example", "<img src=http://a.example/b>", "<script>x</script>", "<!-- x -->", "$x^2$", "$$y$$",
    ":material/home:", ":smile:", ":streamlit:", ":red[red]", "a -> b", "<-", "--", "~=",
    "--flag", "`code`", "**bold**", "_it_", "__it__",
    "snake_case", "~~gone~~", "# head", "> quote", "| a | b |", "[^1]", "&amp;", "\\", "C:\\a_b", "10:30", "{x}",
    "- [ ] do",
]  # fmt: skip


def test_error_of_a_run_is_read_on_the_page_as_it_was_written(tab: Any, runs: Path) -> None:
    file = east_run.write_run(runs, "a-hostile") / "status.json"
    text = " ".join(SIGNS)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"state": "failed", "error": text}))
    said = tab.go("Runs", run="east/a-hostile").page.get_by_test_id("stAlert").get_by_test_id("stMarkdownContainer")
    assert said.text_content().strip().replace("\u2060", "") == text
    assert said.locator("p *").count() == 0
