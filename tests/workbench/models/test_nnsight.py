"""The nnsight back end runs through nnsight, and nnsight's side effects are undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.sites import Site

Maker = Callable[[str, str], LanguageModel]


def test_each_pass_is_an_nnsight_trace_and_no_pytorch_hook(
    model_on: Maker, monkeypatch: pytest.MonkeyPatch, add: Any, vectors: torch.Tensor
) -> None:
    from nnsight.intervention.interleaver import Mediator

    served: list[str] = []
    swap, value = Mediator.swap.__func__, Mediator.value.__func__  # type: ignore[attr-defined]

    def note(kind: str, call: Any) -> Any:
        def noted(cls: type, where: str, *rest: Any) -> Any:
            served.append(f"{kind} {where}")
            return call(cls, where, *rest)

        return classmethod(noted)

    monkeypatch.setattr(Mediator, "value", note("read", value))
    monkeypatch.setattr(Mediator, "swap", note("write", swap))
    monkeypatch.setattr(torch.nn.Module, "register_forward_hook", None)
    steer = add(Site(1), vectors[0], Scope.everywhere())
    model = model_on("llama", "nnsight")
    assert not model.sinks.first  # read once a model, before any steering
    served.clear()
    model.forward(["a b c"], ["2.attn_out"], [steer])
    assert served == [
        "read model.model.layers.1.output",
        "write model.model.layers.1.output",
        "read model.model.layers.2.self_attn.output",
        "read model.model.layers.2.output",
    ]


def test_nnsights_own_traces_work_beside_ours(model_on: Maker) -> None:
    import nnsight

    model = model_on("llama", "nnsight")
    traced = model.backend.model
    with torch.no_grad(), traced.trace("a b c"):
        hidden = nnsight.save(traced.model.layers[1].output)
    expected = model.forward(["a b c"], [1]).activations
    torch.testing.assert_close(hidden, next(iter(expected.values())))
