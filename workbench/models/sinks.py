"""Attention sinks: positions that take up attention which heads do not need, and whose residual stream is many times as
long as that of all others.

Most language models make one of the first token of a row, some of delimiters as well (Xiao et al. 2023, "Efficient
streaming language models with attention sinks"; Sun et al. 2024, "Massive activations in large language models").  What
stands there says nothing about the text, and one such position outweighs all others in a mean, in a principal
component, on a colour scale.  They are found by evidence, not by their place: a position's norm is compared, layer by
layer, with what is usual in its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import DataError, WorkbenchError
from workbench.models.contract import positions_of, random_inputs
from workbench.sites import Site

if TYPE_CHECKING:
    from workbench.models.hooked_model import HookedModel
    from workbench.models.interventions import Intervention

# Sinks seen: 5 to 200 times the median of their row.  Ordinary tokens of trained models reach 4.3 times.
_FACTOR = 5.0
_LAYERS = 2  # one outlying layer alone may be a rare token
_FEW = 4  # positions below which a row does not know by itself what is usual
_SAMPLE = 64  # tokens of each text that a model's habit is seen on
_TEXTS = (
    "The museum opens at nine in the morning and closes at six.\n\nOn Mondays it stays shut, except in August, when it"
    " is open every day. Tickets are sold at the entrance; children pay nothing.",
    "def area(width, height):\n    return width * height\n\nprint(area(3, 14))\n",
    "1. Boil the water.\n2. Add the rice, a little salt and some oil.\n3. Wait for 18 minutes, then serve it.",
)
_CHAT = "How many days does the month of June have?"


def find_sinks(
    norms: Float[Tensor, "layer row pos"],
    lengths: Sequence[int] | None = None,
    typical: Float[Tensor, " layer"] | None = None,
) -> Bool[Tensor, "row pos"]:
    """Which positions of right-padded rows are attention sinks, by the norms of the residual stream.

    A sink is an outlier, 5 times the median of its row or more, in at least two of the layers (in the one, where only
    one is given).  In rows of fewer than 4 positions the smaller of that median and ``typical`` counts, so that a row
    of one token can be told, too.

    Args:
        norms: of the residual stream, in any number of its layers.
        lengths: positions a row that are no padding; by default all.
        typical: the usual norm in each layer, such as ``model.sinks.norms``.

    >>> ordinary = torch.ones(2, 1, 6)
    >>> ordinary[:, 0, 4] = torch.tensor([9.0, 170.0])
    >>> find_sinks(ordinary).nonzero().tolist()
    [[0, 4]]
    """
    if norms.ndim != 3 or not len(norms):
        raise DataError(f"sinks are found in norms [layer, row, pos], not {list(norms.shape)}")
    watch = SinkWatch(norms.shape[1:], lengths)
    for layer, row_norms in enumerate(norms):
        watch.see(row_norms, None if typical is None else float(typical[layer]))
    return watch.layers >= min(_LAYERS, len(norms))


class SinkWatch:
    """Finds the sinks of a batch while its pass goes on: shown the norms of one layer after the other, it says at each
    which positions are sinks as far as has been seen."""

    def __init__(self, shape: Sequence[int], lengths: Sequence[int] | None = None) -> None:
        rows, width = shape
        ends = torch.full((rows,), width) if lengths is None else torch.as_tensor(list(lengths))
        self.real = torch.arange(width) < ends[:, None]
        self.short = (ends < _FEW)[:, None]
        self.layers = torch.zeros(rows, width, dtype=torch.int64)
        self.outlying = torch.zeros(rows, width, dtype=torch.bool)

    def see(self, norms: Float[Tensor, "row pos"], typical: float | None = None) -> None:
        """The norms of the next layer, and what is usual there."""
        norms = norms.detach().to("cpu", torch.float32)
        usual = norms.masked_fill(~self.real, torch.nan).nanmedian(1, keepdim=True).values  # the lower of two middles
        if typical is not None:
            usual = torch.where(self.short, usual.clamp(max=typical), usual)
        self.outlying = self.real & (norms >= _FACTOR * usual) & (norms > 0)
        self.layers += self.outlying

    @property
    def found(self) -> Bool[Tensor, "row pos"]:
        """Sinks so far: outliers in the last layer, or in two before it."""
        return self.outlying | (self.layers >= _LAYERS)


@dataclass(frozen=True, eq=False)
class SinkHabit:
    """What was seen of a model on a few short texts of any kind (random inputs, where it reads no text).

    ``exist``: whether it makes sinks.  ``first``: whether it makes one of the first position.  ``norms`` [layer]: the
    usual norm of the residual stream behind each block, the median over all positions that are no sinks.
    """

    exist: bool
    first: bool
    norms: Float[Tensor, " layer"]

    @classmethod
    def of(cls, model: HookedModel) -> SinkHabit:
        """Seen in one pass over the texts; :class:`HookedModel` keeps it as ``model.sinks``."""
        norms, lengths = residual_norms(model, sample_inputs(model))
        sinks = find_sinks(norms, lengths)
        ordinary = ~sinks & (torch.arange(sinks.shape[1]) < torch.tensor(lengths)[:, None])
        return cls(bool(sinks.any()), bool(sinks[:, 0].any()), norms[:, ordinary].median(1).values)


def residual_norms(
    model: HookedModel, prompts: Sequence[Any], interventions: Sequence[Intervention] = ()
) -> tuple[Float[Tensor, "layer row pos"], list[int]]:
    """Norms of the residual stream behind every block, at every position, and the length of each row; no activation is
    kept.

    >>> from workbench.models.tiny import tiny_model
    >>> norms, lengths = residual_norms(tiny_model("llama"), ["a b c", "a"])
    >>> tuple(norms.shape), lengths
    ((4, 2, 4), [4, 2])
    """
    sites = [Site(layer) for layer in range(model.n_layers)]
    found = model.forward(prompts, sites, interventions, select=norms_of)
    return torch.stack([found.activations[site].cpu() for site in sites]), found.lengths


def norms_of(activation: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows"]:
    """Lengths of activations, in float32."""
    return activation.float().norm(dim=-1)


def sinks_in(model: HookedModel, prompts: Sequence[Any], interventions: Sequence[Intervention] = ()) -> list[list[int]]:
    """The positions of each prompt that are attention sinks, found in a pass through all layers; none, without a pass,
    for a model that makes none.

    >>> from workbench.models.tiny import tiny_model
    >>> sinks_in(tiny_model("llama"), ["a b c"])
    [[]]
    """
    if not model.sinks.exist:
        return [[] for _ in prompts]
    norms, lengths = residual_norms(model, prompts, interventions)
    return [row.nonzero().flatten().tolist() for row in find_sinks(norms, lengths, model.sinks.norms)]


def sample_inputs(model: HookedModel) -> list[Any]:
    """A few short texts, a chat among them where the model has a template; random inputs where it reads no text."""
    hf_model, longest = model.backend.hf_model, positions_of(model.config) or _SAMPLE
    rows: list[Any] = []
    if longest >= _SAMPLE and not hasattr(hf_model, "random_observations"):
        for prompt in (*_TEXTS, [{"role": "user", "content": _CHAT}]):
            with suppress(WorkbenchError):  # no chat template, or a vocabulary of few words
                rows.append(model.encode_all([prompt])[0][:_SAMPLE])
    return rows or list(random_inputs(hf_model, 2, min(longest, _SAMPLE)))
