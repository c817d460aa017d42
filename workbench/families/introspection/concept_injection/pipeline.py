"""The order of a concept-injection run.  Each step is a unit of the run folder: finished units are never done again."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.families.introspection.concept_injection.job import Job, layers_of, words_of
from workbench.families.introspection.concept_injection.judge import check_judge
from workbench.families.introspection.concept_injection.orderings import orderings
from workbench.families.introspection.concept_injection.prompts import need_chat
from workbench.families.introspection.concept_injection.protocols import arms_of
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.concept_injection.summary import choose, gather, held_out, results_table, split
from workbench.families.introspection.concept_injection.units import units_of
from workbench.families.units import Say, run_units
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, n_layers_of
from workbench.provenance import provenance
from workbench.runs import RunFolder

__all__ = ["plan", "run"]


def plan(spec: InjectionSpec) -> list[tuple[str, str, int]]:
    """Units in order: (name, what it does, completions it draws)."""
    units = units_of(spec, layers_of(spec, n_layers_of(spec.model)))
    return [(unit.name, unit.what, unit.completions) for unit in units]


def run(
    spec: InjectionSpec,
    root: str | os.PathLike[str],
    name: str | None = None,
    progress: bool = False,
    say: Say | None = None,
) -> Path:
    """Run (or go on with) a concept-injection run in ``root``; return its folder.

    Tables end up in the folder's artifacts (``results``, ``held_out``, ``vectors``, ``orderings``), the concept vectors
    beside them as :class:`SteeringVector` files.  ``say`` gets one line a unit.  Raises :class:`ModelError` for a model
    without a chat template.
    """
    words_of(spec)  # a word list or judge that cannot be used is refused before anything is run
    if spec.judge:
        check_judge(spec.judge)
    model = LanguageModel.of(
        load_model(spec.model, spec.backend, device=spec.device, device_map=spec.device_map, dtype=spec.dtype)
    )
    need_chat(model)
    layers = layers_of(spec, model.n_layers)
    with RunFolder.open(root, "concept-injection", spec, name, provenance(model, spec.seed)) as folder:
        job = Job(model, spec, folder, progress)
        run_units(folder, units_of(spec, layers), job, say)
        _summarise(job)
    return folder.path


def _summarise(job: Job) -> None:
    """Everything that follows from the rows, computed again at the end of every session."""
    folder, rows = job.folder, gather(job.folder)
    selecting, tested = split(rows)
    chosen = choose(selecting)
    folder.save_table("results", results_table(rows))
    folder.save_table("held_out", held_out(tested, chosen))
    folder.save_table("orderings", orderings(rows, tested, chosen))
    folder.save_table("vectors", folder.read("vectors"))
    folder.write_json("chosen", chosen)
    folder.write_json("scopes", _scopes(job))
    _save_vectors(job, chosen)


def _save_vectors(job: Job, chosen: dict[str, dict[str, float]]) -> None:
    """The concepts' vectors at the layer chosen for detection (else two thirds up), as files that steering loads."""
    at = chosen.get("detection/standard", {"layer": job.layers[2 * (len(job.layers) - 1) // 3]})
    for word, vector in job.vectors[int(at["layer"])].items():
        vector.save(job.folder.path / "artifacts" / f"vector-{word.replace(' ', '-')}.safetensors")


def _scopes(job: Job) -> list[dict[str, object]]:
    """The exact injected positions of every arm, for the first concept."""
    word = next(iter(job.words.concepts))
    found: list[dict[str, object]] = []
    for protocol in job.spec.protocols:
        for arm in arms_of(job.spec, protocol) if protocol != "control" else ():
            placed = job.place(arm.ask(job, 0, word))
            where = {"start": placed.start, "stop": placed.stop, "prompt_tokens": len(placed.tokens)}
            text = job.model.decode(placed.tokens[placed.start : placed.stop])
            found.append({"protocol": protocol, "arm": arm.name, **where, "text": text})
    return found
