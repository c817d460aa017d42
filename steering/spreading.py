"""One intervention at several layers, placed by relative depth, the dose shared out among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from steering.edits import Vector
from steering.interventions import Add
from steering.vectors import SteeringVector
from workbench.arguments import integer, listed, number
from workbench.errors import DataError, SpecError
from workbench.models.interventions import Intervention, Scope
from workbench.sites import Site


def layers_at(depths: Sequence[float] | tuple[float, float], n_layers: int) -> list[int]:
    """The layers at shares of the depth, 0 the first and 1 the last; what falls on the same layer counts once.

    >>> layers_at([0.0, 0.4, 0.5, 1.0], 12)
    [0, 4, 6, 11]
    """
    last = integer(n_layers, "n_layers", least=1) - 1
    shares = [number(depth, "a depth", 0, 1) for depth in listed(depths, "depths")]
    if not shares:
        raise SpecError("depths is empty: name at least one share of the depth, such as 0.5")
    return sorted({math.floor(share * last + 0.5) for share in shares})


def spread(
    vectors: Vector | Sequence[SteeringVector],
    model: Any,
    depths: Sequence[float] = (0.4, 0.5, 0.6),
    *,
    dose: float | torch.Tensor | None = None,
    scope: Scope | str = Scope(),
    component: str = "resid_post",
    make: Callable[..., Intervention] | None = None,
) -> list[Intervention]:
    """Interventions at layers by relative depth, as the list to pass to a model.

    Args:
        vectors: one vector for all layers (a :class:`SteeringVector` or a tensor [d] or [rows, d]), or several steering
            vectors, of which each layer takes its own.
        model: whose layers they are.
        depths: shares of the depth: 0 is the first layer, 1 the last.
        dose: of all together, in equal parts; a number or one a row [rows].
        scope: of each.
        component: of the sites.
        make: what is made of each ``(vector, site=, scope=)``, without a dose: such as ``Ablate``.  By default
            :class:`Add`, at multiplier ``1 / number of layers`` where no dose is said.

    Raises:
        DataError: for a layer that several vectors have none for.

    >>> from workbench.models.tiny import tiny_model
    >>> [(add.site.layer, add.dose) for add in spread(torch.ones(32), tiny_model(), depths=[0.3, 0.6], dose=0.5)]
    [(1, 0.25), (2, 0.25)]
    """
    sites = [Site(layer, component) for layer in layers_at(depths, model.n_layers)]
    if make is not None:
        if dose is not None:
            raise SpecError("a dose is of what is added: other interventions take their multiplier in make=")
        return [make(vector, site=site, scope=scope) for site, vector in _each(vectors, sites, model)]
    share: dict[str, Any] = {"multiplier": 1 / len(sites)} if dose is None else {"dose": _shared(dose, len(sites))}
    return [Add(vector, site=site, scope=scope, **share) for site, vector in _each(vectors, sites, model)]


def _shared(dose: Any, n: int) -> Any:
    return torch.as_tensor(dose) / n if hasattr(dose, "__len__") else number(dose, "dose") / n


def _each(vectors: Any, sites: list[Site], model: Any) -> list[tuple[Site, Any]]:
    if not isinstance(vectors, list | tuple):
        return [(site, vectors) for site in sites]
    by_site = {vector.site.resolve(model.n_layers): vector for vector in vectors if isinstance(vector, SteeringVector)}
    if len(by_site) != len(vectors):
        raise DataError("several vectors must be steering vectors, one a site")
    if missing := [site for site in sites if site not in by_site]:
        raise DataError(f"no vector for {missing[0]}: there are some for {', '.join(map(str, sorted(by_site)))}")
    return [(site, by_site[site]) for site in sites]
