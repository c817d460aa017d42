"""What the workbench does with the decoders of transformers, one by one: the table in ``docs/models.md``.

Each is made tiny, with random weights, and compared with plain Hugging Face: one row, no padding, no cache.
``python -m tests.workbench.models.architectures`` writes the table; ``test_architectures`` holds it to what comes out.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from steering import Add
from workbench.errors import WorkbenchError, WorkbenchWarning
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.models.sharing import decoding_path
from workbench.models.tiny import tiny_tokenizer
from workbench.sites import Site

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
_VOCABULARY = len(tiny_tokenizer())
_TOLERANCE = 1e-4

# ---- tiny configurations

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
_LEFT_OUT = {
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
KINDS = sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *_VARIANTS} - _LEFT_OUT)


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


# ---- the truth


@contextmanager
def _added(block: Any, vector: Tensor, start: int) -> Iterator[None]:
    """``vector`` added behind a block from position ``start`` on."""

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        several = isinstance(output, tuple | list)
        steered = (output[0] if several else output).clone()
        steered[:, start:] += vector
        return type(output)((steered, *output[1:])) if several else steered

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _run(hf_model: Any, tokens: list[int], **options: Any) -> Any:
    with torch.no_grad():
        return hf_model(torch.tensor([tokens]), use_cache=False, **options)


def _logprobs(hf_model: Any, prompt: list[int], continuation: list[int]) -> Tensor:
    """Log-probability of each token of a continuation."""
    logits = _run(hf_model, prompt + continuation[:-1]).logits[0, len(prompt) - 1 :]
    return logits.log_softmax(-1)[range(len(continuation)), continuation]


# ---- what the workbench makes of it

PROMPTS = [[5 + 7 * i % 120 for i in range(21)], [9 + 11 * i % 120 for i in range(5)]]  # the first is past all windows
CONTINUATIONS = [[[17, 30, 44, 101, 6], [50, 8]], [[23, 91, 14, 60], [71, 33]]]
_N, _NEW = 2, 6
_SLOTS = len(PROMPTS[0]) + _N * _NEW


class Case:
    """An architecture on the ``hf`` back end; each method gives the worst difference from the truth."""

    def __init__(self, kind: str) -> None:
        self.hf_model = tiny_architecture(kind)
        self.model = LanguageModel(HuggingFaceBackend(self.hf_model), tiny_tokenizer(), kind)
        self.middle = self.model.n_layers // 2
        self.block = self.model.backend.blocks[self.middle].module
        self.vector = torch.linspace(-2, 2, self.model.d_model)

    def captures(self) -> float:
        """The stream is Hugging Face's, and what attention and MLP put out is what enters it."""
        layers, parts = range(self.model.n_layers), self.model.backend.components
        found = self.model.forward(PROMPTS, [Site(layer, part) for layer in layers for part in parts]).activations
        off = []
        for row, prompt in enumerate(PROMPTS):
            told = _run(self.hf_model, prompt, output_hidden_states=True).hidden_states
            for layer in layers:
                at = {part: found[Site(layer, part)][row, : len(prompt)] for part in parts}
                off.append(_difference(at["resid_pre"], told[layer][0]))
                if layer + 1 < len(layers):  # the last that Hugging Face tells comes after the last norm
                    off.append(_difference(at["resid_post"], told[layer + 1][0]))
                for end, *added in (("resid_mid", "attn_out"), ("resid_post", "attn_out", "mlp_out")):
                    if {end, *added} <= parts:
                        off.append(_difference(at["resid_pre"] + sum(at[part] for part in added), at[end]))
        return max(off)

    def steers(self) -> float:
        """Steered logits are those of a plain hook on the block."""
        steer = Add(self.vector, site=Site(self.middle), scope=Scope.everywhere())
        found = self.model.forward(PROMPTS, interventions=[steer], logits=True).logits
        off = []
        for row, prompt in enumerate(PROMPTS):
            with _added(self.block, self.vector, 0):
                expected = _run(self.hf_model, prompt).logits[0]
            off.append(_difference(found[row, : len(prompt)], expected))
        assert _difference(expected, _run(self.hf_model, prompt).logits[0]) > 100 * _TOLERANCE, "steering has no effect"
        return max(off)

    def generates(self) -> float:
        """The log-probability of each of several steered completions is the truth's."""
        steer = Add(self.vector, site=Site(self.middle))
        found = self.model.generate(PROMPTS, _N, max_new_tokens=_NEW, seeds=1, interventions=[steer])
        off = []
        for prompt, completions in zip(PROMPTS, found, strict=True):
            for each in completions:
                tokens = each.tokens + [2] * (each.finish == "eos")
                with _added(self.block, self.vector, len(prompt) - 1):
                    expected = float(_logprobs(self.hf_model, prompt, tokens).sum())
                off.append(abs(each.logprob - expected) / max(1.0, abs(expected)))
        return max(off)

    def scores(self) -> float:
        """So is that of every token of given continuations."""
        other = [*PROMPTS[0][:-2], 3, PROMPTS[0][-1]]
        truths = (_logprobs(self.hf_model, prompt, CONTINUATIONS[0][0]) for prompt in (PROMPTS[0], other))
        assert float((next(truths) - next(truths)).abs().max()) > 10 * _TOLERANCE, "prompts have no effect"
        off = []
        for prompt, parts, scores in zip(PROMPTS, CONTINUATIONS, self.model.score(PROMPTS, CONTINUATIONS), strict=True):
            for part, score in zip(parts, scores, strict=True):
                found = torch.tensor(score.token_logprobs)
                off.append(float((found - _logprobs(self.hf_model, prompt, part)).abs().max()))
        return max(off)


