"""Making a vector from two lists of prompts, bringing one from a file, and saving it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from apps.explorer.playground.drawer import keep, read_upload, save, vector_names
from steering import SteeringVector, get_estimator
from workbench.activations import capture
from workbench.activations.sinks import LEFT_OUT
from workbench.errors import DataError
from workbench.models import LanguageModel
from workbench.models.fingerprint import stamp_of
from workbench.runs.names import check_name
from workbench.sites import Site
from workbench.views.charts import show
from workbench.views.choices import pick, slide, switch, write
from workbench.views.jobs import Job, computed
from workbench.views.model_cache import LoadedModel
from workbench.views.text import errors_shown, plain

_ESTIMATORS = {
    "mean_difference": "mean difference", "pca_difference": "first principal component of the differences",
    "linear_probe": "logistic regression",
}  # fmt: skip
_READ = {"last": "last token", "mean": "mean over tokens", "first": "first token"}
_TOWARDS = "Thought: I am not sure which one is better.\nThought: Let me try the other one."
_AWAY = "Thought: This one is the best.\nThought: I stay with the best one."
_MOST = 500  # prompts a list


def make_view(loaded: LoadedModel, runs: pd.DataFrame) -> None:
    """The form, the last vector that was made, and the drawer."""
    st.caption("One prompt a line. The vector leads from what the second list does inside the model to the first.")
    left, right = st.columns(2)
    positive = write("Towards", "positive", _TOWARDS, rows=4, at=left)
    negative = write("Away from", "negative", _AWAY, rows=4, at=right)
    first, second, third, fourth = st.columns(4)
    layer = slide("Layer", 0, loaded.model.n_layers - 1, "make-layer", loaded.model.n_layers // 2, 1, at=first)
    position = pick("Read at", list(_READ), "make-read", show=_READ.__getitem__, at=second)
    estimator = pick("Estimator", list(_ESTIMATORS), "make-estimator", show=_ESTIMATORS.__getitem__, at=third)
    name = write("Name", "make-name", "my-vector", at=fourth).strip()
    paired = switch("Line by line: each with the one beside it", "make-paired")
    lists = (_lines(positive), _lines(negative))
    if st.button("Make the vector", type="primary"):
        check_name(name, "vector")
        st.session_state["_make"] = (loaded.source, *lists, layer, position, estimator, paired, name)
    asked = st.session_state.get("_make")
    if asked and asked[0] == loaded.source:
        _made(loaded, asked)
    _save(loaded, runs)
    _upload(loaded)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())


def _made(loaded: LoadedModel, asked: tuple[Any, ...]) -> None:
    _, positive, negative, layer, position, estimator, paired, name = asked

    def work(job: Job) -> Any:
        with loaded.held_by(job) as model:
            return make_vector(model, positive, negative, layer, position, estimator, paired, name)

    found = computed("make", asked, "Making the vector", work)
    if found is None:
        return
    from workbench.figures.components import component_scatter

    vector, table, explained = found
    if st.session_state.get("_kept") is not asked:  # once: it may have been saved since
        keep(name, vector)
        st.session_state["_kept"] = asked
        st.rerun()  # the list of vectors above was drawn without it
    means = table.groupby("condition")["projection"].mean()
    gap = means["positive"] - means["negative"]
    st.success(
        f"{plain(name)}: length {vector.norm:.3g} at layer {layer:d}; the lists lie {gap:.3g} apart along it. "
        "Choose it under Steering vectors."
    )
    if vector.metadata.get(LEFT_OUT):
        st.caption(f"The means leave out {vector.metadata[LEFT_OUT]:d} positions that are attention sinks.")
    if explained:
        show(component_scatter(table, explained), key="make-pca")
        st.caption("The prompts on the first two principal components of their activations.")


def make_vector(
    model: LanguageModel, positive: tuple[str, ...], negative: tuple[str, ...], layer: int, position: str,
    estimator: str, paired: bool, name: str,
) -> tuple[SteeringVector, pd.DataFrame, list[float]]:  # fmt: skip
    """The vector, the prompts with their projections on it and their principal components, and the shares explained
    (empty for fewer than three prompts)."""
    from workbench.activations.components import principal_components

    if not positive or not negative or max(len(positive), len(negative)) > _MOST:
        raise DataError(f"{len(positive)} and {len(negative)} prompts: each list needs 1 to {_MOST}")
    if paired and len(positive) != len(negative):
        raise DataError(f"{len(positive)} and {len(negative)} prompts cannot be taken line by line: write as many")
    site, prompts = Site(layer), [*positive, *negative]
    captured = capture(model, prompts, site, position)
    z, left_out = captured[site], captured.labels.get(LEFT_OUT)
    labels = [True] * len(positive) + [False] * len(negative)
    groups = [*range(len(positive)), *range(len(negative))] if paired else None
    metadata = {
        "estimator": estimator, "read_at": position, "paired": paired, "model": model.name,
        "positive": list(positive), "negative": list(negative),
    } | ({} if left_out is None else {LEFT_OUT: int(left_out.sum())})  # fmt: skip
    direction = get_estimator(estimator)(z, labels, groups)
    vector = SteeringVector(site, direction, **stamp_of(model), name=name, metadata=metadata)
    conditions = ["positive" if label else "negative" for label in labels]
    table = pd.DataFrame({"condition": conditions, "text": prompts, "projection": vector.project(z).numpy()})
    if len(prompts) < 3:
        return vector, table, []
    found = principal_components(z)
    table = table.assign(first=found.scores[:, 0].numpy(), second=found.scores[:, 1].numpy())
    return vector, table, found.explained.tolist()


def _save(loaded: LoadedModel, runs: pd.DataFrame) -> None:
    unsaved = [name for name, path in vector_names(runs, loaded.model).items() if path is None]
    for name in unsaved:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(name)}** is known to this tab only.")
            if st.button(f"Save {plain(name)}", key=f"save-{name}"):
                st.session_state["_saved"] = str(save(name))
                st.rerun()
    if "_saved" in st.session_state:
        st.success(f"Saved as {plain(st.session_state.pop('_saved'))}")


def _upload(loaded: LoadedModel) -> None:
    with st.expander("Bring a vector from a file"):
        given = st.file_uploader("safetensors, GGUF control vector, persona vectors (.pt)", key="vector-file")
        if given is None:
            return
        with errors_shown():
            vectors = read_upload(given.name, given.getvalue(), loaded.model)
            sites = [str(vector.site) for vector in vectors]
            site = pick("Which", sites, "upload-site")
            name = write("Name", "upload-name", "uploaded", help="letters, digits and _.,=+@-").strip()
            if st.button("Take it"):
                keep(name, vectors[sites.index(site)])
                st.rerun()
