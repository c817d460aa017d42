"""The steering vectors at hand: saved ones, those of runs, and those that this session has made.

Saved vectors are files in the folder ``vectors`` beside the runs.  A name from a form or an address is only ever looked
up among those, or checked before it becomes a file name.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from steering import SteeringVector, import_vectors
from workbench.errors import ArtifactError, WorkbenchError
from workbench.files import make_folder
from workbench.models import LanguageModel
from workbench.runs.names import check_name
from workbench.views.run_list import name_of

_SUFFIXES = (".safetensors", ".gguf", ".pt", ".pth", ".bin")


def _folder(kind: str) -> Path:
    return Path(os.environ.get("WORKBENCH_RUNS") or "runs").expanduser() / kind


def _made() -> dict[str, SteeringVector]:
    """This session's vectors that are not saved."""
    return st.session_state.setdefault("_made_vectors", {})


def vector_names(runs: pd.DataFrame, model: LanguageModel) -> dict[str, Path | None]:
    """Name -> file (None: made in this session) of the vectors that are not known to be another model's."""
    found = _all_vectors(runs)
    stamps = {name: _fingerprint(str(path), path.stat().st_mtime_ns) for name, path in found.items() if path}
    made = {name: vector.fingerprint for name, vector in _made().items()}
    return {name: path for name, path in found.items() if (stamps | made)[name] in (None, model.fingerprint)}


@st.cache_data(max_entries=1000, show_spinner=False)
def _fingerprint(path: str, changed: int) -> str | None:
    """Of the model that a saved vector was made on; None when that is not known, or the file is broken (reading it says
    so)."""
    try:
        return SteeringVector.load(path).fingerprint
    except WorkbenchError:
        return None


def _all_vectors(runs: pd.DataFrame) -> dict[str, Path | None]:
    found: dict[str, Path | None] = dict.fromkeys(_made())
    found |= {path.stem: path for path in _files(_folder("vectors"), "*.safetensors") if path.stem not in found}
    for _, run in runs.iterrows():
        for path in _files(Path(str(run["path"])) / "artifacts", "vector-*.safetensors"):
            found[f"{name_of(run)}/{path.stem.removeprefix('vector-')}"] = path
    return found


def probe_files() -> dict[str, Path]:
    """Name -> file of the probes in the folder ``probes`` beside the runs."""
    return {path.stem: path for path in _files(_folder("probes"), "*.safetensors")}


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    except OSError:
        return []


def read_vector(name: str, names: dict[str, Path | None], model: LanguageModel) -> SteeringVector:
    """The vector of that name, checked against the model; raises :class:`ArtifactError`."""
    path = names[name]
    vector = _made()[name] if path is None else SteeringVector.load(path)
    return vector.for_model(model)


def keep(name: str, vector: SteeringVector) -> None:
    """Put a vector in this session's drawer; raises :class:`WorkbenchError` for a name that no file can have."""
    _made()[check_name(name, "vector")] = vector


def save(name: str) -> Path:
    """Write a vector of this session into the folder; raises :class:`ArtifactError` when the name is taken."""
    path = _folder("vectors") / f"{check_name(name, 'vector')}.safetensors"
    if path.exists():
        raise ArtifactError(f"a vector named {name} is saved already: make it under another name")
    make_folder(path.parent, ArtifactError)
    _made()[name].save(path)
    del _made()[name]
    return path


def read_upload(file_name: str, data: bytes, model: LanguageModel) -> list[SteeringVector]:
    """The vectors in a file of any layout that :func:`steering.import_vectors` knows."""
    suffix = next((each for each in _SUFFIXES if file_name.lower().endswith(each)), None)
    if suffix is None:
        raise ArtifactError(f"{file_name[:80]} is no vector file: they end in {', '.join(_SUFFIXES)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"upload{suffix}")
        path.write_bytes(data)
        try:
            return import_vectors(path, model=model)
        except WorkbenchError as error:
            raise ArtifactError(str(error).replace(str(path), file_name[:80])) from error


def digest(vector: SteeringVector) -> str:
    """Tells vectors of one name apart."""
    return hashlib.sha256(vector.vector.numpy().tobytes() + str(vector.site).encode()).hexdigest()[:16]
