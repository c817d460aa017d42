"""Models from GGUF files: dense weights, the file's own tokenizer, and a configuration that leaves nothing out.

transformers knows how llama.cpp lays out the weights of each architecture, and undoes it; the configuration and the
tokenizer are made here from the metadata.  What comes out is an ordinary model, not a quantised one: it can be saved,
trained and put behind any back end, and it knows which tokens end a completion and what it was made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, GgufConfig

from workbench.errors import ModelError
from workbench.models.fingerprint import MADE_FROM
from workbench.models.gguf_config import READ_BY_TRANSFORMERS, ROPE_TENSORS, config_from_gguf
from workbench.models.gguf_file import SUFFIX, GGUFFile, read_gguf
from workbench.models.gguf_tokenizer import end_tokens, tokenizer_from_gguf
from workbench.models.weights import check_weights, few

__all__ = ["config_from_gguf", "find_gguf", "tokenizer_from_gguf", "weights_from_gguf"]

# The name of an architecture in llama.cpp's table, where it is another than transformers' model type.
_TABLE_NAMES = {"gemma3_text": "gemma3", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe"}
# The end of a key "general.sampling.*", and what Hugging Face calls it.
_SAMPLING = {
    "temp": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}


def find_gguf(source: str, revision: str | None = None) -> GGUFFile | None:
    """The GGUF file that ``source`` names: a path, a folder that holds one and no config.json, ``hub-id:FILE.gguf``.

    None where it names something else.  Raises :class:`ModelError` for a folder with several.
    """
    path = Path(source)
    if path.is_dir():
        held = sorted(path.glob(f"*{SUFFIX}"))
        if not held or (path / "config.json").exists():
            return None
        if len(held) > 1:
            raise ModelError(f"the folder {path} holds {len(held)} GGUF files: name one, such as {held[0]}")
        return read_gguf(held[0])
    if not source.lower().endswith(SUFFIX):
        return None
    repository, colon, name = source.partition(":")
    if path.exists() or not colon:
        return read_gguf(path)
    from huggingface_hub import hf_hub_download

    return read_gguf(hf_hub_download(repository, name, revision=revision))


def weights_from_gguf(file: GGUFFile, dtype: Any, target: dict[str, Any]) -> Any:
    """The Hugging Face model of a GGUF file, dense, in ``dtype``; ``"auto"`` is the file's own ``exact_dtype``.

    Raises :class:`ModelError` for architectures, quantisations and tensors that are not read.
    """
    config = config_from_gguf(file)
    dtype = getattr(torch, file.exact_dtype) if dtype == "auto" else dtype
    options = {**target, "dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True}
    load: Any = AutoModelForCausalLM.from_pretrained
    if file.architecture in READ_BY_TRANSFORMERS:
        if "quantization_config" in target:
            raise ModelError(f"cannot load {file.path} in 8 or 4 bits: save it as a Hugging Face folder and load that")
        dense = {"quantization_config": GgufConfig(dequantize=True)}
        model, info = load(str(file.path.parent), gguf_file=file.path.name, config=config, **dense, **options)
    else:
        kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        model, info = kind.from_pretrained(None, config=config, state_dict=_tensors(file, config, dtype), **options)
    check_weights(str(file.path), model, info)
    model.generation_config.eos_token_id = end_tokens(file) or None
    model.generation_config.update(**_sampling(file.metadata))
    setattr(model.config, MADE_FROM, file.made_from)
    return model


def _sampling(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says of how to sample (``general.sampling.*``), in Hugging Face's words."""
    said = {ours: metadata.get(f"general.sampling.{theirs}") for theirs, ours in _SAMPLING.items()}
    found = {key: value for key, value in said.items() if isinstance(value, int | float) and value >= 0}
    return found and {"do_sample": found.get("temperature") != 0, **found}


def _tensors(file: GGUFFile, config: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The file's tensors by Hugging Face's names, llama.cpp's layout undone by what transformers has for it."""
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    processor = TENSOR_PROCESSORS.get(file.architecture, TensorProcessor)(config=config.to_dict())
    places = _places(config, processor)
    found: dict[str, torch.Tensor] = {}
    left = []
    for name in file.tensors:
        if name in ROPE_TENSORS:
            continue
        done = processor.process(
            file.values(name), name=name, tensor_key_mapping=places, parsed_parameters={"tensors": found}
        )
        if done.name in places:
            found[places[done.name]] = torch.from_numpy(done.weights.copy()).to(dtype)
        elif done.name is not None:  # None: the processor has put it where it belongs
            left.append(name)
    if left:
        raise ModelError(f"cannot load {file.path}: tensors that the model has no place for: {few(left)}")
    return {name: tensor.to(dtype) for name, tensor in found.items()}


def _places(config: Any, processor: Any) -> dict[str, str]:
    """llama.cpp's name of each weight -> Hugging Face's."""
    table = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(
        table[_TABLE_NAMES.get(config.model_type, config.model_type)], config.num_hidden_layers
    )
    with torch.device("meta"):
        wanted = list(AutoModelForCausalLM.from_config(config).state_dict())
    found: dict[str, str] = {}
    for own in wanted:
        name = processor.preprocess_name(own)
        stem, _, suffix = name.rpartition(".")
        stem, ending = (stem, f".{suffix}") if suffix in ("weight", "bias") else (name, "")
        if (known := names.get_name(stem)) is not None:
            found[known + ending] = own
        else:
            processor.perform_fallback_tensor_mapping(found, ending, "", own)
    return found
