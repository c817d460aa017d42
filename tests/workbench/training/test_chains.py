"""Pairs in a sequence each: what is read and what is learned."""

from __future__ import annotations

from workbench.models.tiny import tiny_model
from workbench.training.branches import Pair
from workbench.training.chains import _padded, chains


def test_the_loss_is_on_the_completion_and_the_end_only() -> None:
    model = tiny_model()
    rows = chains(model, [Pair("a b", " c d")])
    tokens, mask, targets = _padded(rows, "cpu")
    prompt, completion = model.encode("a b"), model.encode_continuation(" c d")
    end = model.tokenizer.eos_token_id
    assert tokens[0].tolist() == [*prompt, *completion, end] and mask.all()
    assert targets[0].tolist() == [-100] * (len(prompt) - 1) + [*completion, end, -100]
