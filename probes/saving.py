"""Saving a fitted probe with the site, basis and model that it was fitted on, and refusing it to any other model.

A probe is a safetensors file: its arrays, and in the header its name in :data:`probes.PROBES`, its hyperparameters and
where it belongs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

import numpy as np

from probes import PROBES
from probes._artifact import read_artifact, write_artifact
from workbench.arguments import mapping
from workbench.errors import ArtifactError, SpecError, did_you_mean
from workbench.models.fingerprint import ModelStamp, check_stamp
from workbench.sites import Site

_FORMAT = "workbench-probe"
_KINDS = PROBES | {"shared-ridge": "probes.shared:SharedRidge"}


def register_probe(name: str, place: str) -> None:
    """Make a probe of another package known under ``name``: ``place`` is its ``module:class``.

    >>> register_probe("ridge-again", "probes.linear:RidgeProbe")
    """
    _KINDS[name] = place


def save_probe(
    probe: Any,
    path: str | os.PathLike[str],
    *,
    site: Site | str | int,
    basis: str,
    fingerprint: str | None,
    precision: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted probe, whole or not at all.

    Args:
        probe: of a registered kind.
        path: the file.
        site, basis, fingerprint, precision: those of the activations it was fitted on.
        metadata: anything else, as JSON.

    Raises:
        ArtifactError: for a probe that is not registered, or parameters and metadata that are not JSON.

    >>> import tempfile
    >>> from probes import make_probe
    >>> probe = make_probe("mass-mean").fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_probe(probe, f"{folder}/p.safetensors", site="3.resid_post", basis="raw", fingerprint="model-a")
    ...     loaded = load_probe(f"{folder}/p.safetensors")
    >>> loaded, loaded.predict([[2.5]]), str(loaded.site_)
    (MassMeanProbe(), array(['yes'], dtype='<U3'), 'blocks.3.hook_resid_post')
    """
    header = {
        "kind": _kind_of(probe),
        "params": {name: _plain(value) for name, value in probe.get_params(deep=False).items()},
        "site": str(Site.parse(site).resolve(None)),
        "basis": basis,
        "fingerprint": fingerprint,
        "precision": precision,
        "metadata": mapping(metadata, "metadata"),
    }
    write_artifact(path, _FORMAT, header, probe._arrays())


def load_probe(path: str | os.PathLike[str], model: ModelStamp | None = None, force: bool = False) -> Any:
    """Read what :func:`save_probe` wrote: the probe, with ``site_``, ``basis_``, ``fingerprint_``, ``precision_`` and
    ``metadata_``.

    With ``model``, a probe of another model or basis raises :class:`ArtifactError` unless ``force``; the same model in
    another precision is said in one line.
    """
    header, arrays = read_artifact(path, _FORMAT, "a saved probe")
    try:
        probe = _class(header["kind"])(**header["params"])
        probe._load_arrays(arrays)
        probe.site_, probe.metadata_ = Site.parse(header["site"]), header["metadata"]
        probe.basis_, probe.fingerprint_ = header["basis"], header["fingerprint"]
        probe.precision_ = header.get("precision")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise ArtifactError(f"{path} is not a saved probe of this version ({error})") from error
    if model is not None:
        check_stamp(f"probe {path}", header, model, force)
    return probe


def _kind_of(probe: Any) -> str:
    place = f"{type(probe).__module__}:{type(probe).__qualname__}"
    for name, known in _KINDS.items():
        if known == place:
            return name
    raise ArtifactError(f"cannot save a {type(probe).__name__}: only registered probes are ({', '.join(_KINDS)})")


def _class(kind: str) -> Any:
    if kind not in _KINDS:
        raise SpecError(f"unknown probe {kind!r}{did_you_mean(kind, _KINDS)}; one of another package needs its import")
    return resolve_name(_KINDS[kind])


def _plain(value: Any) -> Any:
    """A hyperparameter as JSON has it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
