"""Reading a steered completion in one pass.

``forward`` takes every token of a row for prompt, so a scope's generation part would touch nothing.  Interventions made
by ``as_generated`` know where each row's prompt ended: over prompt and completion together they touch exactly the
positions that they touched while the completion was generated, hence the same activations and logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.arguments import as_array, integer
from workbench.errors import DataError
from workbench.models.inputs import plain_interventions
from workbench.models.interventions import Intervention, Scope, Where, Window, Wrapped


def as_generated(interventions: Sequence[Intervention], prompt_lengths: int | Sequence[int]) -> list[Intervention]:
    """The same interventions for a ``forward`` over prompt and completion.

    ``prompt_lengths``: tokens of the prompt, one number for all rows or one a row (the caller's rows, as in
    ``Where.rows``).  Tokens from there on count as generated.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> prompt = model.encode("a b c")
    >>> said = model.generate([prompt], max_new_tokens=4, temperature=0)[0][0].tokens
    >>> model.forward([prompt + said], sites=[0], interventions=as_generated([], len(prompt))).lengths == [8]
    True
    """
    given = np.ravel(as_array(prompt_lengths, "prompt lengths")).tolist()
    lengths = tuple(integer(length, "a prompt length") for length in given)
    if not lengths or min(lengths) < 1:
        raise DataError(f"prompt lengths {list(lengths)}: a prompt has at least one token")
    return [_Generated(each, lengths) for each in plain_interventions(interventions)]


@dataclass(frozen=True, eq=False)
class _Generated(Wrapped):
    """An intervention that is told other prompt lengths."""

    lengths: tuple[int, ...]

    @property
    def scope(self) -> Scope:
        """Where it may act in terms of a row that is all prompt: anywhere."""
        return Scope(prompt=Window(), generation=None)

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        lengths = torch.tensor(self.lengths, device=where.rows.device)
        if len(lengths) > 1 and int(where.rows.max()) >= len(lengths):
            raise DataError(f"{len(lengths)} prompt lengths, and row {int(where.rows.max())} has none: give one a row")
        found = lengths[where.rows] if len(lengths) > 1 else lengths.expand_as(where.rows)
        return self.inner(activation, replace(where, prompt_lengths=found))
