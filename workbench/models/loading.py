"""Loading models: shipped ones by name, local folders, hub ids; one set of weights behind any back end."""

from __future__ import annotations

import os
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from workbench.arguments import shown
from workbench.errors import ModelError, SpecError, WorkbenchError, check_known, did_you_mean, quiet_logger
from workbench.models.fingerprint import same_model
from workbench.models.gguf import config_from_gguf, find_gguf, tokenizer_from_gguf, weights_from_gguf
from workbench.models.gguf_file import GGUFFile
from workbench.models.language_model import LanguageModel
from workbench.models.names import adapter_of, base_of, fetched_models, shipped_models, source_of
from workbench.models.quantized import quantization
from workbench.models.registry import FETCHABLE
from workbench.models.sequence import SequenceConfig, SequenceModelForActions  # their import registers the model type
from workbench.models.sequence_model import SequenceModel
from workbench.models.weights import check_weights

# name -> where its class is; a new back end is one file and one line here.
BACKENDS: dict[str, str] = {
    "hf": "workbench.models.hf:HuggingFaceBackend",
    "transformer_lens": "workbench.models.transformer_lens:TransformerLensBackend",
    "nnsight": "workbench.models.nnsight:NnsightBackend",
}
_HUB = "huggingface_hub.utils._http"  # tells of each try; what comes of them is said once, by the error
_SHOWN = 20  # names of a folder that has no model


def load_model(
    path_or_hub_id: str | Path,
    backend: str = "hf",
    *,
    device: str | None = None,
    dtype: str | Any = "auto",
    revision: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    quantized: str | None = None,
    trust_remote_code: bool = False,
) -> LanguageModel | SequenceModel:
    """Load a causal language model, or a sequence model that acts (``LanguageModel.of(...)`` refuses the latter).

    Args:
        path_or_hub_id: the name of a shipped or fetched model, a folder, or a hub id; or a GGUF file: its path, a
            folder that holds one, or ``hub-id:FILE.gguf``.
        backend: ``hf``, ``transformer_lens`` or ``nnsight``.
        device: by default CUDA when there is one, else the CPU.
        dtype: ``"auto"`` is the checkpoint's (of a GGUF file: bfloat16 where its weights are, else float32, which
            holds what their quantisation stands for); or e.g. ``"float32"``, ``torch.bfloat16``.
        revision: branch, tag or commit of a hub id.
        device_map: ``"auto"`` spreads a model over several GPUs, and what they have no room for over the CPU and the
            disk; or a place (``0``, ``"cpu"``, ``"disk"``) by the name of a module.
        quantized: ``"8bit"`` or ``"4bit"`` holds the linear layers in so many bits (needs bitsandbytes).
        trust_remote_code: whether code from the hub may run.

    Returns:
        A model that can be read and steered; a :class:`SequenceModel` where it reads observations and no text.

    Raises:
        ModelError: for a model that is missing or cannot be read.
        SpecError: for an option that is none.
    """
    _check_backend_name(backend)
    if adapter := adapter_of(path_or_hub_id):
        given = {"device": device, "dtype": dtype, "device_map": device_map, "quantized": quantized}
        return _adapted(adapter, str(path_or_hub_id), backend, given)
    source = source_of(path_or_hub_id)
    place = check_device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    name, target = str(path_or_hub_id), _target(device_map, quantized, place, _dtype(dtype))
    file = _gguf(source, name, revision)
    model = _weights(file or source, name, _dtype(dtype), target, options)
    acts = isinstance(model, SequenceModelForActions)
    tokenizer = None if acts else _tokenizer(file or source, name, options)
    if acts and backend != "hf":
        raise ModelError(f"{name} reads observations, not tokens: it has the hf back end only")
    if not target:
        try:
            model = model.to(place)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(f"cannot put {name!r} on {str(place)!r}: {str(error).splitlines()[0]}") from error
    model.eval().requires_grad_(False)
    return SequenceModel(model, name) if acts else _wrap(model, tokenizer, backend, name)


