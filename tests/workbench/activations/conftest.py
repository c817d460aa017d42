"""Tiny models, texts of mixed lengths, and the plain Hugging Face answer for them."""

import random

import pytest
import torch

from workbench.models.interventions import Scope
from workbench.models.tiny import tiny_model
from workbench.sites import Site


@pytest.fixture(scope="session")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="session")
def models():
    """One model of each shape."""
    return {shape: tiny_model(shape) for shape in ("llama", "gpt2", "qwen2", "mistral")}


@pytest.fixture(scope="session")
def texts():
    """40 texts of 1 to 30 letters, in no order."""
    rng = random.Random(0)
    return [" ".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 30))) for _ in range(40)]


@pytest.fixture(scope="session")
def oracle():
    """Hidden states [tokens, d] of one prompt behind a layer, by a plain Hugging Face call on it alone."""

    def hidden(model, prompt, layer):
        with torch.no_grad():
            states = model.backend.hf_model(
                torch.tensor([model.encode(prompt)]), output_hidden_states=True
            ).hidden_states
        return states[layer + 1][0]

    return hidden


@pytest.fixture
def poison():
    """Makes an intervention that puts a NaN into the last token of one row, behind layer 1."""

    class Poison:
        site, scope = Site(1), Scope()

        def __init__(self, row):
            self.row = row

        def __call__(self, activation, where):
            hit = self.scope.mask(where) & (where.rows == self.row)
            return activation.masked_fill(hit[..., None], float("nan"))

    return Poison


@pytest.fixture(scope="session")
def chat():
    return [
        {"role": "system", "content": "a b"},
        {"role": "user", "content": "c d e"},
        {"role": "assistant", "content": "f g"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "a b c"},
        {"role": "user", "content": "z"},
    ]
