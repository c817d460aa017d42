"""What identifies a model: its configuration and its weights, whatever the precision they are held in.

Artifacts carry the fingerprint, basis and precision of the model that they were made on, and :func:`check_stamp` says
whether they fit another: a model of other weights is refused, the same one in another precision is said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, TypedDict, runtime_checkable

import torch
from torch import Tensor

from workbench.arguments import one_of
from workbench.errors import ArtifactError, warn
from workbench.models.offload import weights_of

# A field of the configuration, saved with the model: the file that its weights were made from (see models.gguf).
MADE_FROM = "made_from"
# Where it was loaded from, by what, and in which precision: no part of what a model is.
_VOLATILE = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache", MADE_FROM}
_SAMPLE = 65_536
_READ_AS = "_workbench_read_as"


def fingerprint(hf_model: Any) -> str:
    """16 hex digits from the configuration and the weights of a Hugging Face model.

    Weights of up to 65,536 entries count whole; of larger ones, as many evenly spaced entries (so that hashing a model
    of 7B parameters takes a second, and any finetuning still shows).  Values are compared as bfloat16: one checkpoint
    read as float64, float32 or bfloat16 is one model.  A float16 copy rounds otherwise, see :func:`same_model`.
    """
    own = _digest(hf_model)
    held, checkpoint = getattr(hf_model, _READ_AS, (None, own))
    return str(checkpoint) if held == own else own


def same_model(hf_model: Any, checkpoint: Any) -> None:
    """Note that ``hf_model`` holds the weights of ``checkpoint``, rounded in a way that the fingerprint would see.

    It has that fingerprint from then on, for as long as its own weights stay as they are.
    """
    setattr(hf_model, _READ_AS, (_digest(hf_model), fingerprint(checkpoint)))


@runtime_checkable
class ModelStamp(Protocol):
    """What identifies a model in memory, and ``precision`` where it says so; every model here has all three."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def basis(self) -> str: ...


class Stamp(TypedDict):
    """What an artifact carries of the model that it was made on."""

    fingerprint: str
    basis: str
    precision: str | None


def stamp_of(model: ModelStamp) -> Stamp:
    """The stamp of what is made on ``model``."""
    precision = getattr(model, "precision", None)
    return {"fingerprint": model.fingerprint, "basis": model.basis, "precision": precision}


def check_stamp(
    what: str,
    stamp: Mapping[str, Any],
    model: ModelStamp,
    force: bool = False,
    advice: str = "force=True uses it anyway",
) -> None:
    """Raise :class:`ArtifactError` when ``what`` is of another model or basis; None in its ``stamp`` is not known.

    The same model in another precision is no other: one line (a :class:`WorkbenchWarning`) names both.
    """
    one_of(model, ModelStamp, "model")
    wrong = [
        f"{name} {mine}, the model has {getattr(model, name)}"
        for name in ("fingerprint", "basis")
        if (mine := stamp.get(name)) not in (None, getattr(model, name))
    ]
    if wrong and not force:
        raise ArtifactError(f"{what} belongs to another model ({'; '.join(wrong)}); {advice}")
    there, here = stamp.get("precision"), getattr(model, "precision", None)
    if not wrong and None not in (there, here) and there != here:
        warn(f"{what} was made on this model in {there}, and the model is in {here} here")


def _digest(hf_model: Any) -> str:
    config = json.dumps(_lasting(hf_model.config.to_dict()), sort_keys=True, default=str)
    digest = hashlib.sha256(config.encode())
    for name, weight in weights_of(hf_model):
        flat = weight.detach().flatten()
        if flat.numel() > _SAMPLE:
            flat = flat[torch.linspace(0, flat.numel() - 1, _SAMPLE, dtype=torch.float64).long().to(flat.device)]
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(_rounded(flat).numpy().tobytes())
    return digest.hexdigest()[:16]


def _lasting(config: Any) -> Any:
    """A configuration, and those nested in it, without what is volatile."""
    if isinstance(config, dict):
        return {key: _lasting(value) for key, value in config.items() if key not in _VOLATILE}
    return config


def _rounded(values: Tensor) -> Tensor:
    """Bit patterns in which every wider precision agrees; whole numbers are themselves."""
    if values.is_floating_point():
        return values.to("cpu", torch.bfloat16).view(torch.int16)
    return values.to("cpu", torch.int64)
