from __future__ import annotations

import pytest
import torch

from tests.workbench.models.architectures import tiny_architecture
from workbench.models.hf import HuggingFaceBackend
from workbench.models.memory import batch_budget, fits, is_out_of_memory, slot_budget
from workbench.models.tiny import tiny_hf_model


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_budget_counts_keys_and_values_of_the_kv_heads_only() -> None:
    # 2 (keys, values) x 4 layers x 2 kv heads x 8 per head x 4 bytes = 512 bytes a token
    assert slot_budget(HuggingFaceBackend(tiny_hf_model("qwen2"))) == 2e9 // 512
    assert slot_budget(HuggingFaceBackend(tiny_hf_model("gpt2").half())) == 2e9 // 512


def test_the_budget_counts_layers_of_different_widths_and_heads_of_no_said_size() -> None:
    kinds = {"layer_types": ["sliding_attention", "full_attention"] * 2, "head_dim": 8, "global_head_dim": 16}
    # 2 (keys, values) x (2 layers x 8 + 2 layers x 16) x 2 kv heads x 4 bytes = 768 bytes a token
    assert slot_budget(HuggingFaceBackend(tiny_architecture("gemma4_text", **kinds))) == 2e9 // 768
    assert slot_budget(HuggingFaceBackend(tiny_architecture("qwen2", head_dim=None))) == 2e9 // 512


def test_what_does_not_fit_is_told_from_what_is_wrong() -> None:
    def run_out() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def fail() -> None:
        raise RuntimeError("shape mismatch")

    assert fits(lambda: None) and not fits(run_out)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        fits(fail)


def test_a_batch_on_a_cpu_is_held_to_a_quarter_of_the_weights() -> None:
    backend = HuggingFaceBackend(tiny_hf_model("qwen2"))
    assert batch_budget(backend) == 192e6 // 512  # so few weights that the least applies
    weights = sum(weight.nbytes for weight in backend.hf_model.parameters())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "nbytes", property(lambda one: one.numel() * 4 * 4_000_000_000 // weights))
        assert batch_budget(backend) == pytest.approx(1e9 / 512, rel=0.01)
        patch.setattr(torch.Tensor, "nbytes", property(lambda one: one.numel() * 4 * 40_000_000_000 // weights))
        assert batch_budget(backend) == slot_budget(backend)
