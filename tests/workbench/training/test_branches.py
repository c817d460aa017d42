"""Several pairs in one sequence: each gets what it gets alone, soft targets, and which blocks are adapted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from workbench.errors import DataError, ModelError
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import SHAPES, tiny_model, tiny_tokenizer
from workbench.training.branches import Pair, lay, plant, tree_loss
from workbench.training.lora import LoRA, finetune

GROUP = [Pair("a b c", " d e"), Pair("a b c", " d f"), Pair("a b x y", " z"), Pair("k", " a b c")]


def alone(model: LanguageModel, pair: Pair) -> list[float]:
    """Log-probabilities of the completion and the end, by one plain pass of this pair."""
    tokens = [*model.encode_continuation(pair.completion, after=pair.prompt), model.tokenizer.eos_token_id]
    return model.score([pair.prompt], [[tokens]])[0][0].token_logprobs


@pytest.mark.parametrize("shape", SHAPES)
def test_each_branch_gets_the_loss_that_it_gets_alone(shape: str) -> None:
    model = tiny_model(shape)
    trees = plant(model, [GROUP, GROUP[:1]])
    loss = tree_loss(model.backend.hf_model, trees, model.device)
    expected = [x for group in (GROUP, GROUP[:1]) for pair in group for x in alone(model, pair)]
    assert loss.item() == pytest.approx(-sum(expected) / len(expected), abs=1e-5)


def test_what_pairs_share_at_their_beginning_lies_in_the_sequence_once() -> None:
    model = tiny_model()
    (tree,) = plant(model, [[Pair("a b c", " d e"), Pair("a b c", " d f")]])
    assert len(tree.tokens) == len(model.encode("a b c d e")) + 3  # an end, then another letter and its end
    assert tree.positions().tolist()[-2:] == [5, 6]
    assert len(tree.targets) == 6


def test_the_loss_of_soft_targets_is_the_distance_between_distributions() -> None:
    """Mean of KL(target || model) at the soft place and of the cross entropy at the end."""
    model, chances = tiny_model(), {" d": 0.75, " e": 0.25}
    loss = tree_loss(model.backend.hf_model, plant(model, [[Pair("a b", " d", ((0, chances),))]]), model.device)
    logits = model.forward(["a b d"], logits=True).logits[0].log_softmax(-1)
    ids = [model.encode_continuation(text, after="a b")[0] for text in chances]
    kl = sum(p * (math.log(p) - logits[-2, i].item()) for p, i in zip(chances.values(), ids, strict=True))
    assert loss.item() == pytest.approx((kl - logits[-1, model.tokenizer.eos_token_id].item()) / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("soft", "said"),
    [
        ({0: {" d e": 1.0}}, "single tokens"),
        ({1: {" d": 1.0}}, "among the soft targets"),
        ({0: {" e": 1.0}}, "among the soft targets"),
    ],
)
def test_soft_targets_that_have_no_place_are_refused(soft: dict[int, dict[str, float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        plant(tiny_model(), [[Pair("a b", " d", tuple(soft.items()))]])


def test_padding_is_seen_by_no_token() -> None:
    model = tiny_model()
    laid = lay(plant(model, [GROUP, GROUP[3:]]))
    length = len(model.encode("k a b c")) + 1
    assert not laid.mask[1, 0, :length, length:].any() and laid.mask[1, 0].any(-1).all()


@pytest.mark.slow
def test_a_model_learns_groups_of_pairs_as_it_learns_pairs(tmp_path: Path) -> None:
    groups = [[Pair("a b", " c"), Pair("a d", " f")]] * 8
    tuned = finetune(tiny_model(), groups, tmp_path, LoRA(rank=4, alpha=8, lr=0.02, batch=4, epochs=12))
    said = [one.text for (one,) in tuned.generate(["a b", "a d"], max_new_tokens=3, temperature=0)]
    assert said == [" c", " f"]


@pytest.mark.slow
def test_adapters_from_a_depth_on_leave_the_blocks_below_as_they_were(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    tuned = finetune(model, GROUP, tmp_path, LoRA(rank=2, lr=0.02, batch=4, depth=0.5))
    before, after = (m.backend.hf_model.state_dict() for m in (model, tuned))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".h.")[1][0] for name in changed} == {"2", "3"}


def test_branches_longer_than_a_sliding_window_see_what_they_see_alone() -> None:
    model, long = tiny_model("mistral"), " ".join("abcdefghijklmnopqrstuvwxyz")
    group = [Pair(long, " a b"), Pair(long, " b c"), Pair(long + " k", " d")]
    loss = tree_loss(model.backend.hf_model, plant(model, [group]), model.device)
    expected = [x for pair in group for x in alone(model, pair)]
    assert loss.item() == pytest.approx(-sum(expected) / len(expected), abs=1e-5)


def test_groups_are_refused_where_attention_obeys_no_mask(tmp_path: Path) -> None:
    """ALiBi counts the slots between tokens, whatever their positions."""
    from transformers import BloomConfig, BloomForCausalLM

    config = BloomConfig(vocab_size=len(tiny_tokenizer()), hidden_size=32, n_layer=2, n_head=4, initializer_range=0.15)
    model = LanguageModel(HuggingFaceBackend(BloomForCausalLM(config).eval()), tiny_tokenizer(), "bloom")
    with pytest.raises(ModelError, match="give them singly"):
        finetune(model, [GROUP], tmp_path, LoRA(rank=2, batch=1))


def test_a_depth_outside_of_the_blocks_is_refused() -> None:
    with pytest.raises(DataError, match="share of the blocks"):
        LoRA(depth=1.0)
