"""Loading a model's weights in 8 or 4 bits, by bitsandbytes.

The residual stream stays in the model's dtype; the linear layers hold (and so compute) something near the weights of
the checkpoint, so the model is one of its own: it has another fingerprint, and takes vectors that were made on it.

Source: Dettmers et al. (2022), arXiv 2208.07339 (8 bits); Dettmers et al. (2023), arXiv 2305.14314 (4 bits, NF4).
"""

from __future__ import annotations

from typing import Any

from workbench.errors import check_known, extra

QUANTIZED = ("8bit", "4bit")


def quantization(kind: str, dtype: Any) -> Any:
    """transformers' configuration for linear layers in ``8bit`` or ``4bit``, computing in ``dtype`` (4 bits).

    Raises :class:`SpecError` for another kind, :class:`MissingExtraError` without bitsandbytes.
    """
    check_known(kind, QUANTIZED, "way to quantize")
    extra("bitsandbytes", "quantized")
    from transformers import BitsAndBytesConfig

    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = {} if dtype == "auto" else {"bnb_4bit_compute_dtype": dtype}
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", **compute)
