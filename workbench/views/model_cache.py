"""The models that the app has loaded: each once, however many tabs look at it, until someone unloads it.

A pass of a model is already kept apart from others of its weights (``workbench.models.backend.one_pass``).  The lock
here is for work of many passes: two tabs on one model take turns instead of slowing each other down.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from workbench.models import LanguageModel, load_model, with_backend
from workbench.views.jobs import Job

_WAIT = 0.2


class LoadedModel:
    """A model, its lock, and the other back ends over the same weights."""

    def __init__(self, source: str, model: LanguageModel) -> None:
        self.source, self.model = source, model
        self._lock = threading.Lock()
        self._others: dict[str, LanguageModel] = {}

    @contextmanager
    def held_by(self, job: Job) -> Iterator[LanguageModel]:
        """The model, to this job alone; a job that waits for its turn can be cancelled."""
        while not self._lock.acquire(timeout=_WAIT):
            job.report(message="(waiting for other work on this model)")
        try:
            job.report(message="")
            yield self.model
        finally:
            self._lock.release()

    def behind(self, backend: str) -> LanguageModel:
        """The same weights behind another back end, made once.  Call it with the lock held."""
        if backend not in self._others:
            self._others[backend] = with_backend(self.model, backend)
            _settle()
        return self._others[backend]

    @property
    def megabytes(self) -> float:
        """Size of the weights."""
        return sum(p.numel() * p.element_size() for p in self.model.backend.hf_model.parameters()) / 1e6


class ModelCache:
    """Loaded models by what they were loaded from: a shipped model's name, a folder or a hub id."""

    def __init__(self) -> None:
        self._models: dict[str, LoadedModel] = {}
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def sources(self) -> list[str]:
        """What is loaded."""
        with self._lock:
            return list(self._models)

    def get(self, source: str) -> LoadedModel | None:
        """The loaded model, or None."""
        with self._lock:
            return self._models.get(source)

    def load(self, source: str) -> LoadedModel:
        """Load a model, or wait for whoever is loading it.  Raises ``ModelError`` as ``load_model`` does."""
        with self._lock:
            turn = self._loading.setdefault(source, threading.Lock())
        with turn:
            found = self.get(source)
            if found is None:
                found = LoadedModel(source, LanguageModel.of(load_model(source)))
                _settle()
                with self._lock:
                    self._models[source] = found
            return found

    def unload(self, source: str) -> None:
        """Forget a model; its memory is free once the work on it has ended.  Does nothing for one that is not there."""
        with self._lock:
            self._models.pop(source, None)
        gc.unfreeze()
        _settle()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _settle() -> None:
    """Keep what libraries and models have made out of later garbage collections.  Streamlit runs a full one after every
    run of a script, which takes a third of a second once torch and transformers are loaded."""
    gc.collect()
    gc.freeze()


@st.cache_resource(show_spinner=False)
def model_cache() -> ModelCache:
    """This server's loaded models."""
    return ModelCache()
