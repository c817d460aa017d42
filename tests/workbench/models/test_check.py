"""The checker itself: it must see what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.workbench.models.tiny_architectures import tiny_architecture
from workbench.errors import ModelError, warn
from workbench.models import decoding, hooked_model, text_checks
from workbench.models.check import check_backend
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, shipped_models
from workbench.models.report import Check, Report, Row, run_all
from workbench.models.sequence import SequenceCache, SequenceConfig, SequenceModelForActions
from workbench.models.sequence_checks import SequenceChecks
from workbench.models.sequence_model import SequenceModel
from workbench.models.sharing import SHARED, DecodingPath
from workbench.models.text_checks import TextChecks
from workbench.models.tiny import tiny_hf_model, tiny_model, tiny_sequence_model, tiny_tokenizer
from workbench.sites import Site

Arguments = dict[str, Any]


def _row(backend: Any, check: str) -> Row:
    """What one check says of a back end."""
    checks = TextChecks(LanguageModel(backend, tiny_tokenizer(), "broken")).checks()
    return run_all(one for one in checks if one.name == check)[0]


def _share_batches_whatever_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding looks out for such back ends itself, and runs their rows one by one; these went unnoticed."""
    monkeypatch.setattr(decoding, "path_of", lambda *_: DecodingPath(SHARED))


class _Broken(HuggingFaceBackend):
    """``spoil`` changes the arguments of a pass, or its logits when it returns them."""

    def __init__(self, spoil: Callable[[Arguments], Any], shape: str = "llama") -> None:
        super().__init__(tiny_hf_model(shape))
        self.spoil = spoil

    def forward(self, tokens: Tensor, **arguments: Any) -> Any:
        arguments["tokens"] = tokens
        change = self.spoil(arguments)
        out = super().forward(arguments.pop("tokens"), **arguments)
        return out if out is None or change is None else change(out)


def _hooks_changed(change: Callable[[Any], Any]) -> Callable[[Arguments], None]:
    def spoil(arguments: Arguments) -> None:
        arguments["hooks"] = {site: change(hook) for site, hook in (arguments.get("hooks") or {}).items()}

    return spoil


def _dropped(arguments: Arguments) -> None:
    arguments["hooks"] = {}


def _dropped_under_the_cache(arguments: Arguments) -> None:
    if arguments.get("cache") is not None:
        arguments["hooks"] = {}


def _one_layer_later(arguments: Arguments) -> None:
    hooks = arguments.get("hooks") or {}
    arguments["hooks"] = {replace(site, layer=(site.layer + 1) % 4): hook for site, hook in hooks.items()}


def _shifted(arguments: Arguments) -> None:
    if arguments.get("positions") is not None:
        arguments["positions"] = arguments["positions"] + 1


def _shifted_where_leaves_lie_side_by_side(arguments: Arguments) -> None:
    if arguments.get("cache") is not None and arguments["tokens"].shape[1] == 3:
        _shifted(arguments)


def _counted_by_slot(arguments: Arguments) -> None:
    arguments["positions"] = None


def _seen_by_all(arguments: Arguments) -> None:
    if arguments.get("mask") is not None:
        arguments["mask"] = torch.ones_like(arguments["mask"])


def _looking_ahead(arguments: Arguments) -> None:
    rows, width = arguments["tokens"].shape
    if arguments.get("cache") is None:
        arguments["mask"] = torch.ones(rows, 1, width, width, dtype=torch.bool)


def _padded_on_the_left(arguments: Arguments) -> Any:
    tokens = arguments["tokens"]
    lengths = (tokens != 0).sum(1).tolist()
    if arguments.get("cache") is None and min(lengths) < max(lengths):
        shifts = [tokens.shape[1] - length for length in lengths]
        arguments["tokens"] = torch.stack([row.roll(by) for row, by in zip(tokens, shifts, strict=True)])
        return lambda out: torch.stack([row.roll(-by, 0) for row, by in zip(out, shifts, strict=True)])
    return None


