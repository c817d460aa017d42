"""The configuration of a model from the metadata of its GGUF file, whole or not at all.

transformers' own reader leaves out what many files say (scaled rotary frequencies, sliding windows and which layers
have them, soft caps, widths of heads and experts), and the model then computes something else without a word.  Here
each architecture says how every key becomes a field; a key that nobody has read is an error, unless it is known to
change nothing.  Where llama.cpp takes a constant that stands in no file, the same constant stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from transformers import AutoConfig

from workbench.errors import ModelError
from workbench.models.gguf_file import GGUFFile

_MISSING = object()
# Of an architecture's keys, those that say nothing about what the model computes.
_SILENT = ("vocab_size", "tensor_data_layout")
# Tensors that belong to the configuration in Hugging Face's models.
ROPE_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
_GEMMA2_27B, _GEMMA3_27B = 46, 62  # layers of the two that scale attention by the width of a head in another way
# transformers' reader knows what their files say in full.
READ_BY_TRANSFORMERS = ("lfm2", "qwen35", "qwen35moe")


class _Facts:
    """The file's facts about its architecture; remembers which were read."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file
        prefix = f"{file.architecture}."
        self.left = {key[len(prefix) :]: value for key, value in file.metadata.items() if key.startswith(prefix)}
        self._all = dict(self.left)

    def __call__(self, key: str, default: Any = _MISSING) -> Any:
        self.left.pop(key, None)
        found = self._all.get(key, default)
        if found is _MISSING:
            raise self.refusal(f"it does not say {self.file.architecture}.{key}")
        return found

    def number(self, key: str, default: Any = _MISSING) -> Any:
        """A number that holds for every layer."""
        found = self(key, default)
        if isinstance(found, list):
            if len(set(found)) != 1:
                raise self.refusal(f"{self.file.architecture}.{key} differs from layer to layer")
            return found[0]
        return found

    def has(self, tensor: str) -> bool:
        return tensor in self.file.tensors

    def refusal(self, why: str) -> ModelError:
        return ModelError(f"cannot read {self.file.path}: {why}")


def config_from_gguf(file: GGUFFile) -> Any:
    """The Hugging Face configuration of the model in a GGUF file.

    Raises :class:`ModelError` for an architecture that is not known here, and for metadata that no field stands for.
    """
    facts = _Facts(file)
    if file.architecture in READ_BY_TRANSFORMERS:
        from transformers.integrations.gguf import get_gguf_config

        counted = {**file.metadata, "tokenizer.ggml.tokens": _vocabulary(facts)}
        return AutoConfig.for_model(**get_gguf_config(counted, tuple(file.tensors)))
    if file.architecture not in _ARCHITECTURES:
        known = ", ".join(sorted([*_ARCHITECTURES, *READ_BY_TRANSFORMERS]))
        raise facts.refusal(f"GGUF files of architecture {file.architecture!r} are not read ({known} are)")
    model_type, fields = _ARCHITECTURES[file.architecture]
    values = {**_tokens(facts), **fields(facts)}
    if left := [f"{key} = {value!r:.60}" for key, value in facts.left.items() if key not in _SILENT]:
        raise facts.refusal(f"its metadata say what is not read here: {', '.join(left[:3])}")
    return AutoConfig.for_model(model_type, **values)


def _vocabulary(facts: _Facts) -> int:
    return int(facts.file.tensors["token_embd.weight"].shape[0])


def _tokens(facts: _Facts) -> dict[str, Any]:
    names = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "pad_token_id": "padding_token_id"}
    found = {field: facts.file.metadata.get(f"tokenizer.ggml.{key}") for field, key in names.items()}
    if not facts.has("token_embd.weight"):
        raise facts.refusal("it holds no token_embd.weight: a causal language model is needed")
    return {
        **found,
        "vocab_size": _vocabulary(facts),
        "tie_word_embeddings": not facts.has("output.weight"),
    }


