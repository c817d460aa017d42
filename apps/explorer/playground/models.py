"""Which model: shipped, from a folder, or from the hub; loaded in the background, and unloaded on demand."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import streamlit as st

from workbench.models import shipped_models
from workbench.views.choices import pick, write
from workbench.views.jobs import Job, computed, forget
from workbench.views.model_cache import LoadedModel, model_cache
from workbench.views.text import plain

_OTHER = "folder or hub id"
_NEXT = (
    "steering",
    "workbench.activations",
    "apps.explorer.playground.inputs",
    "workbench.figures.token_probabilities",
)


def choose_model() -> LoadedModel | None:
    """The chosen model, or None while there is none (the page then says why).

    A shipped model is loaded at once; what an address names is not, since a link must not start a download.
    """
    shipped = [name for name, folder in shipped_models().items() if (folder / "tokenizer.json").exists()]
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    choice = pick("Model", [*shipped, _OTHER], "model", index=_first(shipped), at=left)
    source = choice
    if choice == _OTHER:
        source = write(
            "Folder or Hugging Face id", "source", help="such as ./my-model or Qwen/Qwen3-0.6B", at=right
        ).strip()
        if not source:
            st.info("Name a folder that holds a Hugging Face model, or a model on the hub.")
            return None
    loaded = model_cache().get(source) or _load(source, at_once=choice != _OTHER)
    if loaded is not None:
        _describe(loaded)
    return loaded


def _first(shipped: Sequence[str]) -> int:
    """The place of the first model that plays a game, for who comes without a choice."""
    from workbench.worlds import worlds

    players = [recipe.name for world in worlds().values() if world.games for recipe in world.recipes]
    return next((shipped.index(name) for name in players if name in shipped), 0)


def _load(source: str, at_once: bool) -> LoadedModel | None:
    if not at_once and st.session_state.get("_asked_for") != source:
        if not st.button(f"Load {plain(source)}", type="primary"):
            return None
        st.session_state["_asked_for"] = source

    def work(job: Job) -> bool:
        for module in _NEXT:  # what the page needs next, so that it need not wait for it
            importlib.import_module(module)
        model_cache().load(source)
        return True

    if not computed("model", source, f"Loading {source}", work):
        return None
    loaded = model_cache().get(source)
    if loaded is None:
        st.info(f"{plain(source)} is not loaded any more.")
        if st.button("Load it again", type="primary"):
            forget("model")
            st.rerun()
    return loaded


def _describe(loaded: LoadedModel) -> None:
    model = loaded.model
    left, right = st.columns([5, 1], vertical_alignment="center")
    size = f"{model.n_layers} layers, width {model.d_model}, {loaded.megabytes:.0f} MB of {_dtype(model.dtype)}"
    others = [source for source in model_cache().sources() if source != loaded.source]
    also = f" Also loaded: {', '.join(others)}." if others else ""
    left.caption(plain(f"{size} on {model.device}.{also}"))
    right.button("Unload", on_click=model_cache().unload, args=(loaded.source,), width="stretch")


def _dtype(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")
