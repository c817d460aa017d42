"""The fetched chat model itself: what the registry gives is the model that the file holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.models import LanguageModel

pytestmark = pytest.mark.real

_QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def test_smollm2_answers_a_question_and_ends_its_turn(smollm2: LanguageModel) -> None:
    [[answer]] = smollm2.generate([_QUESTION], max_new_tokens=20, temperature=0)
    assert answer.text == "The capital of France is Paris." and answer.finish == "eos"


def test_smollm2_reads_digits_one_by_one_and_the_spaces_before_them_apart(smollm2: LanguageModel) -> None:
    pieces = [smollm2.decode([token]) for token in smollm2.encode("a\n 12 b  34")]
    assert pieces == ["a", "\n ", "1", "2", " b", "  ", "3", "4"]


def test_smollm2_is_one_model_in_bfloat16_and_says_what_it_was_made_from(
    smollm2: LanguageModel, smollm2_folder: Path
) -> None:
    from workbench.models import load_model

    half = load_model(smollm2_folder, device="cpu", dtype="bfloat16")
    assert half.dtype == torch.bfloat16 and half.fingerprint == smollm2.fingerprint
    assert half.config.made_from["quantisation"] == "Q4_1"