def _difference(found: Tensor, expected: Tensor) -> float:
    """The worst over positions of [pos, d], each relative to its own norm."""
    return float(((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max())


# ---- the table

_TITLE = "| architecture | loads | reads beside the stream | captures | steers | completions | scores |"
_PROSE = """# Architectures

What the workbench does with the causal language models of transformers: those that can be made tiny are made in a test
(four layers, random weights, windows of eight tokens) and compared with plain Hugging Face: one prompt at a time, no
padding, no cache.  "right" is equal within 1e-4, at every position.  `workbench models check MODEL` does the same on a
model of yours, on any back end.

- *reads beside the stream*: of `attn_out`, `resid_mid` and `mlp_out`, those that a module of the model puts out or
  reads; `resid_pre` and `resid_post` are there wherever a model loads.  What is not there is refused with its reason.
- *completions* and *scores*: `shared` when many rows share a batch and a prompt's cache; `row by row` (through the
  model's own cache) or `row by row, without a cache` where a check saw that this model gives something else then:
  slower, and right.
- A model that the workbench cannot read is refused at load in one line, which stands in its row.

Not tried, since they are another name for one of these, a part of another model, or do not go tiny: {left_out}.

Written by `python -m tests.workbench.models.architectures`.
"""


def verdict(kind: str) -> str:
    """An architecture's row of the table; "WRONG" stands in it when something is neither right nor refused."""
    try:
        case = Case(kind)
    except WorkbenchError as error:
        return f"| {kind} | refused: {error} | | | | | |"
    sites = ", ".join(sorted(case.model.backend.components - {"resid_pre", "resid_post"})) or "none"
    path = decoding_path(case.model, _SLOTS).name
    cells = [_cell(case.captures), _cell(case.steers)]
    cells += [_cell(call).replace("right", path) for call in (case.generates, case.scores)]
    return f"| {kind} | yes | {sites} | {' | '.join(cells)} |"


def _cell(call: Callable[[], float]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkbenchWarning)
        try:
            worst = call()
        except WorkbenchError as error:
            return f"refused: {error}"
        except Exception as error:
            return f"WRONG: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return "right" if worst <= _TOLERANCE else f"WRONG by {worst:.1g}"


def page(rows: Iterable[str]) -> str:
    """``docs/models.md`` of the rows of a table."""
    prose = _PROSE.format(left_out=", ".join(sorted(_LEFT_OUT)))
    return "\n".join([prose, _TITLE, "|---|---|---|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(map(verdict, KINDS)), encoding="utf-8")
