"""GGUF files of several architectures are the Hugging Face models that they were written from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers

from tests.workbench.models import gguf_writing
from tests.workbench.models.gguf_writing import tiny_hf, tiny_vocabulary, write_gguf
from workbench.errors import ModelError
from workbench.models import load_model
from workbench.models.gguf import weights_from_gguf
from workbench.models.gguf_file import read_gguf
from workbench.models.loading import n_layers_of, with_backend
from workbench.models.sampling import PLAIN, own_sampling
from workbench.provenance import provenance

_SIZE = 288  # tokens: a multiple of the 32 that are quantised together
_SMALL = {
    "vocab_size": _SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 3e-5,
}
_LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 8192}  # fmt: skip
_YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
_LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
_LONG = {
    "rope_type": "longrope", "rope_theta": 1e4, "long_factor": [1.0, 2.0, 4.0, 8.0], "short_factor": [1.0] * 3 + [1.5],
    "original_max_position_embeddings": 32, "attention_factor": 1.2, "partial_rotary_factor": 0.5,
}  # fmt: skip
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_EXPERT_KEYS = {"expert_count": 4, "expert_used_count": 2}


def _default(theta: float = 1e4) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta}


# name -> llama.cpp's architecture, Hugging Face's configuration, its fields, metadata that no field gives
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "llama": ("llama", "LlamaConfig", {"head_dim": 24, "rope_parameters": _default(7e4)}, {"vocab_size": _SIZE}),
    "llama 3": ("llama", "LlamaConfig", {"head_dim": 32, "rope_parameters": _LLAMA3}, {}),
    "llama, linear": ("llama", "LlamaConfig", {"rope_parameters": _LINEAR, "attention_bias": True}, {}),
    "llama, tied": ("llama", "LlamaConfig", {"rope_parameters": _default(), "tie_word_embeddings": True}, {}),
    "mistral": ("llama", "MistralConfig", {"rope_parameters": _default(1e6), "sliding_window": None}, {}),
    "qwen2": ("qwen2", "Qwen2Config", {"rope_parameters": _YARN}, {}),
    "qwen2moe": (
        "qwen2moe", "Qwen2MoeConfig",
        {**_EXPERTS, "shared_expert_intermediate_size": 64, "rope_parameters": _default(), "norm_topk_prob": False},
        {**_EXPERT_KEYS, "expert_feed_forward_length": 32, "expert_shared_feed_forward_length": 64},
    ),
    "qwen3": ("qwen3", "Qwen3Config", {"head_dim": 32, "rope_parameters": _default(1e6)}, {}),
    "qwen3moe": (
        "qwen3moe", "Qwen3MoeConfig",
        {**_EXPERTS, "head_dim": 32, "rope_parameters": _default(), "norm_topk_prob": True},
        {**_EXPERT_KEYS, "expert_feed_forward_length": 32},
    ),
    "gemma2": (
        "gemma2", "Gemma2Config",
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 6, "attn_logit_softcapping": 3.0,
         "final_logit_softcapping": 2.0, "rope_parameters": _default(), "num_hidden_layers": 4},
        {"attention.sliding_window": 6, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.0},
    ),
    "gemma3": (
        "gemma3", "Gemma3TextConfig",
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 6, "num_hidden_layers": 7,
         "layer_types": ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
         "rope_parameters": {"full_attention": {**_LINEAR, "rope_theta": 1e6}, "sliding_attention": _default(5e3)}},
        {"attention.sliding_window": 6, "rope.freq_base_swa": 5e3},
    ),
    "gemma3, its own pattern": (
        "gemma3", "Gemma3TextConfig",
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 6,
         "layer_types": ["full_attention", "sliding_attention", "full_attention"], "final_logit_softcapping": 2.0,
         "rope_parameters": {"full_attention": _default(1e6), "sliding_attention": _default()}},
        {"attention.sliding_window": 6, "attention.sliding_window_pattern": [False, True, False],
         "final_logit_softcapping": 2.0},
    ),
    "phi3": (
        "phi3", "Phi3Config", {"rope_parameters": _LONG, "original_max_position_embeddings": 32, "sliding_window": 6},
        {"rope.scaling.original_context_length": 32, "rope.scaling.attn_factor": 1.2, "attention.sliding_window": 6},
    ),
    "lfm2": (
        "lfm2", "Lfm2Config",
        {"layer_types": ["conv", "full_attention", "conv"], "block_auto_adjust_ff_dim": False, "norm_eps": 3e-5,
         "rope_parameters": _default(1e6), "tie_word_embeddings": True},
        {},
    ),
    "gpt2": ("gpt2", "GPT2Config", {}, {}),
}  # fmt: skip


def make(name: str) -> tuple[Any, str, dict[str, Any]]:
    """The Hugging Face model of a case, llama.cpp's architecture, and more metadata."""
    architecture, config_class, fields, more = CASES[name]
    shape = (
        {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 64, "vocab_size": _SIZE} if name == "gpt2" else _SMALL
    )
    return tiny_hf(getattr(transformers, config_class), **{**shape, **fields}), architecture, more


