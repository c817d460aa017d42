"""``Site``: the only address of an activation.

A site is a layer and a component.  Layers are 0-based; ``resid_post`` of layer k is the output of block k, which is
Hugging Face's ``hidden_states[k + 1]`` (except that Hugging Face takes its last entry after the final norm).
The text form is TransformerLens' hook name, ``blocks.3.hook_resid_post``; the short form ``3.resid_post`` parses too.

A negative layer counts from the end, -1 being the last.  A model resolves it where it is handed in, so whatever comes
back or is saved has the true layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex, TypeVar

from workbench.arguments import integer, shown
from workbench.errors import SiteError, SpecError, check_known, did_you_mean

T = TypeVar("T")
U = TypeVar("U")
_NOTHING = object()

# Component -> the part of TransformerLens' hook name that follows "blocks.{layer}.".
COMPONENTS: dict[str, str] = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "attn.q": "attn.hook_q",
    "attn.k": "attn.hook_k",
    "attn.v": "attn.hook_v",
    "attn.z": "attn.hook_z",
    "attn.pattern": "attn.hook_pattern",
    "mlp.pre": "mlp.hook_pre",
    "mlp.post": "mlp.hook_post",
}
_BY_HOOK = {hook: component for component, hook in COMPONENTS.items()} | {"mlp.hook_out": "mlp_out"}
_FORM = re.compile(r"(-?\d+)|(?:blocks\.)?(-?\d+)\.(.+)")


@dataclass(frozen=True, order=True)
class Site:
    """Layer (0-based; negative: from the end) and component of an activation.

    >>> Site(3)
    Site(layer=3, component='resid_post')
    >>> str(Site(3, "attn_out"))
    'blocks.3.hook_attn_out'
    >>> Site.parse("3.resid_post") == Site.parse("blocks.3.hook_resid_post") == Site(3)
    True
    """

    layer: int
    component: str = "resid_post"

    def __post_init__(self) -> None:
        check_known(self.component, COMPONENTS, "component", SiteError)
        object.__setattr__(self, "layer", _layer(self.layer))

    @classmethod
    def parse(cls, text: Site | str | SupportsIndex) -> Site:
        """Read ``blocks.3.hook_resid_post``, ``3.resid_post`` or a bare layer (``3`` is its ``resid_post``)."""
        if isinstance(text, Site):
            return text
        if not isinstance(text, str):
            return cls(_layer(text))
        found = _FORM.fullmatch(text.strip())
        if not found:
            raise SiteError(f"cannot read site {text!r}: write blocks.3.hook_resid_post or 3.resid_post")
        rest = found[3] or "resid_post"
        return cls(int(found[1] or found[2]), _BY_HOOK.get(rest, rest))

    def resolve(self, n_layers: int | None) -> Site:
        """The site with its true layer in a model of ``n_layers`` (None: not known, so -1 cannot be told).

        Raises :class:`SiteError` for a layer that the model does not have.

        >>> Site(-1).resolve(4)
        Site(layer=3, component='resid_post')
        """
        if n_layers is None:
            if self.layer < 0:
                raise SiteError(f"{self} counts from the end, which needs a model: write site.resolve(model.n_layers)")
            return self
        n_layers = integer(n_layers, "n_layers", least=1)
        if not -n_layers <= self.layer < n_layers:
            raise SiteError(
                f"{self} does not exist: the model has layers 0 to {n_layers - 1} (or -{n_layers} to -1, from the end)"
            )
        return self if self.layer >= 0 else replace(self, layer=self.layer + n_layers)

    @property
    def hook_name(self) -> str:
        """TransformerLens' name, e.g. ``blocks.3.hook_resid_post``."""
        return f"blocks.{self.layer}.{COMPONENTS[self.component]}"

    def __str__(self) -> str:
        return self.hook_name


def parse_sites(
    sites: Site | str | SupportsIndex | Iterable[Site | str | SupportsIndex], n_layers: int | None = None
) -> tuple[Site, ...]:
    """Sites from one site, or any iterable (list, range, generator) of sites, hook names or layers; order is kept.

    With ``n_layers`` negative layers are resolved, and :class:`SiteError` is raised for those that are out of range.

    >>> parse_sites(range(2)) == parse_sites(["0.resid_post", 1]) == (Site(0), Site(1))
    True
    >>> parse_sites([-1], n_layers=4)
    (Site(layer=3, component='resid_post'),)
    """
    one = isinstance(sites, str | bytes | Mapping) or not isinstance(sites, Iterable) or getattr(sites, "ndim", 1) == 0
    several: Iterable[Any] = [sites] if one else sites  # type: ignore[assignment]
    parsed = map(Site.parse, several)
    return tuple(dict.fromkeys(parsed if n_layers is None else (site.resolve(n_layers) for site in parsed)))


class SiteMap(dict[Site, T]):
    """What is held for each site; it is asked by site, hook name or layer.

    ``n_layers`` (of the model) lets negative layers be asked for.  A site that is not there raises :class:`SiteError`.

    >>> SiteMap({Site(3): "last"}, n_layers=4)["-1.resid_post"]
    'last'
    """

    def __init__(self, items: Mapping[Any, T], n_layers: int | None = None) -> None:
        super().__init__({Site.parse(site).resolve(n_layers): value for site, value in items.items()})
        self.n_layers = n_layers

    def map(self, change: Callable[[T], U]) -> SiteMap[U]:
        """The same sites with ``change(value)`` for each value."""
        return SiteMap({site: change(value) for site, value in self.items()}, self.n_layers)

    def __getitem__(self, site: Site | str | SupportsIndex) -> T:
        return super().__getitem__(site if isinstance(site, Site) else Site.parse(site))

    def __missing__(self, site: Any) -> T:
        wanted = Site.parse(site).resolve(self.n_layers)
        if wanted not in self.keys():
            raise SiteError(f"{wanted} was not captured{did_you_mean(wanted, map(str, self))}")
        return self[wanted]

    def __contains__(self, site: object) -> bool:
        return self.get(site, _NOTHING) is not _NOTHING

    def get(self, site: Any, default: Any = None) -> Any:
        """What is held for a site, or ``default``."""
        try:
            return self[site]
        except SiteError:
            return default


def _layer(layer: Any) -> int:
    """A layer as a plain integer; NumPy's and torch's are taken, truth values are not."""
    try:
        return integer(layer, "a layer")
    except SpecError:
        raise SiteError(f"cannot read layer {shown(layer)}: write an integer such as 3, or -1 for the last") from None
