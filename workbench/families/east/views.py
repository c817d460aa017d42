"""EAST in the explorer: figures, words, and what the agent said steered beside unsteered; on demand each token coloured
by its projection.

Runs keep texts and no activations.  So the run's own model is loaded (and refused when its fingerprint is another
one's), the episode's prompts are written again, and each step is read in one pass with the vector added exactly where
it was when the text was said.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from steering import Add, SteeringVector
from workbench.errors import ArtifactError, RunError
from workbench.families import Table, View
from workbench.families.east.figures.looks import look
from workbench.families.east.spec import EastSpec
from workbench.figures.record import Record, Tables
from workbench.figures.style import words
from workbench.figures.token_strip import token_strip
from workbench.models import shipped_models
from workbench.runs import RunRecord
from workbench.seeding import derive_seed
from workbench.spec_files import validated
from workbench.views.choices import pick, slide, switch
from workbench.views.jobs import Job, computed
from workbench.views.model_cache import LoadedModel, model_cache
from workbench.views.text import plain


def views() -> tuple[View, ...]:
    """The tabs beside the claims."""
    return (
        View("Figures", figures=("",)),
        View("Words", figures=("words-",), tables=_words),
        View("Transcripts", draw=transcripts),
    )


def _words(record: Record) -> Iterator[Table]:
    """All words; the figure shows those that change most."""
    table = Tables(record).table("words")
    for rendering, part in table.groupby("rendering", sort=False) if table is not None else ():
        shown = part.drop(columns="rendering").sort_values("ratio", ascending=False)
        yield Table(
            f"All words, {words(str(rendering))}", shown,
            "Counts in thoughts with EAST and without; ratio of their relative frequencies.",
        )  # fmt: skip


_PER_PAGE = 10


@dataclass(frozen=True)
class Projected:
    """Tokens of one answer and the projection of each on the vector (of length 1, so in units of the stream)."""

    texts: list[str]
    values: list[float]


def transcripts(run: RunRecord) -> None:
    """The same episode (same bandit, same seeds) unsteered and steered, step by step."""
    both = [_played(run, kind) for kind in ("behaviour", "steered")]
    renderings = [] if any(part.empty for part in both) else list(dict.fromkeys(both[1]["rendering"]))
    if not renderings:
        st.info("This run has not played steered episodes.")
        return
    first, second, third, fourth = st.columns(4)
    rendering = pick("Rendering", renderings, key="rendering", show=words, at=first)
    steps = pd.concat(both, ignore_index=True)
    steps = steps[steps["rendering"] == rendering]
    setting = pick("Mean rewards", list(dict.fromkeys(steps["setting"])), key="setting", at=second)
    steps = steps[steps["setting"] == setting]
    episode = pick("Episode", sorted(steps["episode"].astype(str).unique(), key=int), key="episode", at=third)
    methods = [name for name in dict.fromkeys(steps["method"]) if name != "unsteered"]
    method = pick("Beside unsteered", methods, key="beside", show=lambda name: look(name).name, at=fourth)
    steps = steps[steps["episode"].astype(str) == episode]
    beside = {name: steps[steps["method"] == name].sort_values("step") for name in ("unsteered", method)}
    first_step = _first_step(max(map(len, beside.values())))
    shown = {name: part[part["step"].between(first_step, first_step + _PER_PAGE - 1)] for name, part in beside.items()}
    found = None
    if switch(
        "Colour tokens by their projection on the vector", "colour", help="reads the episode with the run's model"
    ):
        found = _projections(run, rendering, beside, first_step, (setting, episode, method))
    _beside(shown, found)


def _played(run: RunRecord, kind: str) -> pd.DataFrame:
    """The rows of all finished steps of a kind."""
    found = Tables(run).rows(kind)
    return pd.DataFrame() if found is None else found


def _first_step(count: int) -> int:
    if count <= _PER_PAGE:
        return 0
    return slide("From step", 0, max(0, count - _PER_PAGE), key="from", help=f"{_PER_PAGE} steps are shown")


def _beside(shown: Mapping[str, pd.DataFrame], found: Mapping[str, Mapping[int, Projected]] | None) -> None:
    centre, limit = _scale(found) if found else (0.0, 1.0)
    if found:
        st.caption(
            f"Orange: above {centre:.2f}, the mean projection of these unsteered answers; blue: below it; full colour "
            f"at {limit:.2f} away. Read at the vector's layer, where steering itself adds its multiple of the vector."
        )
    for column, (name, steps) in zip(st.columns(2), shown.items(), strict=True):
        with column:
            st.subheader(plain(look(name).name))
            if steps.empty:
                st.info("This episode ended before these steps.")
            for step in steps.to_dict("records"):
                tokens = (found or {}).get(name, {}).get(int(step["step"]))
                st.html(_step(step, tokens, centre, limit))


def _scale(found: Mapping[str, Mapping[int, Projected]]) -> tuple[float, float]:
    """The middle of the colours and where they are strongest."""
    values = {name: np.concatenate([p.values for p in steps.values()]) for name, steps in found.items() if steps}
    everything = np.concatenate(list(values.values()))
    centre = float(values.get("unsteered", everything).mean())
    return centre, float(np.quantile(np.abs(everything - centre), 0.95)) or 1.0


def _step(step: Mapping[Any, Any], tokens: Projected | None, centre: float, limit: float) -> str:
    """A step as HTML: its number and entropy, what was said, what was answered."""
    if tokens is None:
        said = f'<div style="white-space:pre-wrap">{html.escape(str(step["completion"]).strip())}</div>'
    else:
        notes = [f"projection {value:.3f}" for value in tokens.values]
        said = token_strip(tokens.texts, [value - centre for value in tokens.values], notes, limit)
    head = html.escape(f"step {step['step']}, entropy {step['entropy']:.2f} nats")
    told = html.escape(str(step["feedback"]).strip())
    return (
        '<div class="step" style="margin:0 0 .7rem 0;padding-left:.6rem;border-left:2px solid rgba(128,128,128,.4)">'
        f'<small style="opacity:.7">{head}</small>{said}<div style="opacity:.75"><i>{told}</i></div></div>'
    )


def _projections(
    run: RunRecord, rendering: str, both: Mapping[str, pd.DataFrame], first_step: int, chosen: tuple[str, ...]
) -> dict[str, dict[int, Projected]] | None:
    """The colours of the steps shown, or None while they are computed (the page then shows how far it is)."""
    source = str(run.spec.get("model", ""))
    if not _may_load(source):
        return None

    def work(job: Job) -> dict[str, dict[int, Projected]]:
        loaded = model_cache().load(source)
        return project_episode(loaded, run, rendering, both, range(first_step, first_step + _PER_PAGE), job)

    inputs = (str(run.path), run.status.updated, rendering, chosen, first_step)
    return computed("east-colours", inputs, "Reading the episode", work)


def _may_load(source: str) -> bool:
    """A shipped model is loaded at once; any other is not before someone says so: a link must not start a download."""
    if source in shipped_models() or model_cache().get(source) or st.session_state.get("_may_load") == source:
        return True
    if st.button(f"Load {plain(source)}", type="primary"):
        st.session_state["_may_load"] = source
        return True
    return False


def project_episode(
    loaded: LoadedModel, run: RunRecord, rendering: str, both: Mapping[str, pd.DataFrame], wanted: range, job: Job
) -> dict[str, dict[int, Projected]]:
    """``{method: {step: tokens and projections}}`` of an episode's wanted steps.

    ``both``: all steps of the episode by method.  Raises :class:`ArtifactError` when the model is not the one that the
    run was made with.
    """

    from workbench.families.east.collect import agent_for
    from workbench.worlds.bandits.agents.rollout import prompts_of

    spec = validated(EastSpec, dict(run.spec), f"the spec of {run.experiment}/{run.name}")
    with loaded.held_by(job) as model:
        _check(run, model.fingerprint, model.name)
        path = run.path / "artifacts" / f"vector-{rendering}.safetensors"
        if not path.exists():
            raise RunError(f"the run {run.name} has no vector {path.name}, so there is nothing to project on")
        model = model.with_template(**spec.template)
        vector = SteeringVector.load(path).for_model(model)
        agent = agent_for(model, spec, rendering)
        adds = _interventions(run, rendering, vector, spec)
        total = sum(int(steps["step"].isin(wanted).sum()) for steps in both.values())
        found: dict[str, dict[int, Projected]] = {}
        done = 0
        for method, steps in both.items():
            found[method] = {}
            for prompt, step in zip(prompts_of(agent, steps), steps.to_dict("records"), strict=True):
                if step["step"] in wanted:
                    job.report(done=done, total=total)
                    found[method][int(step["step"])] = _read(model, vector, prompt, step, adds.get(method, []))
                    done += 1
    return found


def _check(run: RunRecord, fingerprint: str, name: str) -> None:
    made: Any = run.provenance.get("model") or {}
    stamp = made.get("fingerprint")
    if stamp and stamp != fingerprint:
        raise ArtifactError(
            f"this run was made with other weights (fingerprint {str(stamp)[:12]}) than those of {name} "
            f"({fingerprint[:12]}): its texts cannot be read with this model"
        )


def _interventions(run: RunRecord, rendering: str, vector: SteeringVector, spec: EastSpec) -> dict[str, list[Any]]:
    """What each method added while the episodes were played."""
    multiplier = float(run.read_json("chosen")[rendering]["multiplier"])
    shuffled = vector.shuffled(derive_seed(spec.seed, "shuffled", 0))
    return {"east": [Add(vector, multiplier)], "shuffled": [Add(shuffled, multiplier)]}


def _read(model: Any, vector: SteeringVector, prompt: list[int], step: Mapping[Any, Any], adds: list[Any]) -> Projected:
    from workbench.models.continuations import as_generated
    from workbench.models.token_probabilities import token_texts

    said = model.encode_continuation(str(step["completion"]).rstrip(), after=prompt)
    tokens = prompt + said
    seen = model.forward([tokens], [vector.site], as_generated(adds, len(prompt))).activations[vector.site][0]
    values = vector.project(seen[len(prompt) :].float().cpu())
    return Projected(token_texts(model, said), values.tolist())
