"""What is said of a model that steering was baked into: the record and the card in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from steering.interventions import Add
from steering.vectors import SteeringVector, real_tensor
from workbench.sites import Site


@dataclass(frozen=True)
class Baked:
    """A folder that was written, and what was measured: the largest ``difference`` of a logit between it and the
    steered model, and the largest ``effect`` of the steering on a logit, on ``texts`` texts, in ``precision``."""

    folder: Path
    fingerprint: str
    base: str
    base_fingerprint: str
    difference: float
    effect: float
    precision: str
    texts: int
    written: list[dict[str, Any]]


def described(edit: Any, site: Site, model: Any) -> dict[str, Any]:
    """One intervention as a row of the card."""
    source = getattr(edit, edit._source)
    sources = source if isinstance(source, list | tuple) else [source]
    names = [each.name for each in sources if isinstance(each, SteeringVector) and each.name]
    row: dict[str, Any] = {"what": type(edit).__name__, "site": str(site), "multiplier": float(edit.multiplier)}
    if isinstance(edit, Add):
        values = real_tensor(edit.vector)
        assert values is not None
        row["dose"] = row["multiplier"] * float(values.double().norm()) / model.residual_norm(site)
    return row | {"vector": ", ".join(names)}


def card_of(name: str, baked: Baked) -> str:
    """The text of a README, with the header that the hub reads."""
    rows = [
        f"| {each['what']} | {each['site']} | {each['multiplier']:.4g} |"
        f" {format(each['dose'], '.3g') if 'dose' in each else ''} | {each['vector']} |"
        for each in baked.written
    ]
    return "\n".join([
        "---", "library_name: transformers", f"base_model: {json.dumps(baked.base)}",
        "tags: [activation-steering]", "---", "",
        f"# {name}", "",
        f"`{baked.base}` (fingerprint `{baked.base_fingerprint}`) with activation steering in its weights.", "",
        "| what | site | multiplier | dose | vector |", "|---|---|---|---|---|", *rows, "",
        "It acts on every token, prompt and generation alike. A dose is the length of what is added as a share of the",
        "residual stream's typical norm at that site.", "",
        f"Measured in {baked.precision} on {baked.texts} texts: logits differ by at most {baked.difference:.2g}"
        f" from those of the base model steered with hooks; steering moves them by up to {baked.effect:.3g}.", "",
        f"Fingerprint `{baked.fingerprint}`. Written by activation-workbench {version('activation-workbench')}.", "",
    ])  # fmt: skip
