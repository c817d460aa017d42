"""Traits read off activations: how far a model stands on the way from the low to the high side of a trait's pairs.

Where no answer can be scored, what a model is about to say of itself can still be read.  The direction of a trait is
the mean difference of half of its pairs (the other half makes the vector that steers), read at a later layer at the
last token of questions about oneself.  +1 is where the pairs' high sides lie on average, -1 the low ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from steering.batching import side_by_side
from steering.conditions import Condition
from workbench.activations import ActivationSet, Role, capture
from workbench.families.personality.instrument import ACTIVATIONS, is_chat, prompt
from workbench.families.personality.traits import Traits
from workbench.models.language_model import LanguageModel, Prompt


@dataclass(frozen=True)
class Axis:
    """A trait's direction with its zero and unit: ``(x - middle) @ direction`` is +1 and -1 at the pairs' sides."""

    direction: Float[Tensor, " d"]
    middle: Float[Tensor, " d"]

    @classmethod
    def between(cls, up: Float[Tensor, "pairs d"], down: Float[Tensor, "pairs d"]) -> Axis:
        """From the two sides of some pairs.

        >>> axis = Axis.between(torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [-2.0, 0.0]]))
        >>> axis.of(torch.tensor([[2.0, 5.0], [-1.0, 5.0]])).tolist()
        [1.0, -1.0]
        """
        half, middle = (up.mean(0) - down.mean(0)) / 2, (up.mean(0) + down.mean(0)) / 2
        return cls(half / half.square().sum().clamp(min=1e-12), middle)

    def of(self, rows: Float[Tensor, "rows d"]) -> Float[Tensor, " rows"]:
        """Where rows stand."""
        return (rows.float() - self.middle) @ self.direction


def read_pairs(model: LanguageModel, traits: Traits, layers: Sequence[int], progress: bool = False) -> ActivationSet:
    """The mean activation over each answer of each pair; labels ``trait, pair, side`` (1 or -1)."""
    labels, inputs = [], []
    for name, trait in traits.traits.items():
        for number, pair in enumerate(trait.pairs):
            question = traits.questions[number // 2 % len(traits.questions)]
            for side, answer in zip((1, -1), pair, strict=True):
                labels.append({"trait": name, "pair": number, "side": side})
                inputs.append(_answered(model, question, answer))
    where = Role("assistant", take="mean") if is_chat(model) else "mean"
    return capture(model, inputs, list(layers), where, labels=pd.DataFrame(labels), progress=progress)


def sides_of(read: ActivationSet, layer: int, trait: str, half: int) -> tuple[Tensor, Tensor]:
    """The two sides [pairs, d] of a trait's pairs with an even number (``half`` 0) or an odd one (1)."""
    labels, rows = read.labels, read[layer].float()
    chosen = (labels["trait"] == trait) & (labels["pair"] % 2 == half)
    up, down = (rows[torch.tensor((chosen & (labels["side"] == side)).tolist())] for side in (1, -1))
    return up, down


def read_activity(
    model: LanguageModel, axes: Mapping[str, Axis], layer: int, questions: Sequence[str],
    conditions: Sequence[Condition],
) -> pd.DataFrame:  # fmt: skip
    """A row a condition, question and trait: its columns, ``readout, trait, item`` (the question's number) and
    ``value``, where the last token stands on the trait's axis."""
    asked = [prompt(model, question) for question in questions]
    rows = [each.prompt(one) for each in conditions for one in asked]
    steered = side_by_side([each.interventions for each in conditions], model, len(asked))
    read = capture(model, rows, [layer], "last", interventions=steered)[layer]
    values = {trait: axis.of(read).reshape(len(conditions), -1).numpy() for trait, axis in axes.items()}
    frames = []
    for number, condition in enumerate(conditions):
        for trait, of_trait in values.items():
            columns = {"trait": trait, "item": range(len(asked)), "value": of_trait[number], "readout": ACTIVATIONS}
            frames.append(pd.DataFrame({**condition.row, **columns}))
    return pd.concat(frames, ignore_index=True)


def _answered(model: LanguageModel, question: str, answer: str) -> Prompt:
    if not is_chat(model):
        return f"{question} {answer}"
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
