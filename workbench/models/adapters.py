"""Low-rank adapters in PEFT's format, merged into copies of the weights that they touch.

What comes out is an ordinary :class:`LanguageModel` with a fingerprint of its own, behind the same back end.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from workbench.errors import ArtifactError, quiet_logger
from workbench.files import read_object
from workbench.models.fingerprint import check_stamp
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.shared_weights import copy_sharing_weights

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")
FINETUNING = "finetuning.json"  # written last: a folder that has it is whole


def load_adapter(model: LanguageModel, folder: str | os.PathLike[str], name: str | None = None) -> LanguageModel:
    """``model`` with the adapter in ``folder`` merged in, as a model of its own; ``model`` stays as it is.

    Raises :class:`ArtifactError` for a folder without an adapter and for an adapter made on other weights.  Adapters
    that were not made here (PEFT's own folders) say nothing of the weights they belong to and are taken as they are.
    """
    source = Path(folder)
    if not all((source / file).exists() for file in ADAPTER_FILES):
        raise ArtifactError(f"{source} holds no finished adapter: {' and '.join(ADAPTER_FILES)} must be there")
    if (source / FINETUNING).exists():
        made_on = read_object(source / FINETUNING, ArtifactError)["identity"]
        stamp = {"fingerprint": made_on["base"], "precision": made_on.get("precision")}
        check_stamp(f"the adapter in {source}", stamp, model, advice="load the model it was made on")
    with quiet_peft():
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(copy_sharing_weights(model.backend.hf_model), str(source))
    return merged(model, adapted, name or f"{model.name}+{source.name}")


@contextmanager
def quiet_peft() -> Iterator[None]:
    """PEFT calls what transformers has renamed, announces the layout of GPT-2's weights, and imports bitsandbytes where
    it is there, which asks for kernels that nothing here needs."""
    with warnings.catch_warnings(), quiet_logger("bitsandbytes"):
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        yield


def merged(model: LanguageModel, adapted: Any, name: str) -> LanguageModel:
    """PEFT's model around a copy of ``model`` as a model of its own, the adapters merged in."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    from workbench.models.loading import with_backend

    for module in adapted.modules():
        if isinstance(module, BaseTunerLayer):
            base: Any = module.get_base_layer()  # its weight is the model's own: merging must not write into it
            base.weight = torch.nn.Parameter(base.weight.detach().clone(), requires_grad=False)
    hf_model = adapted.merge_and_unload().eval().requires_grad_(False)
    named = LanguageModel(HuggingFaceBackend(hf_model, model.tokenizer), model.tokenizer, name)
    return named if model.backend_name == "hf" else with_backend(named, model.backend_name)