def _decoder(facts: _Facts) -> dict[str, Any]:
    """What all with rotary positions and RMS norms have; the rotation is the caller's."""
    width, heads = facts.number("embedding_length"), facts.number("attention.head_count")
    head = facts.number("attention.key_length", width // heads)
    if facts.number("attention.value_length", head) != head:
        raise facts.refusal("its heads read and write different widths")
    return {
        "max_position_embeddings": facts("context_length"),
        "hidden_size": width,
        "num_hidden_layers": facts("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": facts.number("attention.head_count_kv", heads),
        "head_dim": head,
        "rms_norm_eps": facts("attention.layer_norm_rms_epsilon"),
    }


def _dense(facts: _Facts) -> dict[str, Any]:
    if facts("expert_count", 0):
        raise facts.refusal(f"a mixture of experts of architecture {facts.file.architecture!r} is not read")
    facts("expert_used_count", 0)
    return {**_decoder(facts), "intermediate_size": facts.number("feed_forward_length")}


# ---- rotary positions


def _rotation(facts: _Facts, head: int, part: bool = False) -> dict[str, Any]:
    """Hugging Face's ``rope_parameters``; ``part``: whether the architecture may turn a part of each head."""
    base = {"rope_theta": float(facts("rope.freq_base", 10000.0))}
    turned = facts("rope.dimension_count", head)
    if turned != head and not part:
        raise facts.refusal(f"it turns {turned} of {head} dimensions of a head")
    if turned != head:
        base["partial_rotary_factor"] = turned / head
    kind = facts("rope.scaling.type", "linear" if "rope.scale_linear" in facts.left else "none")
    if facts.has("rope_freqs.weight"):
        if kind not in ("none", "llama3"):
            raise facts.refusal(f"it scales rotary frequencies twice: by a tensor, and by {kind}")
        return {**base, **_llama3(facts, turned)}
    if facts.has("rope_factors_long.weight"):
        return {**base, **_long_rope(facts)}
    if kind == "none":
        facts("rope.scaling.original_context_length", None)
        return {**base, "rope_type": "default"}
    if kind == "linear":
        return {**base, "rope_type": "linear", "factor": _factor(facts)}
    if kind == "yarn":
        return {**base, **_yarn(facts)}
    raise facts.refusal(f"rotary scaling {kind!r} is not read")


def _factor(facts: _Facts) -> float:
    old = facts("rope.scale_linear", None)
    return float(facts("rope.scaling.factor", old if old is not None else 1.0))


def _yarn(facts: _Facts) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rope_type": "yarn",
        "factor": _factor(facts),
        "original_max_position_embeddings": facts("rope.scaling.original_context_length"),
        "beta_fast": float(facts("rope.scaling.yarn_beta_fast", 32.0)),
        "beta_slow": float(facts("rope.scaling.yarn_beta_slow", 1.0)),
    }
    scale = facts("rope.scaling.attn_factor", facts("rope.scaling.yarn_attn_factor", None))
    if scale not in (None, 1.0):
        found["attention_factor"] = float(scale) * (0.1 * math.log(found["factor"]) + 1.0)
    return found


def _llama3(facts: _Facts, turned: int) -> dict[str, Any]:
    """The rule behind a tensor of divisors, which is all that the file holds of it (Llama 3.1 and later).

    The published models share its other constants; one whose tensor they do not give is refused.
    """
    divisors = facts.file.values("rope_freqs.weight").tolist()
    theta = float(facts("rope.freq_base", 10000.0))
    rule = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    factor = round(max(divisors), 4)
    wanted = [_llama3_divisor(theta ** (2 * i / turned), factor) for i in range(len(divisors))]
    if len(divisors) != turned // 2 or any(abs(a / b - 1) > 1e-3 for a, b in zip(divisors, wanted, strict=True)):
        raise facts.refusal("its rope_freqs.weight follow no rule that is known here")
    for key in ("factor", "original_context_length"):
        facts(f"rope.scaling.{key}", None)
    return {"rope_type": "llama3", "factor": factor, **rule}


def _llama3_divisor(period: float, factor: float) -> float:
    length = 2 * math.pi * period / 8192  # of a wave, in contexts that the model was trained on first
    if length > 1.0:
        return factor
    if length < 0.25:
        return 1.0
    smooth = (1 / length - 1.0) / 3.0
    return 1 / ((1 - smooth) / factor + smooth)


def _long_rope(facts: _Facts) -> dict[str, Any]:
    facts("rope.scaling.factor", None)
    return {
        "rope_type": "longrope",
        "long_factor": facts.file.values("rope_factors_long.weight").tolist(),
        "short_factor": facts.file.values("rope_factors_short.weight").tolist(),
        "original_max_position_embeddings": facts("rope.scaling.original_context_length"),
        "attention_factor": float(facts("rope.scaling.attn_factor", 1.0)),
    }


# ---- architectures


def _no_window(facts: _Facts) -> None:
    if facts("attention.sliding_window", 0):
        raise facts.refusal(f"a sliding window of architecture {facts.file.architecture!r} is not read")


def _llama(facts: _Facts) -> dict[str, Any]:
    _no_window(facts)
    found = _dense(facts)
    biased = {"attention_bias": facts.has("blk.0.attn_q.bias"), "mlp_bias": facts.has("blk.0.ffn_up.bias")}
    return {**found, **biased, "rope_parameters": _rotation(facts, found["head_dim"])}


def _qwen(facts: _Facts) -> dict[str, Any]:
    _no_window(facts)
    found = _dense(facts)
    return {**found, "rope_parameters": _rotation(facts, found["head_dim"])}


def _qwen_moe(facts: _Facts) -> dict[str, Any]:
    _no_window(facts)
    found = _decoder(facts)
    experts = {
        "num_experts": facts("expert_count"),
        "num_experts_per_tok": facts("expert_used_count"),
        "intermediate_size": facts.number("feed_forward_length"),
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": facts.file.architecture == "qwen3moe",  # as llama.cpp does
    }
    moe = facts.file.tensors["blk.0.ffn_down_exps.weight"].shape[-1]
    experts["moe_intermediate_size"] = facts("expert_feed_forward_length", moe)
    if facts.has("blk.0.ffn_down_shexp.weight"):
        shared = facts.file.tensors["blk.0.ffn_down_shexp.weight"].shape[-1]
        experts["shared_expert_intermediate_size"] = facts("expert_shared_feed_forward_length", shared)
    return {**found, **experts, "rope_parameters": _rotation(facts, found["head_dim"])}


def _gemma(facts: _Facts, every: int, odd: int) -> dict[str, Any]:
    """Gemma 2 and 3: each ``every``-th layer sees all, the others a window; ``odd``: layers of the exception."""
    found = _dense(facts)
    layers = found["num_hidden_layers"]
    pattern = facts("attention.sliding_window_pattern", every)
    sliding = pattern if isinstance(pattern, list) else [(i + 1) % pattern != 0 for i in range(layers)]
    scalar = found["hidden_size"] // found["num_attention_heads"] if layers == odd else found["head_dim"]
    return {
        **found,
        "query_pre_attn_scalar": scalar,
        "layer_types": ["sliding_attention" if each else "full_attention" for each in sliding],
        "hidden_activation": "gelu_pytorch_tanh",
    }


def _gemma2(facts: _Facts) -> dict[str, Any]:
    found = _gemma(facts, 2, _GEMMA2_27B)
    return {
        **found,
        "sliding_window": facts("attention.sliding_window", 4096),
        "attn_logit_softcapping": facts("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": facts("final_logit_softcapping", 30.0),
        "rope_parameters": _rotation(facts, found["head_dim"]),
    }


def _gemma3(facts: _Facts) -> dict[str, Any]:
    window = facts("attention.sliding_window", 0)
    found = _gemma(facts, 6 if window else 1, _GEMMA3_27B)
    near = {"rope_type": "default", "rope_theta": float(facts("rope.freq_base_swa", 10000.0))}
    wide = _rotation(facts, found["head_dim"])
    return {
        **found,
        "sliding_window": window or found["max_position_embeddings"],
        "final_logit_softcapping": facts("final_logit_softcapping", 0.0) or None,
        "attn_logit_softcapping": None,
        "rope_parameters": {"full_attention": wide, "sliding_attention": near},
    }


def _phi3(facts: _Facts) -> dict[str, Any]:
    found = _dense(facts)
    original = facts("rope.scaling.original_context_length", found["max_position_embeddings"])
    return {
        **found,
        "sliding_window": facts("attention.sliding_window", 0) or None,
        "original_max_position_embeddings": original,
        "rope_parameters": _rotation(facts, found["head_dim"], part=True),
    }


def _gpt2(facts: _Facts) -> dict[str, Any]:
    return {
        "n_positions": facts("context_length"),
        "n_embd": facts("embedding_length"),
        "n_layer": facts("block_count"),
        "n_head": facts("attention.head_count"),
        "n_inner": facts("feed_forward_length"),
        "layer_norm_epsilon": facts("attention.layer_norm_epsilon"),
    }


# architecture of the file -> Hugging Face's model type and how its fields are found
_ARCHITECTURES: dict[str, tuple[str, Callable[[_Facts], dict[str, Any]]]] = {
    "llama": ("llama", _llama),
    "qwen2": ("qwen2", _qwen),
    "qwen2moe": ("qwen2_moe", _qwen_moe),
    "qwen3": ("qwen3", _qwen),
    "qwen3moe": ("qwen3_moe", _qwen_moe),
    "gemma2": ("gemma2", _gemma2),
    "gemma3": ("gemma3_text", _gemma3),
    "phi3": ("phi3", _phi3),
    "gpt2": ("gpt2", _gpt2),
}
