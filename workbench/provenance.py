"""Where a result came from: enough to repeat the run that made it.

The record is a plain dictionary that goes into a run folder's ``provenance.json``.  Versions are read from installed
metadata, so that nothing heavy is imported to write it down.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

_PACKAGES = (
    "activation-workbench",
    "torch",
    "transformers",
    "transformer-lens",
    "nnsight",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "safetensors",
    "gymnasium",
)
_SOURCE = Path(__file__).resolve().parents[1]


class Model(Protocol):
    """What is read of a ``LanguageModel`` (which lives in a room above this one)."""

    name: str

    @property
    def backend_name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def dtype(self) -> Any: ...


def provenance(model: Model | None = None, seeds: int | Iterable[int] | None = None) -> dict[str, Any]:
    """What ran, on what, from which source, as plain JSON-able data.

    Keys: ``started`` (UTC, ISO 8601), ``command`` (a list), ``versions`` (of Python and of the packages installed),
    ``git`` (``commit`` and ``dirty`` of the source checkout, untracked files included; None in an installed wheel),
    ``machine``, ``model`` (``name``, ``fingerprint``, ``backend``, ``dtype``, of a GGUF file also ``made_from``; None
    without a model) and ``seeds``.

    >>> record = provenance(seeds=[0, 1])
    >>> sorted(record)
    ['command', 'git', 'machine', 'model', 'seeds', 'started', 'versions']
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(sys.argv),
        "versions": _versions(),
        "git": _git(_SOURCE),
        "machine": _machine(),
        "model": None if model is None else {**identity(model), **_made_from(model)},
        "seeds": None if seeds is None else [int(s) for s in (seeds if isinstance(seeds, Iterable) else [seeds])],
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git(source: Path) -> dict[str, Any] | None:
    # A wheel may be installed somewhere inside a user's own checkout: only a .git right beside our packages is ours.
    if not (source / ".git").exists():
        return None
    commit, changes = _ask_git(source, "rev-parse", "HEAD"), _ask_git(source, "status", "--porcelain")
    return None if commit is None else {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _ask_git(source: Path, *arguments: str) -> str | None:
    # GIT_DIR and its like are set inside git hooks and would point elsewhere; no optional locks: we only look.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            ["git", "-C", str(source), *arguments], env=environment, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _machine() -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {"platform": platform.platform(), "processor": platform.machine(), "cpus": usable}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        found["torch_threads"] = torch.get_num_threads()
        found["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found


def identity(model: Model) -> dict[str, str]:
    """What a model is: its ``name``, ``fingerprint``, ``backend`` and ``dtype``."""
    return {
        "name": str(model.name),
        "fingerprint": str(model.fingerprint),
        "backend": str(model.backend_name),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def _made_from(model: Model) -> dict[str, Any]:
    """The file that a model's weights were read from, where its configuration says it."""
    found = getattr(getattr(model, "config", None), "made_from", None)
    return {"made_from": found} if isinstance(found, dict) else {}
