"""The target ``map``: what stands in each cell of a grid (the cognitive map of arXiv 2602.08964).

As a label a map is its rows with ``/`` between them, ``###/#A_/###``, in the characters of ``cells.CELLS``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from probes.structured import Ratio, Scoring, Structured, check_params, lead
from workbench.errors import DataError
from workbench.worlds.grids.probes.cells import CELLS, PADDING, encode_maps
from workbench.worlds.grids.probes.map_scores import map_scores

_NAME = "cognitive-map"
_SMALLEST = 2


def write_map(picture: str) -> str:
    """The label of a map, from the picture of a state with its indices.

    >>> write_map("+ 0 1\\n0 # A\\n1 G _")
    '#A/G_'
    """
    return "/".join("".join(line.split()[1:]) for line in picture.split("\n")[1:])


def read_maps(labels: Sequence[str], size: int | None = None) -> np.ndarray:
    """Maps [rows, size, size] as numbers of ``CELLS``, padded at the bottom and right; ``size`` is the largest's.

    >>> read_maps(["#A/G_"], 3)[0].tolist()
    [[1, 2, 6], [3, 0, 6], [6, 6, 6]]
    """
    return encode_maps([str(label).split("/") for label in labels], size)


def _make(params: Mapping[str, Any], labels: Sequence[str]) -> Any:
    """The probe, sized for the largest map unless ``size`` is given."""
    from workbench.worlds.grids.probes.cognitive_map import CognitiveMapProbe

    check_params(_NAME, params, CognitiveMapProbe._get_param_names())
    sizes = {"size": max(str(label).count("/") + 1 for label in labels)} if len(labels) else {}
    return CognitiveMapProbe(**sizes | dict(params))


def _read(labels: Sequence[str], params: Mapping[str, Any]) -> np.ndarray:
    maps = read_maps(labels, params.get("size"))
    if maps.shape[1] < _SMALLEST:
        raise DataError("these labels are no maps: a map is its rows with / between them, such as ###/#A_/###")
    return maps


def _decode(fitted: Any, x: np.ndarray) -> np.ndarray:
    found = fitted.predict_proba(x)
    assert isinstance(found, np.ndarray)
    return found


def _sizes(maps: np.ndarray) -> np.ndarray:
    """[rows] the size of each grid, without its padding."""
    return (maps[:, :, 0] != PADDING).sum(1)


def _majority(training: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The class shares of each cell in training grids of the same size (of all, where there is none)."""
    shares = np.zeros((*true.shape, len(CELLS)), dtype=np.float32)
    for size in np.unique(_sizes(true)):
        same = training[_sizes(training) == size]
        known = same if len(same) else training
        shares[_sizes(true) == size] = np.stack([(known == k).mean(0) for k in range(len(CELLS))], -1)
    return shares


def _score(
    true: np.ndarray,
    runs: Mapping[str, np.ndarray],
    groups: np.ndarray,
    training: np.ndarray,
    spec: Scoring,
    seed: int,
) -> pd.DataFrame:
    """Rows of all controls; with ``per_class`` also of each cell class and of the grids of each size."""
    parts = [("", np.ones(len(true), bool))]
    if spec.per_class:
        sizes = _sizes(true)
        parts += [(f"size {size}", sizes == size) for size in np.unique(sizes).tolist()]
    rows: list[dict[str, Any]] = []
    for label, here in parts:
        ours = _ratios(true[here], runs["none"][here])
        for control, proba in runs.items():
            for row in _levels(true[here], proba[here], groups[here], label, spec, seed):
                rows.append(row | {"control": control})
                if control != "none" and row["metric"] in ours and row["label"] == label:
                    theirs = _ratios(true[here], proba[here])[row["metric"]]
                    rows[-1] |= lead(ours[row["metric"]], theirs, groups[here], spec.resamples, seed)
    names = ["difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=[*rows[0], *names])


def _levels(
    true: np.ndarray, proba: np.ndarray, groups: np.ndarray, label: str, spec: Scoring, seed: int
) -> Iterator[dict[str, Any]]:
    """Scores of one run: of all cells, and (for all grids together) of each class and how far off the agent is."""
    for row in map_scores(true, proba, groups, spec.resamples, seed).to_dict("records"):
        metric, cell, padding = row["metric"], row["cell_class"], row["padding"]
        if cell and (label or (metric != "manhattan" and (not spec.per_class or padding == "with"))):
            continue
        padded = padding == "with" and not cell
        yield {"metric": metric + "_padded" * padded, "label": label or cell} | {
            name: row[name] for name in ("estimate", "low", "high")
        }


def _ratios(true: np.ndarray, proba: np.ndarray) -> dict[str, Ratio]:
    """The scores that differences are taken of, as hits and counts [rows, 1 or classes]."""
    said = proba.argmax(-1)
    each = [((true == k) & (said == k), true == k) for k in range(len(CELLS))]
    hits, counts = (np.stack([pair[i].sum((1, 2)) for pair in each], 1).astype(float) for i in (0, 1))
    found: dict[str, Ratio] = {}
    for name, kept in (("", np.arange(len(CELLS)) != PADDING), ("_padded", np.ones(len(CELLS), bool))):
        h, c = hits[:, kept], counts[:, kept]
        found[f"accuracy{name}"] = (h.sum(1, keepdims=True), c.sum(1, keepdims=True))
        found[f"balanced_accuracy{name}"] = (h[:, c.any(0)], c[:, c.any(0)])
    return found


_METRICS = tuple(f"{name}{padded}" for name in ("accuracy", "balanced_accuracy") for padded in ("", "_padded"))
MAPS = Structured(
    _NAME, _make, _read, _decode, _score, _sizes, (*_METRICS, "manhattan", "precision", "recall", "f1"), _majority
)