def _target(device_map: Any, quantized: str | None, place: torch.device, dtype: Any) -> dict[str, Any]:
    """Where ``from_pretrained`` puts the weights, and as what; empty: into memory, as they are."""
    if not isinstance(device_map, str | dict | None):
        raise SpecError(f"device_map must be a text such as 'auto' or a dict, not {shown(device_map)}")
    target = {"device_map": device_map} if device_map else {}
    if quantized is None:
        return target
    return {"device_map": {"": place}, **target, "quantization_config": quantization(quantized, dtype)}


def _adapted(folder: Path, name: str, backend: str, options: dict[str, Any]) -> LanguageModel:
    """An adapter, merged into its base."""
    from workbench.models.adapters import load_adapter

    base = load_model(base_of(folder), backend, **options)
    return load_adapter(LanguageModel.of(base), folder, name)


def _gguf(source: str, name: str, revision: str | None = None) -> GGUFFile | None:
    """The GGUF file that is meant, fetched from the hub if it is there."""
    try:
        with quiet_logger(_HUB):
            return find_gguf(source, revision)
    except WorkbenchError:
        raise
    except Exception as error:  # the hub's client raises many kinds
        raise ModelError(f"cannot load {name!r}: {_reason(source, error)}") from error


def _weights(source: str | GGUFFile, name: str, dtype: Any, target: dict[str, Any], options: dict[str, Any]) -> Any:
    """The Hugging Face model, all its weights from its files."""

    def load(dtype: Any, **where: Any) -> Any:
        if isinstance(source, GGUFFile):
            return weights_from_gguf(source, dtype, where)
        read: Any = AutoModelForCausalLM.from_pretrained
        asked = {"dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True, **where, **options}
        model, info = read(source, **asked)
        check_weights(name, model, info)
        return model

    # Weights that go to the disk and are not in a safetensors file as they are needed; goes with the model.
    spilled = TemporaryDirectory(prefix="workbench-offload-") if target else None
    try:
        with quiet_logger(_HUB):
            model = load(dtype, **target, **({"offload_folder": spilled.name} if spilled else {}))
            model._workbench_spilled = spilled
            if dtype is torch.float16:
                same_model(model, load("auto"))
            return model
    except WorkbenchError:
        raise
    except Exception as error:  # the libraries below raise many kinds; each means that this cannot be loaded
        raise ModelError(f"cannot load {name!r}: {_reason(source, error)}") from error


def _tokenizer(source: str | GGUFFile, name: str, options: dict[str, Any]) -> Any:
    try:
        with quiet_logger(_HUB):
            if isinstance(source, GGUFFile):
                return tokenizer_from_gguf(source)
            return AutoTokenizer.from_pretrained(source, **options)
    except WorkbenchError:
        raise
    except Exception as error:  # as above
        raise ModelError(f"cannot read the tokenizer of {name!r}: {_first_line(error)}") from error


def n_layers_of(path_or_hub_id: str) -> int:
    """Number of blocks of a model, from its configuration alone; raises :class:`ModelError` as ``load_model`` does."""
    return int(config_of(path_or_hub_id).get_text_config().num_hidden_layers)


def config_of(path_or_hub_id: str | Path) -> Any:
    """The configuration of a model, without its weights; raises :class:`ModelError` as ``load_model`` does."""
    if adapter := adapter_of(path_or_hub_id):
        return config_of(base_of(adapter))
    source = source_of(path_or_hub_id)
    if file := _gguf(source, str(path_or_hub_id)):
        return config_from_gguf(file)
    try:
        with quiet_logger(_HUB):
            return AutoConfig.from_pretrained(source)
    except Exception as error:  # as in _weights
        raise ModelError(f"cannot load {str(path_or_hub_id)!r}: {_reason(source, error)}") from error


def tokenizer_of(path_or_hub_id: str | Path) -> Any:
    """The tokenizer of a model, without its weights; raises :class:`ModelError` as ``load_model`` does."""
    name = str(path_or_hub_id)
    if adapter := adapter_of(name):
        return tokenizer_of(base_of(adapter))
    source = source_of(path_or_hub_id)
    return _tokenizer(_gguf(source, name) or source, name, {})


def is_here(path_or_hub_id: str | Path) -> bool:
    """Whether a model's weights are on this machine, so that loading it downloads nothing."""
    from huggingface_hub import try_to_load_from_cache
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME

    name = str(path_or_hub_id)
    if adapter := adapter_of(name):
        return is_here(base_of(adapter))
    if name in FETCHABLE and not os.path.exists(name):
        return name in fetched_models()
    source = source_of(path_or_hub_id)
    repository, _, file = source.partition(":")
    files = [file] if file else [SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME, WEIGHTS_INDEX_NAME]
    return os.path.exists(source) or any(isinstance(try_to_load_from_cache(repository, each), str) for each in files)


def check_reads(path_or_hub_id: str, reads: str) -> None:
    """Raise :class:`ModelError` unless the model reads ``reads`` (text, or observations), by its configuration."""
    found = (SequenceModel if isinstance(config_of(path_or_hub_id), SequenceConfig) else LanguageModel).reads
    if found != reads:
        raise ModelError(f"{path_or_hub_id} reads {found}, not {reads}")


def check_options(
    backend: str = "hf", device: str | None = None, dtype: str = "auto", device_map: str | None = None
) -> None:
    """Raise :class:`SpecError` for a back end, device or dtype that does not exist, without loading anything."""
    _check_backend_name(backend)
    _dtype(dtype)
    check_device(device or "cpu")
    if device_map not in (None, "auto", "balanced", "balanced_low_0", "sequential"):
        check_device(device_map)


def check_device(device: Any) -> torch.device:
    """The device of that name; :class:`SpecError` for one that does not exist anywhere, or that holds no numbers."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        found = torch.device("meta")
    if found.type == "meta":
        raise SpecError(f"unknown device {device!r}: write cpu, cuda or cuda:0")
    return found


def with_backend(model: LanguageModel, backend: str) -> LanguageModel:
    """The same model behind another back end, without loading the weights again; :class:`ModelError` for one that acts.

    Every back end leaves ``hf_model`` as it is (those that rewire modules do so in a copy, see
    :mod:`workbench.models.shared_weights`), so any number of them can stand on one set of weights.
    """
    _check_backend_name(backend)
    model = LanguageModel.of(model)
    return _wrap(model.backend.hf_model, model.tokenizer, backend, model.name).with_template(**model.template)


def _wrap(hf_model: Any, tokenizer: Any, backend: str, name: str) -> LanguageModel:
    return LanguageModel(resolve_name(BACKENDS[backend])(hf_model, tokenizer), tokenizer, name)


def _check_backend_name(backend: str) -> None:
    check_known(backend, BACKENDS, "back end")


def _dtype(dtype: Any) -> Any:
    if isinstance(dtype, str) and dtype == "auto":
        return dtype
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise SpecError(f"unknown dtype {dtype!r}: write auto, float32, bfloat16 or float16")
    return found


def _reason(source: str | GGUFFile, error: Exception) -> str:
    """One line: for what does not look like a folder, the names that would work."""
    first = _first_line(error)
    if isinstance(source, GGUFFile):
        return first
    if os.path.isdir(source) and not os.path.exists(os.path.join(source, "config.json")):
        held = sorted(os.listdir(source))[:_SHOWN]
        return f"the folder has no config.json and no GGUF file{did_you_mean(os.path.basename(source), held)}"
    if os.path.exists(source):
        return first
    return f"no such folder or shipped model ({', '.join(shipped_models())}), and as a hub id: {first}"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
