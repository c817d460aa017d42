"""Writes Hugging Face models as GGUF files, the way llama.cpp's converter does: a second, independent reading of the
format, so that what is read can be held against what was written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

Kind = gguf.GGMLQuantizationType
_GPT2_ACROSS = ("attn_qkv.weight", "ffn_down.weight", "ffn_up.weight", "attn_output.weight")  # Conv1D's are [in, out]


def write_gguf(
    path: Path, model: Any, architecture: str, tokenizer: Mapping[str, Any], kind: str = "F32", **more: Any
) -> Path:
    """``more``: metadata beside (or in place of) what follows from the model; ``key=None`` leaves one out.

    Matrices are of ``kind``, all else is float32.
    """
    writer = gguf.GGUFWriter(path, architecture)
    facts = {**_facts(model.config, architecture), **{key.replace("__", "."): value for key, value in more.items()}}
    for key, value in facts.items():
        if value is not None:
            _put(writer, f"{architecture}.{key}", value)
    for key, value in tokenizer.items():
        _put(writer, f"tokenizer.{key}", value)
    for name, value in tensors_of(model, architecture).items():
        as_kind = Kind[kind] if value.ndim > 1 else Kind.F32
        data = value if as_kind == Kind.F32 else gguf.quantize(value, as_kind)
        writer.add_tensor(name, data, raw_dtype=as_kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _put(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _facts(config: Any, architecture: str) -> dict[str, Any]:
    if architecture == "gpt2":
        return {
            "context_length": config.n_positions,
            "embedding_length": config.n_embd,
            "block_count": config.n_layer,
            "attention.head_count": config.n_head,
            "feed_forward_length": 4 * config.n_embd,
            "attention.layer_norm_epsilon": config.layer_norm_epsilon,
        }
    shape = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
    }
    if architecture == "lfm2":
        return shape | {
            "attention.head_count_kv": [
                config.num_key_value_heads * (kind == "full_attention") for kind in config.layer_types
            ],
            "attention.layer_norm_rms_epsilon": config.norm_eps,
            "rope.freq_base": config.rope_parameters["rope_theta"],
            "shortconv.l_cache": config.conv_L_cache,
        }
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    return shape | {
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": rope["rope_theta"],
        "rope.dimension_count": int(head * rope.get("partial_rotary_factor", 1.0)),
        **_rope_scaling(rope),
    }


def _rope_scaling(rope: Mapping[str, Any]) -> dict[str, Any]:
    if rope["rope_type"] not in ("linear", "yarn"):
        return {}
    original = rope.get("original_max_position_embeddings")
    return {
        "rope.scaling.type": rope["rope_type"],
        "rope.scaling.factor": float(rope["factor"]),
        "rope.scaling.original_context_length": original,
    }


def tensors_of(model: Any, architecture: str) -> dict[str, np.ndarray]:
    """The weights under llama.cpp's names and in its layout."""
    config = model.config
    table = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(table[architecture], config.num_hidden_layers)
    found = {}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        value = weight.float().numpy()
        if ".experts." in name:
            found |= _experts(name, value)
            continue
        stem, _, suffix = name.rpartition(".")
        own = f"{names.get_name(stem)}.{suffix}"
        if architecture == "llama" and (".attn_q." in own or ".attn_k." in own):
            value = _turned(value, config.num_attention_heads if ".attn_q." in own else config.num_key_value_heads)
        if architecture in ("gemma2", "gemma3") and own.endswith("norm.weight"):
            value = value + 1
        if architecture == "gpt2" and own.endswith(_GPT2_ACROSS):
            value = value.T
        if own.endswith("shortconv.conv.weight"):
            value = value[:, 0]
        if own.endswith("ffn_gate_inp_shexp.weight"):
            value = value[0]
        found[own] = np.ascontiguousarray(value)
    return {**found, **_rope_tensors(config)}


def _experts(name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    block = name.split(".")[2]
    if name.endswith("down_proj"):
        return {f"blk.{block}.ffn_down_exps.weight": value}
    gate, up = np.split(value, 2, axis=1)
    return {f"blk.{block}.ffn_{part}_exps.weight": np.ascontiguousarray(x) for part, x in (("gate", gate), ("up", up))}


def _turned(value: np.ndarray, heads: int) -> np.ndarray:
    """From rotating halves to rotating neighbours."""
    halves = value.reshape(heads, 2, -1, *value.shape[1:])  # [head, 2, half, ...]
    return halves.swapaxes(1, 2).reshape(value.shape)


def _rope_tensors(config: Any) -> dict[str, np.ndarray]:
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        ends = {end: np.array(rope[f"{end}_factor"], np.float32) for end in ("long", "short")}
        return {f"rope_factors_{end}.weight": values for end, values in ends.items()}
    if rope.get("rope_type") == "llama3":
        return {"rope_freqs.weight": np.array(_llama3_divisors(rope, config.head_dim), np.float32)}
    return {}


def _llama3_divisors(rope: Mapping[str, Any], head: int) -> list[float]:
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    original, found = rope["original_max_position_embeddings"], []
    for i in range(head // 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (2 * i / head)
        smooth = (original / wave - low) / (high - low)
        inside = 1 / ((1 - smooth) / factor + smooth)
        found.append(1.0 if wave < original / high else factor if wave > original / low else inside)
    return found


def tiny_vocabulary(size: int) -> dict[str, Any]:
    """Metadata of a byte-level tokenizer: the bytes, and what fills up to ``size``."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    alphabet = list(bytes_to_unicode().values())
    merges = [("t", "h"), ("th", "e"), ("\u0120", "t")]
    tokens = ["<pad>", "<bos>", "<eos>", *alphabet, *(a + b for a, b in merges)]
    tokens += [f"<|fill{i}|>" for i in range(size - len(tokens))]
    return {
        "ggml.model": "gpt2",
        "ggml.pre": "gpt-2",
        "ggml.tokens": tokens,
        "ggml.token_type": [3 if token.startswith("<") and len(token) > 1 else 1 for token in tokens],
        "ggml.merges": [f"{a} {b}" for a, b in merges],
        "ggml.bos_token_id": 1,
        "ggml.eos_token_id": 2,
        "ggml.add_bos_token": True,
    }


def tiny_hf(config_class: Any, **fields: Any) -> Any:
    """An untrained model whose weights are large enough to matter."""
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = config_class(initializer_range=0.15, bos_token_id=1, eos_token_id=2, pad_token_id=0, **fields)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.data += 0.2 * torch.randn_like(weight)  # norms and biases, else ones and zeros
    return model.requires_grad_(False)
