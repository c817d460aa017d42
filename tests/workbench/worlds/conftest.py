"""A tiny untrained model that reads grids, layouts, and a model that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from workbench.worlds.grids.layouts import Layout
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.text import GridText
from workbench.worlds.moves import Move


@pytest.fixture(scope="session")
def grid_model():  # type: ignore[no-untyped-def]  # importing LanguageModel here would load torch for every test
    """Seeded and untrained, with weights large enough that its four answers differ from place to place."""
    from workbench.models.hf import HuggingFaceBackend
    from workbench.models.language_model import LanguageModel
    from workbench.models.tiny import tiny_hf_model
    from workbench.models.tokenizers import word_tokenizer

    texts = [GridText(reasoning).prompt(make_layout(7), make_layout(7).initial) for reasoning in (False, True)]
    texts += [GridText().answer(move) for move in Move] + ["At 3 2. Goal 5 4. Go UP DOWN LEFT RIGHT K D"]
    tokenizer = word_tokenizer(texts, max_integer=16)
    hf_model = tiny_hf_model("llama", seed=3, vocab_size=len(tokenizer))
    return LanguageModel(HuggingFaceBackend(hf_model), tokenizer, "tiny-grid")


@pytest.fixture(scope="session")
def grids() -> list[Layout]:
    """Six mazes of size 7, from open to loopless."""
    return [make_layout(7, density, seed=seed) for density in (0.0, 0.4, 1.0) for seed in range(2)]


class ScriptedModel:
    """Stands in for a model: ``say(prompt text, seed)`` is what it generates; calls are recorded."""

    def __init__(self, say: Callable[[str, int], str]) -> None:
        self.say, self.calls = say, []
        self.tokenizer = SimpleNamespace(chat_template=None)

    def encode(self, prompt: str) -> list[int]:
        return [ord(c) for c in prompt]

    def generate(self, prompts, counts, *, seeds, **options):
        from workbench.models.decoding import Completion

        self.calls.append((list(counts), list(seeds), options))
        texts = [self.say("".join(map(chr, prompt)), seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return [[Completion(text, [1], -1.0, "eos")] * n for text, n in zip(texts, counts, strict=True)]


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedModel]:
    return ScriptedModel
