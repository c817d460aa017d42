"""What a direction or a probe reads off every token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from apps.explorer.playground.drawer import digest, probe_files, read_vector, vector_names
from apps.explorer.playground.inside_views import captured, choose_sinks
from apps.explorer.playground.sides import Sides
from workbench.errors import ArtifactError
from workbench.labels import SINK
from workbench.sites import Site
from workbench.views.charts import show
from workbench.views.choices import pick, slide
from workbench.views.jobs import Job, computed
from workbench.views.model_cache import LoadedModel
from workbench.views.text import plain

_PROBE = "probe: "


def score_view(loaded: LoadedModel, sides: Sides, runs: pd.DataFrame) -> None:
    """Every token coloured by its score, and the scores as lines, unsteered beside steered."""
    vectors, probes = vector_names(runs, loaded.model), probe_files()
    options = [*vectors, *(f"{_PROBE}{name}" for name in probes)]
    if not options:
        st.info("There is no vector and no probe yet: make a vector in the view Make a vector.")
        return
    left, right = st.columns(2)
    chosen = pick(
        "Vector or probe", options, "scorer", help="probes are those in the folder probes beside the runs", at=left
    )
    if chosen.startswith(_PROBE):
        scorer, name = _probe(probes[chosen.removeprefix(_PROBE)], loaded), "score"
        site, stamp = scorer.site_, chosen
    else:
        from dataclasses import replace

        vector = read_vector(chosen, vectors, loaded.model)
        layer = slide("Layer", 0, loaded.model.n_layers - 1, f"score-layer-{chosen}", vector.site.layer, 1, at=right)
        site, scorer, name = replace(vector.site, layer=layer), vector, "projection"
        stamp = digest(vector)

    found = computed(
        "scores",
        (sides.stamp, stamp, str(site)),
        "Scoring tokens",
        lambda job: _scores(loaded, sides, site, scorer, job),
    )
    if found is not None:
        st.caption(f"Read at layer {site.layer:d}, {plain(site.component.replace('_', ' '))}.")
        _draw(found, sides, name)


def _probe(path: Any, loaded: LoadedModel) -> Any:
    from probes.saving import load_probe

    probe = load_probe(path, loaded.model)
    if not hasattr(probe, "decision_function") and not hasattr(probe, "predict"):
        raise ArtifactError(f"{path.stem} gives no score for a single token")
    return probe


def _scores(loaded: LoadedModel, sides: Sides, site: Site, scorer: Any, job: Job) -> pd.DataFrame:
    from probes import scores_of

    with loaded.held_by(job) as model:
        rows, table = captured(model, sides, site)
    return table.assign(score=scores_of(scorer, rows))


def _draw(table: pd.DataFrame, sides: Sides, name: str) -> None:
    from workbench.figures.token_probabilities import token_score_lines
    from workbench.figures.token_strip import token_strip

    table = table.assign(**{SINK: choose_sinks(table, ", outlined and dotted")})
    limit = float(np.quantile(table.loc[~table[SINK], "score"].abs(), 0.95)) or 1.0
    for column, side in zip(st.columns(len(sides.sides)), sides.sides, strict=True):
        rows = table[table["condition"] == side.name]
        with column:
            st.subheader(plain(side.name))
            sinks = np.flatnonzero(rows[SINK]).tolist()
            st.html(token_strip(rows["text"].tolist(), rows["score"].tolist(), limit=limit, sinks=sinks))
    show(token_score_lines(table, name), key="scores")
    with st.expander("Numbers of every token"):
        st.dataframe(table, hide_index=True, key="score-numbers")
