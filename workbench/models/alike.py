"""Rows that are alike run once, until an intervention tells them apart.

A grid of layers and doses is the same few prompts again and again, and below the first layer at which a row is steered
it is what the other rows with its tokens are.  So a pass begins with one row of each kind; where interventions touch
some of the rows these stand for, the batch widens: a hook at that point repeats activations, and from there on blocks
are called with whatever else they get of the batch (masks, positions) repeated likewise.  What is read below is
repeated for the reader, and keys and values for the cache.

Which rows an intervention can change it says itself (``acts_on(rows)``, a mask over the caller's rows); of one that
does not say, it is all.  Whether a model can run so is tried, not listed: a widening pass over a few random rows must
give what a plain one gives, on the ``hf`` back end; else every row runs for itself all the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.models.backend import Backend, Hook, in_order, one_pass
from workbench.models.block_arguments import following
from workbench.models.cache import PromptCache
from workbench.models.contract import on_trial, once, positions_of, random_inputs
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Intervention, Scope, Where, hooks_for, touched_rows
from workbench.models.memory import is_out_of_memory
from workbench.models.watched import distance, meant
from workbench.models.widths import special_widths
from workbench.sites import Site

Reader = Callable[[Tensor], None]
_SHORT = 4


@dataclass(frozen=True)
class Stage:
    """How a batch is run for a while: ``rows`` [n] of it that are, and which of these stands for each, ``slot`` [batch]
    (None: every row for itself)."""

    rows: Tensor
    slot: Tensor | None

    def among(self, later: Stage) -> Tensor | None:
        """Of each row of a later stage, which of this one's it comes from; None where they are the same."""
        return None if self.slot is None or len(self.rows) == len(later.rows) else self.slot[later.rows]

    def everywhere(self, x: Tensor) -> Tensor:
        """What this stage found [n, ...], for all rows of the batch."""
        return x if self.slot is None else x[self.slot.to(x.device)]


@dataclass(frozen=True)
class Course:
    """The stages of a pass, each from a point on: the entry to a block (``resid_pre``) or its end (``resid_post``)."""

    first: Stage
    wider: dict[Site, Stage]

    @classmethod
    def of(cls, tokens: Tensor, where: Where, interventions: Sequence[Intervention]) -> Course:
        """The narrowest one for tokens [batch, pos, ...] that interventions act on."""
        ends = where.prompt_lengths[:, 0].tolist()
        kinds = [(row.tobytes(), end) for row, end in zip(tokens.cpu().numpy(), ends, strict=True)]
        if len(set(kinds)) == len(kinds):
            return cls.plain(tokens)
        apart = torch.zeros(len(kinds), dtype=torch.bool)
        first = last = _stage(kinds, apart)
        wider: dict[Site, Stage] = {}
        touched: dict[Site, Tensor] = {}
        for each in interventions:
            place = each.site if each.site.component == "resid_post" else Site(each.site.layer, "resid_pre")
            touched[place] = touched.get(place, apart) | touched_rows(each, where).cpu()
        for place in _in_order(touched):
            apart = apart | touched[place]
            stage = _stage(kinds, apart)
            if len(stage.rows) > len(last.rows):
                wider[place] = last = stage
        return cls(first, wider)

    @classmethod
    def plain(cls, tokens: Tensor) -> Course:
        """The one in which every row runs for itself."""
        return cls(Stage(torch.arange(len(tokens)), None), {})

    @property
    def narrow(self) -> bool:
        """Whether any row stands for others."""
        return self.first.slot is not None

    def at(self, site: Site) -> Stage:
        """The stage that a site is in."""
        order = _in_order([*self.wider, site])
        before = [place for place in order[: order.index(site) + 1] if place in self.wider]
        return self.wider[before[-1]] if before else self.first

    @property
    def last(self) -> Stage:
        """The stage that the pass ends in."""
        return list(self.wider.values())[-1] if self.wider else self.first


def _in_order(sites: Iterable[Site]) -> list[Site]:
    """Sites, each once, in the order in which a pass reaches them."""
    return [site for site, _ in in_order({site: torch.clone for site in sites}, None)]


def _stage(kinds: Sequence[Any], apart: Tensor) -> Stage:
    """One row of each kind, and every row that is ``apart`` [batch]."""
    names = [(kind, row if alone else -1) for row, (kind, alone) in enumerate(zip(kinds, apart.tolist(), strict=True))]
    firsts: dict[Any, int] = {}
    for row, name in enumerate(names):
        firsts.setdefault(name, row)
    number = {name: i for i, name in enumerate(firsts)}
    every = len(firsts) == len(names)
    return Stage(torch.tensor([*firsts.values()]), None if every else torch.tensor([number[name] for name in names]))


def run(
    backend: Backend,
    tokens: Tensor,
    where: Where,
    interventions: Sequence[Intervention] = (),
    readers: Mapping[Site, Reader] | None = None,
    *,
    cache: Any = None,
    **options: Any,
) -> Tensor | None:
    """:meth:`Backend.forward` of whole rows, steered and read, those that are alike once.

    Args:
        backend: the model.
        tokens: [batch, pos, ...], padded on the right.
        where: which token of the caller's each is.
        interventions: what steers.
        readers: by site, what is called with the activations [batch, pos, d] behind the interventions.
        cache: an empty one, which ends up with keys and values of every row of the batch.
        options: ``stop_after`` and ``logits`` of :meth:`Backend.forward`.

    Returns:
        Logits [batch, pos, vocab] or None.
    """
    course = Course.of(tokens, where, interventions)
    if course.narrow and not runs_alike(backend, tokens.shape[1], cache is not None):
        course = Course.plain(tokens)
    return _run(backend, course, tokens, where, interventions, readers or {}, cache=cache, **options)