def _refused_with_a_cache(arguments: Arguments) -> None:
    if arguments.get("cache") is not None:
        raise ModelError("no cache here")


@pytest.mark.parametrize(
    ("check", "shape", "spoil"),
    [
        ("steered logits equal the reference", "llama", _dropped),
        ("an error in a hook is seen and leaves nothing behind", "llama", _dropped),
        ("greedy steered tokens equal the reference", "llama", _dropped_under_the_cache),
        ("log-probabilities of completions equal the reference", "llama", _dropped_under_the_cache),
        ("activations equal the reference", "llama", _one_layer_later),
        ("steered logits equal the reference", "llama", _one_layer_later),
        ("scores equal the reference", "gpt2", _shifted),
        ("sampled tokens are those of a plain loop", "gpt2", _shifted_where_leaves_lie_side_by_side),
        ("log-probabilities of completions equal the reference", "gpt2", _shifted_where_leaves_lie_side_by_side),
        ("scores equal the reference", "llama", _counted_by_slot),
        ("a cache kept across turns changes nothing", "llama", _counted_by_slot),
        ("scores equal the reference", "llama", _seen_by_all),
        ("later positions change nothing before them", "llama", _looking_ahead),
        ("padded rows equal single rows", "gpt2", _padded_on_the_left),
        ("logits equal the reference", "llama", lambda _: lambda out: 1.0001 * out),
        ("dose 0 equals the unsteered model", "llama", _hooks_changed(lambda hook: lambda x: hook(x) * (1 + 1e-6))),
        ("steered logits equal the reference", "llama", _hooks_changed(lambda hook: lambda x: hook(x.flip(0)).flip(0))),
    ],
)  # fmt: skip
def test_a_wrong_back_end_fails(
    check: str, shape: str, spoil: Callable[[Arguments], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _share_batches_whatever_is_seen(monkeypatch)
    row = _row(_Broken(spoil, shape), check)
    assert not row.ok and (not row.note or "on purpose" in row.note or "swallowed" in row.note), row


def test_a_sink_hides_no_error_at_other_positions() -> None:
    """Its first position holds a norm some thousand times that of the others, which are off by 3%."""

    def off(hook: Any) -> Any:
        return lambda x: torch.cat([hook(x)[:, :1], 1.03 * hook(x)[:, 1:]], 1)

    check = "activations equal the reference"
    for spoil, right in ((_hooks_changed(off), False), (lambda _: None, True)):
        backend = _Broken(spoil, "gpt2")
        backend.hf_model.transformer.wpe.weight.data[0] *= 20_000
        assert _row(backend, check).ok == right


def test_a_part_that_is_not_what_enters_the_stream_is_seen_at_any_layer() -> None:
    backend, check = (
        HuggingFaceBackend(tiny_hf_model("llama")),
        "attention and MLP outputs add up to the residual stream",
    )
    backend.blocks[3] = replace(backend.blocks[3], attention=backend.blocks[3].module.self_attn.v_proj)
    assert not _row(backend, check).ok


def test_a_reading_that_a_block_goes_on_to_write_into_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, check = HuggingFaceBackend(tiny_architecture("falcon")), "what is read stays as it was read"
    assert _row(backend, check).ok

    def reading(site: Site, hook: Any, found: dict[Site, Tensor], select: Any) -> Any:
        def read(activation: Tensor) -> Tensor:
            found[site] = activation if select is None else select(activation)
            return activation

        return read

    monkeypatch.setattr(hooked_model, "_reading", reading)
    assert not _row(backend, check).ok


def test_a_window_counted_by_slot_is_seen_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPT-Neo's, which is decoded row by row; here rows share a batch nevertheless."""
    check, short = "long prompts are scored and continued as short ones", "scores equal the reference"
    backend = HuggingFaceBackend(tiny_architecture("gpt_neo", window_size=64))
    row = _row(backend, check)
    assert row.ok and "row by row" in row.note
    _share_batches_whatever_is_seen(monkeypatch)
    assert _row(backend, short).ok and not _row(backend, check).ok


@pytest.mark.parametrize("spoil", [_counted_by_slot, _seen_by_all, _shifted, _dropped_under_the_cache])
def test_a_back_end_that_decoding_has_to_work_around_fails(spoil: Callable[[Arguments], Any]) -> None:
    backend = _Broken(spoil, "gpt2")
    assert _row(backend, "scores equal the reference").ok
    row = _row(backend, "rows share a batch where they may in plain Hugging Face")
    assert not row.ok and "on this back end only" in row.note


def test_what_is_refused_is_a_failed_row_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _share_batches_whatever_is_seen(monkeypatch)
    row = _row(_Broken(_refused_with_a_cache), "scores equal the reference")
    assert not row.ok and row.note == "ModelError: no cache here"


def test_hooks_that_stay_are_seen() -> None:
    class Sticky(HuggingFaceBackend):
        def forward(self, tokens: Any, **arguments: Any) -> Any:
            self.blocks[0].module.register_forward_hook(lambda *_: None)
            return super().forward(tokens, **arguments)

    row = _row(Sticky(tiny_hf_model("llama")), "an error in a hook is seen and leaves nothing behind")
    assert not row.ok and "hooks were left" in row.note


def test_an_activation_of_the_wrong_layer_is_seen() -> None:
    backend = HuggingFaceBackend(tiny_hf_model("llama"))
    backend.blocks[1], backend.blocks[2] = backend.blocks[2], backend.blocks[1]
    assert not _row(backend, "activations equal the reference").ok


def test_a_reference_with_other_weights_is_told_apart() -> None:
    other, model = tiny_hf_model("llama", seed=1), tiny_model("llama")
    rows = {row.check: row.ok for row in check_backend(model, other).rows}
    assert not rows["logits equal the reference"] and rows["dose 0 equals the unsteered model"]
    assert check_backend(model, tiny_model("llama")).ok


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


# ---- models that act


@pytest.mark.parametrize(
    "check", ["episodes played step by step equal the reference", "steered steps equal the reference"]
)
def test_a_cache_that_mixes_up_episodes_is_seen(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_sequence_model()

    def row() -> Row:
        return run_all(one for one in SequenceChecks(model).checks() if one.name == check)[0]

    assert row().ok
    keep = SequenceCache.keep
    monkeypatch.setattr(SequenceCache, "keep", lambda self, rows: keep(self, rows.flip(0)))
    assert not row().ok


@pytest.mark.parametrize("options", [{"block": "recurrent"}, {"observation": "vector", "observation_size": 3}])
def test_models_that_act_conform_whatever_their_blocks_and_observations(options: dict[str, Any]) -> None:
    config = SequenceConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, **options)
    model = SequenceModel(SequenceModelForActions(config).eval().requires_grad_(False), "acts")
    report = check_backend(model)
    assert report.ok, str(report)


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_every_shipped_model_conforms(name: str) -> None:
    report = check_backend(load_model(name, device="cpu"))
    assert report.ok, str(report)


# ---- the report


def test_what_is_said_on_the_way_is_the_note_of_the_check() -> None:
    def measure() -> float:
        warn("one row at a time")
        warn("one row at a time")
        return 0.0

    (row,) = run_all([Check("scores", measure, 0.0, "left out: long prompts")])
    assert row.ok and row.note == "left out: long prompts; one row at a time"


def test_long_prompts_that_would_take_too_long_are_said_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_checks, "_OPERATIONS", {"cpu": 1e7})
    row = _row(HuggingFaceBackend(tiny_hf_model("mistral")), "long prompts are scored and continued as short ones")
    assert row.ok and row.note.startswith("left out: prompts of ")


def test_the_report_is_a_table_that_marks_what_failed() -> None:
    report = Report("tiny on hf", (Row("fine", 1e-7, 1e-5), Row("broken", float("nan"), 1e-5, "why")))
    assert not report.ok
    lines = str(report).splitlines()
    assert lines[0] == "tiny on hf" and lines[2].endswith("ok") and lines[3].endswith("FAILED  why")
