"""A model's untrained counterpart: the same configuration and tokenizer, new weights from a seed.

What a probe reads off it comes from the architecture and the input alone (Zhang and Bowman 2018, arXiv 1809.10040).
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch

from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.sequence_model import SequenceModel

Model = TypeVar("Model", LanguageModel, SequenceModel)


def untrained(model: Model, seed: int = 0) -> Model:
    """``model`` with weights drawn anew, as its library initialises them; back end, device and precision stay.

    The random state of the process is left as it was.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> other = untrained(model, 1)
    >>> other.name, other.fingerprint != model.fingerprint, other.fingerprint == untrained(model, 1).fingerprint
    ('tiny-llama-untrained-1', True, True)
    """
    trained = model.backend.hf_model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        other = type(trained)(copy.deepcopy(trained.config))  # on the CPU, so that every machine draws the same
    other = other.to(device=model.device, dtype=model.dtype).eval().requires_grad_(False)
    name = f"{model.name}-untrained-{seed}"
    if isinstance(model, SequenceModel):
        return SequenceModel(other, name)  # type: ignore[return-value]  # its own kind, which a type variable hides
    named = LanguageModel(HuggingFaceBackend(other, model.tokenizer), model.tokenizer, name)
    named = named.with_template(**model.template)
    return named if model.backend_name == "hf" else with_backend(named, model.backend_name)
