from __future__ import annotations

import pytest
import torch

from workbench.models.hf import HuggingFaceBackend
from workbench.models.memory import in_halves, is_out_of_memory, slot_budget
from workbench.models.tiny import tiny_hf_model


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
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


def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_order_stays() -> None:
    sizes: list[int] = []

    def run(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    assert in_halves(run, [[1, 2, 3, 4, 5], [6]]) == [[1, 2], [3], [4, 5], [6]]
    assert sizes == [5, 2, 3, 1, 2, 1]
    with pytest.raises(torch.OutOfMemoryError):
        in_halves(lambda batch: run([*batch, 0, 0]), [[1, 2]])
