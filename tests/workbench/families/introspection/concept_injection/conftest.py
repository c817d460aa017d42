"""A tiny chat model whose words are those of the prompts, and one small run of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.families.introspection.concept_injection import prompts
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.concept_injection.words import load_words


def make_chat_model(folder: Path) -> Path:
    """An untrained Llama of 3 layers as a Hugging Face folder with a chat template."""
    import torch

    from workbench.models.tokenizers import word_tokenizer
    from workbench.training.recipes import Shape, new_llama

    words = load_words()
    said = [text for text in vars(prompts).values() if isinstance(text, str)]
    texts = [*said, *prompts.UNRELATED, *prompts.SENTENCES, *prompts.NEUTRAL, *prompts.INTENTIONS.values()]
    texts += [" ".join(["Yes No yes no A B C D", *words.concepts, *words.baselines])]
    tokenizer = word_tokenizer(texts, max_integer=9)
    shape = Shape(layers=3, width=32, heads=2, kv_heads=2, mlp=64, positions=512)
    model = new_llama(shape, tokenizer, "tiny-chat", seed=3)
    with torch.no_grad():  # large enough weights that one token matters to the next
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def small_injection(folder: Path) -> InjectionSpec:
    """The spec of a small run on it."""
    return InjectionSpec(
        model=str(folder), device="cpu", concepts=6, baselines=4, layers=(0, 1), multipliers=(1.0, 4.0),
        max_new_tokens=4,
    )  # fmt: skip


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat_model(tmp_path_factory.mktemp("models") / "tiny-chat")


@pytest.fixture(scope="session")
def chat_model(chat_folder: Path):  # type: ignore[no-untyped-def]
    from workbench.models import load_model

    return load_model(chat_folder, device="cpu")


@pytest.fixture(scope="session")
def small_spec(chat_folder: Path) -> InjectionSpec:
    return small_injection(chat_folder)


@pytest.fixture(scope="session")
def injection_run(small_spec: InjectionSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.families import get_family, run

    return run(get_family("concept-injection"), small_spec, tmp_path_factory.mktemp("runs"))
