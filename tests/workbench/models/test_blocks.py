"""Finding the parts of blocks, on shapes that do things differently."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from workbench.errors import ModelError
from workbench.models.blocks import Structure, find_blocks
from workbench.models.check import check_backend
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.tiny import tiny_tokenizer
from workbench.models.watched import Parts

_ALL = {"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"}
_COMMON = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64, "initializer_range": 0.15, "pad_token_id": 0,
}  # fmt: skip
_GROUPED = _COMMON | {"num_key_value_heads": 2, "head_dim": 8}


def _make(config: str, **options: Any) -> LanguageModel:
    hf_model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, config)(vocab_size=len(tiny_tokenizer()), **options)
    ).eval()
    return LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), config)


@pytest.mark.parametrize(
    ("config", "options", "components"),
    [
        ("Gemma2Config", _GROUPED | {"sliding_window": 6}, _ALL),  # norms behind attention and MLP, two masks
        ("Olmo2Config", _COMMON, _ALL),  # norms behind, none before
        ("GPTNeoXConfig", _COMMON, _ALL - {"resid_mid"}),  # attention and MLP side by side
        ("GraniteConfig", _GROUPED | {"residual_multiplier": 0.5}, {"resid_pre", "resid_post"}),  # scaled outputs
        ("MixtralConfig", _GROUPED | {"num_local_experts": 4}, _ALL),  # experts
    ],
)
def test_unusual_blocks_conform_with_the_components_they_have(
    config: str, options: dict[str, Any], components: set[str]
) -> None:
    model = _make(config, **options)
    assert model.backend.components == components
    for backend in ("hf", "transformer_lens", "nnsight"):
        report = check_backend(with_backend(model, backend))
        assert report.ok, str(report)


def test_a_model_without_attention_blocks_is_refused_in_one_line() -> None:
    config = transformers.MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=50)
    with pytest.raises(ModelError, match="MambaForCausalLM has no list of attention blocks"):
        find_blocks(transformers.AutoModelForCausalLM.from_config(config))


def test_a_component_counts_only_if_every_block_has_it() -> None:
    whole, part = Parts("attn", "mlp", True), Parts("attn", None, True)
    assert Structure("Model", ("h.0", "h.1"), (whole, whole)).components == _ALL
    short = Structure("Model", ("h.0", "h.1"), (whole, part))
    assert short.components == _ALL - {"mlp_out"}
    assert short.missing == {
        "mlp_out": "in block 1 of Model no module puts out what the MLP adds to the residual stream"
    }
