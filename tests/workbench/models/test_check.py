"""The checker itself: it must see what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.models.check import check_backend
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.report import Report, Row
from workbench.models.tiny import tiny_hf_model, tiny_model, tiny_tokenizer


def _failed(backend: Any, reference: Any = None) -> set[str]:
    model = LanguageModel(backend, tiny_tokenizer(), "broken")
    return {row.check for row in check_backend(model, reference).rows if not row.ok}


class _Broken(HuggingFaceBackend):
    def __init__(self, spoil: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__(tiny_hf_model("llama"))
        self.spoil = spoil

    def forward(self, tokens: Any, **arguments: Any) -> Any:
        self.spoil(arguments)
        return super().forward(tokens, **arguments)


def test_hooks_that_are_dropped_are_seen() -> None:
    failed = _failed(_Broken(lambda arguments: arguments.update(hooks={})))
    assert {"steered logits equal the reference", "an error in a hook is seen and leaves nothing behind"} <= failed
    assert "logits equal the reference" not in failed


def test_steering_that_stops_under_the_cache_is_seen() -> None:
    def spoil(arguments: dict[str, Any]) -> None:
        if arguments.get("cache") is not None:
            arguments["hooks"] = {}

    assert _failed(_Broken(spoil)) == {"greedy steered tokens equal the reference"}


def test_positions_that_ignore_padding_and_the_cache_are_seen() -> None:
    failed = _failed(_Broken(lambda arguments: arguments.update(positions=None)))
    assert {"scores equal the reference", "a cache kept across turns changes nothing"} <= failed


def test_a_mask_that_lets_completions_see_one_another_is_seen() -> None:
    def spoil(arguments: dict[str, Any]) -> None:
        if arguments.get("mask") is not None:
            arguments["mask"] = torch.ones_like(arguments["mask"])

    assert "scores equal the reference" in _failed(_Broken(spoil))


def test_hooks_that_stay_are_seen() -> None:
    class Sticky(HuggingFaceBackend):
        def forward(self, tokens: Any, **arguments: Any) -> Any:
            self.blocks[0].module.register_forward_hook(lambda *_: None)
            return super().forward(tokens, **arguments)

    assert _failed(Sticky(tiny_hf_model("llama"))) == {"an error in a hook is seen and leaves nothing behind"}


def test_an_activation_of_the_wrong_layer_is_seen() -> None:
    backend = HuggingFaceBackend(tiny_hf_model("llama"))
    backend.blocks[1], backend.blocks[2] = backend.blocks[2], backend.blocks[1]
    assert "activations equal the reference" in _failed(backend)


def test_a_reference_with_other_weights_is_told_apart() -> None:
    other = tiny_hf_model("llama", seed=1)
    backend = HuggingFaceBackend(tiny_hf_model("llama"))
    failed = _failed(backend, other)
    assert "logits equal the reference" in failed and "dose 0 equals the unsteered model" not in failed
    assert not _failed(backend, tiny_model("llama"))


def test_a_reference_that_does_not_run_is_a_failed_row_and_not_an_exception() -> None:
    report = check_backend(tiny_model("llama"), reference=object())
    assert not report.ok and len(report.rows) == 1 and "AttributeError" in report.rows[0].note


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_half_precision_is_held_to_a_looser_bound(attention: str) -> None:
    hf_model = tiny_hf_model("qwen2").to(torch.bfloat16)
    hf_model.set_attn_implementation(attention)
    report = check_backend(LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), "half"))
    assert report.ok, str(report)
    assert {row.tolerance for row in report.rows} == {0.0, 0.05, 1.0} and "bfloat16" in report.title


def test_the_report_is_a_table_that_marks_what_failed() -> None:
    report = Report("tiny on hf", (Row("fine", 1e-7, 1e-5), Row("broken", float("nan"), 1e-5, "why")))
    assert not report.ok
    lines = str(report).splitlines()
    assert lines[0] == "tiny on hf" and lines[2].endswith("ok") and lines[3].endswith("FAILED  why")
