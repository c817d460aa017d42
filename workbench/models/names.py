"""What a model's name stands for: a shipped folder, a shipped adapter, a fetched folder, or whatever the hub knows."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from workbench.arguments import a_path, shown
from workbench.errors import ModelError
from workbench.files import read_object
from workbench.models.registry import FETCHABLE

_SHIPPED = Path(__file__).parent / "shipped"
_NEAR = 0.65  # how like a known model's name (bandit: bandit-agent) another is that is taken for it misspelt
FETCHED = "fetched.json"  # written last: a folder that has it is whole


def shipped_models() -> dict[str, Path]:
    """Name -> Hugging Face folder of the models that travel with the package."""
    return {path.parent.name: path.parent for path in sorted(_SHIPPED.glob("*/config.json"))}


def shipped_adapters() -> dict[str, Path]:
    """Name -> PEFT folder of the adapters that travel with the package (see :mod:`workbench.models.registry`)."""
    return {path.parent.name: path.parent for path in sorted(_SHIPPED.glob("*/adapter_config.json"))}


def adapter_of(path_or_hub_id: str | Path) -> Path | None:
    """The adapter that a name or a path stands for: a shipped one, or a folder that ``finetune`` has written."""
    if shipped := shipped_adapters().get(str(path_or_hub_id)):
        return shipped
    if not isinstance(path_or_hub_id, str | os.PathLike):
        return None
    wanted = ("adapter_config.json", "finetuning.json")
    whole = all(os.path.isfile(os.path.join(path_or_hub_id, file)) for file in wanted)  # False for what is no path
    return Path(path_or_hub_id) if whole else None


def base_of(adapter: Path) -> str:
    """The name of the model that an adapter belongs to."""
    return str(read_object(adapter / "finetuning.json", ModelError).get("base_name"))


def cache_folder() -> Path:
    """Where fetched models are kept: ``$WORKBENCH_CACHE``, else ``activation-workbench`` in the user's cache folder."""
    if named := os.environ.get("WORKBENCH_CACHE"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "activation-workbench"


def fetched_folder(name: str) -> Path:
    """The place of a fetched model, whether it is there or not."""
    return cache_folder() / "models" / name


def fetched_models() -> dict[str, Path]:
    """Name -> Hugging Face folder of the models that ``workbench models get`` has fetched."""
    return {name: fetched_folder(name) for name in FETCHABLE if (fetched_folder(name) / FETCHED).exists()}


def model_names() -> list[str]:
    """Every name that is no folder and no hub id, whether the model is here yet or not."""
    return [*shipped_models(), *shipped_adapters(), *FETCHABLE]


def not_fetched(name: str) -> ModelError:
    """The error for a model that can be had, and is not here."""
    size = FETCHABLE[name].megabytes[0]
    return ModelError(f"the model {name!r} is not fetched yet ({size} MB): workbench models get {name}")


def source_of(path_or_hub_id: str | Path) -> str:
    """Where transformers finds a model; a misspelt name does not ask the hub.

    Raises :class:`ModelError` for what is no name, and for a model that is to be fetched first.
    """
    known = model_names()
    if not isinstance(path_or_hub_id, str | os.PathLike) or not str(path_or_hub_id).strip():
        told = f"name a shipped model ({', '.join(shipped_models())}), a folder or a hub id"
        raise ModelError(f"cannot load {shown(path_or_hub_id)}: {told}")
    name = str(a_path(path_or_hub_id, "a model"))
    here = {**shipped_models(), **shipped_adapters(), **fetched_models()}
    if name in here:
        return str(here[name])
    if name in FETCHABLE and not os.path.exists(name):
        raise not_fetched(name)
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_NEAR)
    if near and "/" not in name and not os.path.exists(name):
        raise ModelError(f"cannot load {name!r}: no such folder or shipped model; did you mean {near[0]!r}?")
    return name
