"""Tiny models behind every back end, a plain intervention, and oracles that know Hugging Face and PyTorch only."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.models.interventions import Scope, Where
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.tiny import tiny_model, tiny_tokenizer
from workbench.sites import Site

PROMPTS = ["a b c d e f g h i j k l", "q", "z y x w v u t s"]


@dataclass(frozen=True, eq=False)
class AddVector:
    """Adds a vector [d], or one a row [rows, d]."""

    site: Site
    vector: Tensor
    scope: Scope = Scope()

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        vector = self.vector[where.rows] if self.vector.ndim == 2 else self.vector
        return activation + vector.to(activation.dtype) * self.scope.mask(where)[..., None].to(activation.dtype)


@dataclass(frozen=True, eq=False)
class Watch:
    """Changes nothing; calls ``see`` with each activation and where it is."""

    site: Site
    see: Callable[[Tensor, Where], Any]
    scope: Scope = Scope()

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        self.see(activation, where)
        return activation


@pytest.fixture(scope="session")
def add() -> type[AddVector]:
    return AddVector


@pytest.fixture(scope="session")
def watch() -> type[Watch]:
    return Watch


@pytest.fixture(scope="session")
def prompts() -> list[str]:
    return PROMPTS


@pytest.fixture(scope="session")
def model_on() -> Callable[[str, str], LanguageModel]:
    """``model_on(shape, backend)``; the back ends of a shape stand on the same weights."""

    @cache
    def base(shape: str) -> LanguageModel:
        return tiny_model(shape)

    @cache
    def make(shape: str, backend: str) -> LanguageModel:
        return base(shape) if backend == "hf" else with_backend(base(shape), backend)

    return make


@pytest.fixture(scope="session")
def model(model_on: Callable[[str, str], LanguageModel]) -> LanguageModel:
    return model_on("llama", "hf")


@pytest.fixture(scope="session", params=["hf", "transformer_lens", "nnsight"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def vectors(model: LanguageModel) -> Tensor:
    """[rows, d_model], of a size that changes what is said."""
    return 3 * torch.randn(3, model.d_model, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def oracle_logits() -> Callable[..., Tensor]:
    """Logits [pos, vocab] of one row by Hugging Face, ``vector`` added behind a block at some positions."""

    def run(
        hf_model: Any, tokens: list[int], layer: int = 0, vector: Tensor | None = None, at: Collection[int] = ()
    ) -> Tensor:
        blocks = hf_model.transformer.h if hasattr(hf_model, "transformer") else hf_model.model.layers

        def steer(_module: Any, _args: Any, output: Any) -> Any:
            steered = (output[0] if isinstance(output, tuple) else output).clone()
            for position in at:
                if position < steered.shape[1]:
                    steered[0, position] += vector
            return (steered, *output[1:]) if isinstance(output, tuple) else steered

        handle = blocks[layer].register_forward_hook(steer)
        try:
            with torch.no_grad():
                return hf_model(torch.tensor([tokens]), use_cache=False).logits[0]
        finally:
            handle.remove()

    return run


@pytest.fixture(scope="session")
def oracle_greedy(oracle_logits: Callable[..., Tensor]) -> Callable[..., list[int]]:
    """Greedy tokens by running everything anew for every token, up to the end token (2)."""

    def run(hf_model: Any, tokens: list[int], new: int, **steering: Any) -> list[int]:
        found: list[int] = []
        while len(found) < new:
            token = int(oracle_logits(hf_model, tokens + found, **steering)[-1].argmax())
            if token == 2:
                break
            found.append(token)
        return found

    return run


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, model: LanguageModel) -> Path:
    """A Hugging Face folder of the tiny Llama."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    model.backend.hf_model.save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path