def write(folder: Path, name: str, kind: str = "F32", **more: Any) -> tuple[Path, Any]:
    model, architecture, own = make(name)
    path = write_gguf(folder / "model.gguf", model, architecture, tiny_vocabulary(_SIZE), kind, **{**own, **more})
    return path, model


def logits(model: Any) -> torch.Tensor:
    """[2, 48, vocabulary]: further than every window here, and than the context before a scaled one."""
    tokens = torch.arange(3, 99).reshape(2, 48) * 7 % 250 + 3
    return model(tokens).logits


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_the_model_that_it_was_written_from(tmp_path: Path, name: str) -> None:
    path, model = write(tmp_path, name)
    loaded = load_model(path, device="cpu")
    found, wanted = logits(loaded.backend.hf_model), logits(model)
    assert found.std() > 0.1 and torch.allclose(found, wanted, atol=1e-4)
    assert n_layers_of(str(path)) == loaded.n_layers == model.config.num_hidden_layers


# ---- quantisations


def _q4_0(data: np.ndarray) -> list[float]:
    scale = float(data[:2].view(np.float16)[0])
    return [scale * (int(data[2 + i % 16] >> 4 * (i // 16) & 15) - 8) for i in range(32)]


def _q4_1(data: np.ndarray) -> list[float]:
    scale, least = map(float, data[:4].view(np.float16))
    return [scale * int(data[4 + i % 16] >> 4 * (i // 16) & 15) + least for i in range(32)]


def _q5_1(data: np.ndarray) -> list[float]:
    scale, least = map(float, data[:4].view(np.float16))
    high = int(data[4:8].view(np.uint32)[0])
    five = (int(data[8 + i % 16] >> 4 * (i // 16) & 15) | (high >> i & 1) << 4 for i in range(32))
    return [scale * value + least for value in five]


def _q8_0(data: np.ndarray) -> list[float]:
    return [float(data[:2].view(np.float16)[0]) * int(value) for value in data[2:].view(np.int8)]


def _q6_k(data: np.ndarray) -> list[float]:
    low, high, scales, scale = (
        data[:128],
        data[128:192],
        data[192:208].view(np.int8),
        float(data[208:].view(np.float16)[0]),
    )
    found = []
    for i in range(256):
        half, inside = divmod(i, 128)
        quarter, at = divmod(inside, 32)
        four = int(low[64 * half + 32 * (quarter % 2) + at] >> 4 * (quarter // 2) & 15)
        two = int(high[32 * half + at] >> 2 * quarter & 3)
        found.append(scale * int(scales[i // 16]) * ((four | two << 4) - 32))
    return found


# kind -> numbers a block, and what a block's bytes stand for, written out from ggml's definition of the block
_BLOCKS = {"Q4_0": (32, _q4_0), "Q4_1": (32, _q4_1), "Q5_1": (32, _q5_1), "Q8_0": (32, _q8_0), "Q6_K": (256, _q6_k)}


@pytest.mark.parametrize("kind", _BLOCKS)
def test_a_quantised_matrix_is_what_its_blocks_stand_for(tmp_path: Path, kind: str) -> None:
    numbers, undo = _BLOCKS[kind]
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][1]
    blocks = np.random.default_rng(0).integers(0, 256, (6, size), np.uint8)
    scale_at = {"Q6_K": size - 2}.get(kind, 0)
    blocks[:, scale_at : scale_at + 2] = np.array([0.013], np.float16).view(np.uint8)
    if kind in ("Q4_1", "Q5_1"):
        blocks[:, 2:4] = np.array([-0.21], np.float16).view(np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("m", blocks.reshape(2, -1), raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = read_gguf(tmp_path / "m.gguf").values("m")
    assert found.shape == (2, 3 * numbers) and found.dtype == np.float32
    assert np.allclose(found.ravel(), [value for block in blocks for value in undo(block)], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "near", "dtype"),
    [("F16", 0.002, "float32"), ("BF16", 0.06, "bfloat16"), ("Q8_0", 0.06, "float32"), ("Q4_1", 0.5, "float32")],
)
def test_a_quantised_model_is_near_the_one_it_was_written_from_and_exact_in_its_own_dtype(
    tmp_path: Path, kind: str, near: float, dtype: str
) -> None:
    path, model = write(tmp_path, "llama", kind)
    own, wide = (load_model(path, device="cpu", dtype=each) for each in ("auto", "float32"))
    assert own.precision == dtype and own.fingerprint == wide.fingerprint
    wanted = logits(model)
    off = (logits(wide.backend.hf_model) - wanted).std() / wanted.std()
    assert 0 < off < near
    weights, exact = (m.backend.hf_model.model.layers[0].mlp.up_proj.weight for m in (own, wide))
    assert torch.equal(weights.float(), exact)
    assert own.config.made_from == {"file": "model.gguf", "sha256": _sha256(path), "quantisation": kind}


def test_provenance_says_which_file_a_model_was_made_from(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "llama", "Q8_0")
    said = provenance(load_model(path, device="cpu"))["model"]["made_from"]
    assert said == {"file": "model.gguf", "sha256": _sha256(path), "quantisation": "Q8_0"}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- what can be done with it


def test_a_loaded_file_can_be_saved_and_comes_back_the_same_model(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "qwen3", "Q8_0")
    loaded = load_model(path, device="cpu")
    loaded.backend.hf_model.save_pretrained(tmp_path / "saved")
    loaded.tokenizer.save_pretrained(tmp_path / "saved")
    again = load_model(tmp_path / "saved", device="cpu")
    assert again.fingerprint == loaded.fingerprint and again.config.made_from == loaded.config.made_from
    assert "quantization_config" not in json.loads((tmp_path / "saved" / "config.json").read_text())
    assert again.encode("the the 12") == loaded.encode("the the 12") and again.end_tokens() == loaded.end_tokens()


def test_a_file_may_say_how_it_is_sampled(tmp_path: Path) -> None:
    file = read_gguf(write(tmp_path, "qwen3", "Q8_0")[0])
    said = {"general.sampling.temp": 0.6, "general.sampling.top_k": 20, "general.sampling.penalty_repeat": 1.1}
    model = weights_from_gguf(replace(file, metadata={**file.metadata, **said}), "auto", {})
    model.save_pretrained(tmp_path / "saved")
    found = own_sampling(transformers.GenerationConfig.from_pretrained(tmp_path / "saved"), "it")
    assert found == {"temperature": 0.6, "top_p": 1.0, "top_k": 20, "repetition_penalty": 1.1}
    assert own_sampling(weights_from_gguf(file, "auto", {}).generation_config, "it") == PLAIN


def test_a_loaded_file_stands_behind_every_back_end_and_can_be_finetuned(tmp_path: Path, backend: str) -> None:
    from workbench.training.lora import LoRA, Pair, finetune

    path, _ = write(tmp_path, "llama, tied", "Q4_0")
    loaded = load_model(path, backend, device="cpu")
    plain = with_backend(loaded, "hf")
    found, wanted = (m.forward(["the cat"], [1], logits=True) for m in (loaded, plain))
    assert torch.allclose(found.logits, wanted.logits, atol=1e-4)
    tuned = finetune(loaded, [Pair("a", "b")] * 2, tmp_path / "adapter", LoRA(rank=2, batch=2))
    assert tuned.fingerprint != loaded.fingerprint and tuned.config.made_from == loaded.config.made_from


def test_float16_is_the_same_model(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "llama", "Q4_1")
    half, wide = (load_model(path, device="cpu", dtype=dtype) for dtype in ("float16", "auto"))
    assert half.fingerprint == wide.fingerprint


def test_a_file_is_found_by_its_path_and_by_the_folder_that_holds_it_alone(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "llama")
    assert load_model(tmp_path, device="cpu").fingerprint == load_model(str(path), device="cpu").fingerprint
    (tmp_path / "second.gguf").write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=r"holds 2 GGUF files: name one, such as .*model\.gguf"):
        load_model(tmp_path)


def test_a_file_on_the_hub_is_named_behind_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = write(tmp_path, "llama")
    asked = []

    def download(*where: Any, revision: str | None) -> str:
        asked.append((*where, revision))
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert load_model("someone/a-model:q8/model.gguf", device="cpu", revision="main").n_layers == 3
    assert asked == [("someone/a-model", "q8/model.gguf", "main")]


# ---- what is refused


def _line(source: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(source, device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_whole_gguf_file_is_one_line(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "llama")
    data = path.read_bytes()
    for cut in (3, 40, 700, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        assert any(word in _line(path) for word in ("cut short", "no GGUF file"))
    path.write_bytes(b"PK" + data[2:])
    assert "does not begin with the letters GGUF" in _line(path)
    path.write_bytes(data[:4] + (3).to_bytes(4, "big") + data[8:])
    assert "big-endian" in _line(path)
    path.write_bytes(data[:8] + b"\xff" * 16 + data[24:])
    assert "damaged" in _line(path)
    assert "No such file" in _line(tmp_path / "nowhere.gguf")


def test_an_architecture_that_is_not_read_names_those_that_are(tmp_path: Path) -> None:
    model, _, more = make("llama")
    path = write_gguf(tmp_path / "m.gguf", model, "llama", tiny_vocabulary(_SIZE), **more)
    path.write_bytes(path.read_bytes().replace(b"llama", b"mamba"))
    assert "architecture 'mamba' are not read (gemma2, gemma3, gpt2, lfm2, llama, " in _line(path)


@pytest.mark.parametrize(
    ("name", "key", "value", "told"),
    [
        ("llama", "attention.sliding_window", 8, "a sliding window of architecture 'llama' is not read"),
        ("llama", "rope.scaling.type", "ntk", "rotary scaling 'ntk' is not read"),
        ("llama", "rope.dimension_count", 12, "it turns 12 of 24 dimensions"),
        ("llama", "expert_count", 8, "a mixture of experts of architecture 'llama' is not read"),
        ("qwen3", "logit_scale", 0.5, "its metadata say what is not read here: logit_scale = 0.5"),
        ("qwen3", "embedding_length", None, "it does not say qwen3.embedding_length"),
        ("gemma3", "attention.value_length", 16, "its heads read and write different widths"),
        ("llama", "attention.head_count_kv", [2, 2, 1], "attention.head_count_kv differs from layer to layer"),
    ],
)
def test_metadata_that_would_be_left_out_are_refused(
    tmp_path: Path, name: str, key: str, value: Any, told: str
) -> None:
    path, _ = write(tmp_path, name, **{key.replace(".", "__"): value})
    assert told in _line(path)


def test_frequencies_that_follow_no_known_rule_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.workbench.models.gguf_writing._llama3_divisors", lambda rope, head: [1.0, 3.0] * 8)
    path, _ = write(tmp_path, "llama 3")
    assert "rope_freqs.weight follow no rule" in _line(path)


def test_a_tensor_without_a_place_and_a_missing_one_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = gguf_writing.tensors_of

    def with_one_more(model: Any, architecture: str) -> dict[str, np.ndarray]:
        return {**known(model, architecture), "blk.0.attn_sinks.weight": np.ones(4, np.float32)}

    def with_one_less(model: Any, architecture: str) -> dict[str, np.ndarray]:
        return {name: value for name, value in known(model, architecture).items() if name != "blk.1.ffn_up.weight"}

    monkeypatch.setattr(gguf_writing, "tensors_of", with_one_more)
    assert "has no place for: blk.0.attn_sinks.weight" in _line(write(tmp_path, "llama")[0])
    monkeypatch.setattr(gguf_writing, "tensors_of", with_one_less)
    assert "missing from its files: model.layers.1.mlp.up_proj.weight" in _line(write(tmp_path, "llama")[0])


def test_one_part_of_several_says_how_to_join_them(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_uint16("split.count", 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "is one of 3 parts: join them with llama-gguf-split --merge" in _line(tmp_path / "m.gguf")


def test_a_file_that_does_not_count_its_key_heads_has_as_many_as_query_heads(tmp_path: Path) -> None:
    model = tiny_hf(transformers.LlamaConfig, **{**_SMALL, "num_key_value_heads": 4}, rope_parameters=_default())
    more = {"attention.head_count_kv": None}
    path = write_gguf(tmp_path / "m.gguf", model, "llama", tiny_vocabulary(_SIZE), **more)
    assert torch.allclose(logits(load_model(path, device="cpu").backend.hf_model), logits(model), atol=1e-4)