def _run(
    backend: Backend,
    course: Course,
    tokens: Tensor,
    where: Where,
    interventions: Sequence[Intervention],
    readers: Mapping[Site, Reader],
    *,
    cache: Any = None,
    **options: Any,
) -> Tensor | None:
    hooks: dict[Site, Hook] = {}
    before = course.first
    for site in _in_order([*course.wider, *(i.site for i in interventions), *readers]):
        stage = course.at(site)
        steer = hooks_for([i for i in interventions if i.site == site], _part(where, stage)).get(site)
        widen = before.among(stage) if site in course.wider else None
        hooks[site] = _hook(widen, steer, stage, readers.get(site))
        before = stage
    first = tokens[course.first.rows.to(tokens.device)] if course.narrow else tokens
    blocks = {} if not course.narrow else _origins(course, backend)
    with one_pass(backend.hf_model), following(backend, len(first), blocks):
        out = backend.forward(first, cache=cache, hooks=hooks, **options)
    if cache is not None and course.narrow:
        for layer, block in enumerate(cache.layers):
            stage = course.at(Site(layer, "resid_pre"))
            if stage.slot is not None and block.get_seq_length():  # some layers read the keys of others
                block.batch_select_indices(stage.slot.to(block.keys.device))
    return None if out is None else course.last.everywhere(out)


def _hook(widen: Tensor | None, steer: Hook | None, stage: Stage, read: Reader | None) -> Hook:
    def hook(activation: Tensor) -> Tensor:
        if widen is not None:
            activation = activation[widen.to(activation.device)]
        if steer is not None:
            activation = steer(activation)
        if read is not None:
            read(stage.everywhere(activation))
        return activation

    return hook


def _part(where: Where, stage: Stage) -> Where:
    """Where the rows of a stage are."""
    if stage.slot is None:
        return where
    rows = stage.rows.to(where.positions.device)
    return Where(where.positions[rows], where.rows[rows], where.prompt_lengths[rows])


def _origins(course: Course, backend: Backend) -> dict[int, Tensor]:
    """By layer: of each row that enters the block, which row of the first stage it comes from."""
    layers = range(backend.hf_model.config.get_text_config().num_hidden_layers)
    stages = {layer: course.first.among(course.at(Site(layer, "resid_pre"))) for layer in layers}
    return {layer: origin for layer, origin in stages.items() if origin is not None}


# ---- the try


def runs_alike(backend: Backend, width: int = 0, cached: bool = False) -> bool:
    """Whether a model gives the same when rows that are alike run once, in passes of ``width`` tokens that fill a cache
    or not.

    Tried once, and again beyond the largest number below ``width`` in its configuration, where its ways may change.

    >>> from workbench.models.tiny import tiny_model
    >>> runs_alike(tiny_model("mistral").backend, 10)
    True
    """
    if not isinstance(backend, HuggingFaceBackend):
        return False
    reach = max((n for n in special_widths(backend.hf_model) if _SHORT < n < width), default=_SHORT)
    tried = _tried(backend.hf_model)
    if (reach, cached) not in tried:
        tried[reach, cached] = _same(backend, reach + 1, cached)
    return tried[reach, cached]


@once
def _tried(_hf_model: Any) -> dict[tuple[int, bool], bool]:
    return {}


def _same(backend: HuggingFaceBackend, width: int, cached: bool) -> bool:
    """Whether a widening pass over six rows of two kinds gives, row by row, what a plain one gives."""
    hf_model = backend.hf_model
    width = min(width, positions_of(hf_model.config) or width)
    tokens = random_inputs(hf_model, 2, width, seed=1)[[0, 1, 0, 0, 1, 1]]
    at = torch.arange(width, device=tokens.device).repeat(len(tokens), 1)
    where = Where(
        at, torch.arange(len(tokens), device=tokens.device)[:, None].expand_as(at), torch.full_like(at, width)
    )
    last = len(backend.blocks) - 1
    pushes = [_Push(Site(0), (2,)), _Push(Site((last + 1) // 2, "resid_pre"), (3, 4)), _Push(Site(last), (1,))]

    def found(course: Course) -> list[Tensor]:
        seen: list[Tensor] = []
        readers = {site: seen.append for site in (Site(0, "resid_pre"), Site(last))}
        cache: Any = PromptCache.of(backend).keys_values if cached else None
        logits = _run(backend, course, tokens, where, pushes, readers, cache=cache, logits=True)
        keys = [layer.keys for layer in cache.layers if layer.get_seq_length()] if cache is not None else []
        return [each for each in (*seen, logits, *keys) if each is not None]

    try:
        with on_trial(hf_model):
            pairs = zip(found(Course.plain(tokens)), found(Course.of(tokens, where, pushes)), strict=True)
        near = meant(hf_model.dtype)
        return all(distance(*row) <= near for plain, ours in pairs for row in zip(plain, ours, strict=True))
    except Exception as error:  # the libraries below raise many kinds; each means that the model cannot do this
        if is_out_of_memory(error):
            raise
        return False


@dataclass(frozen=True)
class _Push:
    """Adds the activations' own size to some rows."""

    site: Site
    pushed: tuple[int, ...]
    scope: Scope = Scope.everywhere()

    def acts_on(self, rows: Tensor) -> Tensor:
        return torch.isin(rows, torch.tensor(self.pushed, device=rows.device))

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        return torch.where(self.acts_on(where.rows)[..., None], activation + activation.roll(1, -1), activation)
