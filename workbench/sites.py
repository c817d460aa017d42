"""``Site``: the only address of an activation.

A site is a layer and a component.  Layers are 0-based; ``resid_post`` of layer k is the output of block k, which is
Hugging Face's ``hidden_states[k + 1]`` (except that Hugging Face takes its last entry after the final norm).
The text form is TransformerLens' hook name, ``blocks.3.hook_resid_post``; the short form ``3.resid_post`` parses too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from workbench.errors import SiteError, did_you_mean

__all__ = ["COMPONENTS", "Site", "parse_sites"]

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
_FORM = re.compile(r"(?:blocks\.)?(-?\d+)\.(.+)")


@dataclass(frozen=True, order=True)
class Site:
    """Layer (0-based) and component of an activation.

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
        if self.component not in COMPONENTS:
            raise SiteError(f"unknown component {self.component!r}{did_you_mean(self.component, COMPONENTS)}")
        if self.layer < 0:
            raise SiteError(f"layer {self.layer} is negative: layers count from 0")

    @classmethod
    def parse(cls, text: Site | str | int) -> Site:
        """Read ``blocks.3.hook_resid_post``, ``3.resid_post`` or a bare layer (``3`` is its ``resid_post``)."""
        if isinstance(text, Site):
            return text
        if isinstance(text, int) or str(text).strip().lstrip("-").isdigit():
            return cls(int(text))
        found = _FORM.fullmatch(str(text).strip())
        if not found:
            raise SiteError(f"cannot read site {text!r}: write blocks.3.hook_resid_post or 3.resid_post")
        layer, rest = int(found[1]), found[2]
        return cls(layer, _BY_HOOK.get(rest, rest))

    @property
    def hook_name(self) -> str:
        """TransformerLens' name, e.g. ``blocks.3.hook_resid_post``."""
        return f"blocks.{self.layer}.{COMPONENTS[self.component]}"

    def __str__(self) -> str:
        return self.hook_name


def parse_sites(sites: Site | str | int | Iterable[Site | str | int], n_layers: int | None = None) -> tuple[Site, ...]:
    """Sites from one site, or any iterable (list, range, generator) of sites, hook names or layers; order is kept.

    Raises :class:`SiteError` for a layer that a model of ``n_layers`` layers does not have.

    >>> parse_sites(range(2)) == parse_sites(["0.resid_post", 1]) == (Site(0), Site(1))
    True
    """
    several = [sites] if isinstance(sites, Site | str | int) else sites
    parsed = tuple(dict.fromkeys(Site.parse(site) for site in several))
    for site in parsed:
        if n_layers is not None and site.layer >= n_layers:
            raise SiteError(f"{site} does not exist: the model has layers 0 to {n_layers - 1}")
    return parsed
