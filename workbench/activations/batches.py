"""Running many sequences of mixed lengths and keeping only the asked positions: the engine of capture and replay.

Sequences are sorted by length and cut into batches of a bounded number of tokens, a new batch also beginning where
padding would cost more than a pass does by itself.  Selection happens on the model's device, inside the pass, so what
is not asked for is freed at once.  When memory runs out the batches are halved, for good, and the work goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.activations.selection import Selection, SinkCounts
from workbench.arguments import integer
from workbench.errors import DataError, ModelError, SiteError, SpecError, did_you_mean
from workbench.models.hooked_model import HookedModel
from workbench.models.interventions import Intervention
from workbench.models.memory import fits
from workbench.sites import Site, SiteMap, parse_sites

# A pass costs about as much as this many tokens before it has computed any.
_PASS_COST = {"cpu": 64, "cuda": 1024}
_CPU_TOKENS, _GPU_TOKENS = 1024, 65_536
_DTYPES = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True)
class Pass:
    """One sequence to run: which ``positions`` to read, the ``rows`` of the result they fill (one row for their mean),
    and the caller's ``number`` for it (of the row of a per-row intervention)."""

    tokens: Sequence[int]
    positions: Sequence[int]
    rows: Sequence[int]
    number: int = 0


@dataclass
class Budget:
    """How many tokens, padding included, are run at once; it shrinks when memory runs out and never grows."""

    tokens: int

    @classmethod
    def of(cls, model: HookedModel, tokens: int | None = None) -> Budget:
        """As given; else what a CPU runs fastest (measured), or what fits well into the free memory of a GPU."""
        if tokens is not None:
            return cls(integer(tokens, "batch_tokens", least=1))
        if model.device.type != "cuda":
            return cls(_CPU_TOKENS)
        wide = getattr(model.config, "intermediate_size", None) or 4 * model.d_model
        token = (8 * model.d_model + 3 * wide) * torch.finfo(model.dtype).bits // 8
        return cls(max(1, min(_GPU_TOKENS, int(0.4 * torch.cuda.mem_get_info(model.device)[0] / token))))


def readable_sites(model: HookedModel, sites: object) -> tuple[Site, ...]:
    """Sites whose activations are one vector a token; :class:`SiteError` for any other."""
    parsed = parse_sites(sites, model.n_layers)  # type: ignore[arg-type]
    for site in parsed:
        if site.component == "attn.pattern":
            raise SiteError(
                f"{site} is a pattern over pairs of tokens, not a vector a token: read it with model.forward"
            )
    if not parsed:
        raise SiteError("no site to read: name at least one, such as '3.resid_post'")
    return parsed


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """A floating-point dtype from its name; :class:`SpecError` for anything else."""
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise SpecError(f"no floating-point dtype {dtype!r}{did_you_mean(dtype, _DTYPES)}")
    return found


def check_length(model: HookedModel, tokens: Sequence[int], what: str) -> None:
    """Raise :class:`DataError` for more tokens than the model has positions; ``what`` names the input."""
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit and len(tokens) > limit:
        raise DataError(f"{what} has {len(tokens)} tokens, more than the {limit} positions of {model.name}")


def run_passes(
    model: HookedModel,
    passes: Sequence[Pass],
    sites: Sequence[Site],
    budget: Budget,
    *,
    mean: bool = False,
    sinks: SinkCounts | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    interventions: Sequence[Intervention] = (),
    advance: Callable[[int], object] | None = None,
) -> SiteMap[Tensor]:
    """Activations [rows, d] of each site in ``dtype`` (None: as computed) on ``device``; heads are laid side by side.

    The rows of all passes together must be 0, 1, ... without gaps, in any order.  ``mean`` leaves out the attention
    sinks where ``sinks`` is there to be filled in.
    """
    waiting = sorted(passes, key=lambda one: -len(one.tokens))  # the longest first: memory runs out at once or never
    n_rows = sum(len(one.rows) for one in passes)
    result: dict[Site, Tensor] = {}
    usual = None
    if sinks is not None:
        usual, sinks.rows = sinks.usual, torch.zeros(n_rows, dtype=torch.int64)
    start = 0
    while start < len(waiting):
        batch = _next_batch(waiting, start, budget.tokens, _PASS_COST.get(model.device.type, 1024))
        selection = Selection(batch, mean, dtype, usual)
        found = _read(model, batch, sites, selection, interventions)
        if found is None:
            _halve(budget, batch, model)
            continue
        rows = torch.tensor([row for one in batch for row in one.rows], device=device)
        for site, activation in found.items():
            moved = activation.to(device=device, dtype=dtype)
            if site not in result:
                result[site] = moved.new_empty((n_rows, moved.shape[1]))
            result[site][rows] = moved
        if sinks is not None:
            sinks.rows[rows.to("cpu")] = selection.sinks
        start += len(batch)
        if advance:
            advance(len(batch))
    return SiteMap(result, model.n_layers)


def _next_batch(waiting: Sequence[Pass], start: int, tokens: int, pass_cost: int) -> Sequence[Pass]:
    """The passes from ``start`` on that are run together; ``waiting`` is sorted, longest first."""
    longest = len(waiting[start].tokens)
    stop, padding = start + 1, 0
    while stop < len(waiting) and longest * (stop + 1 - start) <= tokens:
        padding += longest - len(waiting[stop].tokens)
        if padding > pass_cost:
            break
        stop += 1
    return waiting[start:stop]


def _halve(budget: Budget, batch: Sequence[Pass], model: HookedModel) -> None:
    longest = len(batch[0].tokens)
    if len(batch) == 1:
        raise ModelError(
            f"out of memory: one input of {longest} tokens does not fit beside {model.name} on {model.device}"
        )
    budget.tokens = longest * (len(batch) // 2)


def _read(
    model: HookedModel,
    batch: Sequence[Pass],
    sites: Sequence[Site],
    selection: Selection,
    interventions: Sequence[Intervention],
) -> dict[Site, Tensor] | None:
    """What a selection keeps of one batch, or None when memory ran out."""
    found: dict[Site, Tensor] = {}

    def run() -> None:
        tokens, numbers = zip(*((one.tokens, one.number) for one in batch), strict=True)
        select = selection.by_site(sites)
        forward = model.forward(tokens, list(select), interventions, select=select, row_numbers=numbers)
        found.update({site: forward.activations[site] for site in sites})

    return found if fits(run) else None
