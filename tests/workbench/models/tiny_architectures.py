"""Tiny random models of the causal language models of transformers, each of some ten thousand weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from workbench.models.tiny import tiny_tokenizer

_VOCABULARY = len(tiny_tokenizer())
_TEXT = {
    "vocab_size": _VOCABULARY, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64, "max_position_embeddings": 256,
    "initializer_range": 0.15, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "sliding_window": 8,
}  # fmt: skip
_LINEAR = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_num_heads": 4, "linear_head_dim": 8,
}  # fmt: skip
_EXPERTS = {
    "moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts": 4, "num_local_experts": 4,
    "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_topk": 2, "moe_num_experts": 4, "moe_k": 2,
    "n_shared_experts": 1, "shared_expert_intermediate_size": 32, "first_k_dense_replace": 1,
}  # fmt: skip
# Whatever of these a configuration has is made small (or, windows, made to bite).
_SMALL = _TEXT | _LINEAR | _EXPERTS | {
    "attention_chunk_size": 8, "attention_window_size": 8, "window_size": 8, "sliding_window_size": 8,
    "kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "index_n_heads": 8, "index_head_dim": 16, "index_topk": 8,
    "mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_chunk_size": 16,
    "chunk_size": 16, "ssm_state_size": 8, "mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 1,
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "init_std": 0.15,
    "residual_multiplier": 0.5,
}  # fmt: skip
_VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 8,
    "patch_size": 4,
}  # fmt: skip
_QWEN_VISION = {"hidden_size": 16, "depth": 2, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 32}
_KINDS_OF_LAYERS = ["sliding_attention", "full_attention"] * 2
_LATENT = {"num_key_value_heads": 4}  # latent attention has one key a query head
_PER_LAYER = {"vocab_size_per_layer_input": _VOCABULARY, "hidden_size_per_layer_input": 8}
# What an architecture needs beside that to be made at all; None: the configuration's own default.
_NEEDS: dict[str, dict[str, Any]] = {
    "axk1": _LATENT,
    "axk2": _LATENT,
    "bailing_hybrid": _LATENT | {"layer_types": ["linear_attention", "full_attention"] * 2},
    "bamba": {"attn_layer_indices": [1, 3]},
    "codegen": {"rotary_dim": 8},
    "cpmant": {"dim_ff": 64, "dim_head": 8},
    "ctrl": {"dff": 64},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "deepseek_v32": _LATENT,
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma2": {"layer_types": _KINDS_OF_LAYERS},
    "gemma3": {"text_config": _TEXT | {"layer_types": _KINDS_OF_LAYERS}, "vision_config": _VISION},
    "gemma3_text": {"layer_types": _KINDS_OF_LAYERS},
    "gemma3n_text": _PER_LAYER | {"num_kv_shared_layers": 0, "layer_types": _KINDS_OF_LAYERS},
    "gemma4": {"text_config": _TEXT | _PER_LAYER | {"layer_types": _KINDS_OF_LAYERS}, "vision_config": _VISION},
    "gemma4_text": _PER_LAYER | {"layer_types": _KINDS_OF_LAYERS},
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "gptj": {"rotary_dim": 8},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "inkling_text": {"swa_head_dim": 8, "swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "rel_extent": 32},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": _LATENT | {"layer_types": ["linear_attention", "full_attention"] * 2},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "llama4": {"text_config": _TEXT | {"attention_chunk_size": 8, "num_local_experts": 2}, "vision_config": _VISION},
    "longcat_flash": _LATENT | {
        "num_layers": 2, "num_hidden_layers": None, "ffn_hidden_size": 64, "expert_ffn_hidden_size": 32,
        "zero_expert_num": 2,
    },
    "mamba2": {"num_heads": 8},
    "minicpm3": _LATENT,
    "moshi": {"ffn_dim": 64},
    "qwen3_5": {"text_config": _TEXT | _LINEAR, "vision_config": _QWEN_VISION},
    "qwen3_5_moe": {"text_config": _TEXT | _LINEAR | _EXPERTS, "vision_config": _QWEN_VISION},
    "roc_bert": {"pronunciation_embed_dim": 8, "shape_embed_dim": 8},
    "xlnet": {"d_head": 8, "max_position_embeddings": None},
    "youtu": _LATENT,
    "zamba2": {"layers_block_type": ["mamba", "hybrid"] * 2},
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip
# Another name for an architecture of the list, a part of another model, or one that does not go tiny.
LEFT_OUT = {
    "blt", "cohere_compass_text", "dbrx", "dots3_note", "dots3_note_text", "emu3", "fuyu", "gemma3n",
    "gemma4_assistant", "gemma4_unified", "gemma4_unified_assistant", "git", "got_ocr2", "gpt-sw3", "inkling2_text",
    "internlm3", "iquestcoder", "mllama", "moss_transcribe_diarize", "musicgen", "musicgen_melody", "phi4_multimodal",
    "qwen4_exp", "qwen4_exp_text", "reformer", "xmod", "zamba",
}  # fmt: skip
_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert, decoder": ("bert", {"is_decoder": True}),
    "falcon, ALiBi": ("falcon", {"alibi": True}),
    "falcon, new blocks": ("falcon", {"new_decoder_architecture": True}),
    "gemma3_text, bidirectional": ("gemma3_text", {"use_bidirectional_attention": True}),
    "opt, norms behind": ("opt", {"do_layer_norm_before": False}),
    "roberta, decoder": ("roberta", {"is_decoder": True}),
    "qwen2, sliding": ("qwen2", {"use_sliding_window": True, "layer_types": _KINDS_OF_LAYERS}),
}
KINDS = sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *_VARIANTS} - LEFT_OUT)


def tiny_config(kind: str, **options: Any) -> Any:
    """A tiny configuration of an architecture, or of a variant."""
    kind, variant = _VARIANTS.get(kind, (kind, {}))
    cls = CONFIG_MAPPING[kind]
    known = {field.name for field in dataclasses.fields(cls)} | set(cls.attribute_map)
    small = {name: value for name, value in _SMALL.items() if name in known} | _NEEDS.get(kind, {}) | variant | options
    return AutoConfig.for_model(kind, **{name: value for name, value in small.items() if value is not None})


def tiny_architecture(kind: str, **options: Any) -> Any:
    """A tiny Hugging Face model of an architecture, its random weights drawn from one seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(tiny_config(kind, **options)).eval().requires_grad_(False)
