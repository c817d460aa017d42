"""From a spec to what is to be done: which models to capture, and the cells.  Nothing is loaded or run here."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

from probes import make_probe
from workbench.activations.sources import Source, Stored, Task
from workbench.errors import ArtifactError, DataError, SiteError, SpecError, did_you_mean
from workbench.families.probe_sweep.sources import find_source
from workbench.families.probe_sweep.spec import ALL, ModelEntry, SweepSpec, expand_site
from workbench.families.probe_sweep.structured import check_structured, find_structured, structured, structured_probe
from workbench.families.probe_sweep.words import BAG_OF_WORDS
from workbench.models.loading import check_options, check_reads, n_layers_of, shipped_models
from workbench.runs import Cell
from workbench.runs.status import error_line
from workbench.sites import Site, SiteMap

_LONGEST = 110
_SUCH = {"classification": "logistic", "regression": "ridge-regression"}


@dataclass(frozen=True)
class Given:
    """A source with its options, paths made absolute, and what it knows of its labels (None: nothing)."""

    source: Source
    options: Mapping[str, Any]
    columns: Mapping[str, Task] | None


@dataclass(frozen=True)
class CapturePlan:
    """Activations that feed cells: of a model at ``sites``, or ``stored`` ones, also of each of the sweep's tests."""

    model: ModelEntry
    load_from: str
    sites: tuple[Site, ...]
    stored: Stored | None = None
    stored_tests: Mapping[str, Stored] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What its files are called."""
        return capture_key(self.model.name)

    @property
    def step(self) -> str:
        """Its step in the run folder."""
        return f"capture-{self.key}"


@dataclass(frozen=True)
class Plan:
    """All of a sweep: captures and cells, in the order of the results."""

    spec: SweepSpec
    source: Source
    options: Mapping[str, Any]
    tests: Mapping[str, Given]
    captures: tuple[CapturePlan, ...]
    cells: tuple[Cell, ...]

    def cells_of(self, capture: CapturePlan) -> list[Cell]:
        """The cells that read a capture."""
        return [cell for cell in self.cells if cell.values["model"] == capture.model.name]


def make_plan(spec: SweepSpec, base: str | os.PathLike[str] = ".") -> Plan:
    """The captures and cells of a sweep whose file lies in ``base``.

    Raises :class:`SpecError` (or :class:`SiteError`) naming the field and the nearest valid name for a source, site,
    target, probe, metric, back end or dtype that does not exist: all that can be known before a model is loaded.
    """
    check_options(spec.backend, spec.device, spec.dtype)
    own = _given(spec.source, spec, base)
    tests = {name: _given(source, spec, base, f"tests: {name}: ") for name, source in spec.tests.items()}
    for given in (own, *tests.values()):
        if BAG_OF_WORDS in spec.controls and not given.source.texts:
            raise SpecError(f"controls: 'bag_of_words' needs texts, and the source {given.options['kind']!r} has none")
    targets = list(_targets(spec, own.columns))
    probes = list(_probes(spec))
    captures = tuple(_captures(spec, own, tests, Path(base)))
    _check_tasks(spec, targets, [task for _, _, task in probes])
    check_structured(spec, targets)
    for name, given in tests.items():
        _check_test(name, given, own, targets)
    cells = tuple(cell for capture in captures for cell in _cells(spec, capture, targets, probes))
    return Plan(spec, own.source, own.options, tests, captures, cells)


def _given(source: Mapping[str, Any], spec: SweepSpec, base: str | os.PathLike[str], where: str = "") -> Given:
    try:
        found, options = find_source(source["kind"]), dict(source)
        if "path" in options:
            options["path"] = str(Path(base, str(options["path"])).expanduser().resolve())
        return Given(found, options, found.check(options, spec.positions) if found.check else None)
    except (SpecError, DataError) as error:
        raise type(error)(f"{where}{error}") from None


def _check_test(name: str, given: Given, own: Given, targets: list[tuple[str, Task]]) -> None:
    """Every target is there, and no text is both fitted to and tested on."""
    for column, task in targets:
        if task not in _SUCH:
            raise SpecError(f"tests: {name}: the {task} target {column!r} is tested in its own source only")
        if given.columns is not None and column not in given.columns:
            raise SpecError(f"tests: {name}: there is no label {column!r}{did_you_mean(column, given.columns)}")
    if own.source.texts and given.source.texts:
        known = set(own.source.texts(own.options))
        both = [text for text in given.source.texts(given.options) if text in known]
        if both:
            said = f"{len(both)} of its texts are in the source, too, such as {both[0][:60]!r}"
            raise SpecError(f"tests: {name}: {said}: they would be tested by a probe that was fitted to them")


def capture_key(model: str) -> str:
    """A model's name as a file name.

    >>> capture_key("bandit-agent"), capture_key("Qwen/Qwen3-0.6B")
    ('bandit-agent', 'Qwen-Qwen3-0.6B')
    """
    return re.sub(r"[^A-Za-z0-9_.=+@-]+|\.{2,}", "-", model).strip("-.")[-80:] or "model"


def _captures(spec: SweepSpec, own: Given, tests: Mapping[str, Given], base: Path) -> Iterator[CapturePlan]:
    for name, given in tests.items():
        if bool(given.source.stored) != bool(own.source.stored):
            raise SpecError(f"tests: {name}: saved activations are tested on saved activations, texts on texts")
    if own.source.stored:
        if spec.models:
            raise SpecError(f"models: the source {own.options['kind']!r} brings its own activations, leave models out")
        if "untrained" in spec.controls:
            raise SpecError(
                "controls: 'untrained' needs a model to capture, and this source brings its own activations"
            )
        stored = own.source.stored(own.options, spec.positions)
        sites = _known_sites(spec, stored)
        others = {name: _stored_test(name, given, spec, stored) for name, given in tests.items()}
        yield CapturePlan(ModelEntry(model=stored.model), "", sites, stored, others)
        return
    if not spec.models:
        raise SpecError("models: name at least one (a shipped model, a folder or a hub id)")
    keys: dict[str, str] = {}
    for model in spec.models:
        capture = CapturePlan(model, _load_from(model.model, base), ())
        if capture.key in keys:
            raise SpecError(f"models: {model.name!r} and {keys[capture.key]!r} would have the same files: drop one")
        keys[capture.key] = model.name
        yield CapturePlan(model, capture.load_from, _model_sites(spec, model.model, capture.load_from))


def _stored_test(name: str, given: Given, spec: SweepSpec, own: Stored) -> Stored:
    assert given.source.stored is not None
    stored = given.source.stored(given.options, spec.positions)
    if stored.fingerprint != own.fingerprint:
        raise ArtifactError(f"tests: {name}: its activations are another model's than the source's")
    _known_sites(spec, stored)
    return stored


def _load_from(model: str, base: Path) -> str:
    folder = base / model
    return str(folder.resolve()) if model not in shipped_models() and folder.is_dir() else model


def _model_sites(spec: SweepSpec, model: str, load_from: str) -> tuple[Site, ...]:
    check_reads(load_from, "text")
    layers = n_layers_of(load_from)
    try:
        return tuple(dict.fromkeys(site for entry in spec.sites for site in expand_site(entry, layers)))
    except SiteError as error:
        raise SiteError(f"sites of {model}: {error}") from None


def _known_sites(spec: SweepSpec, stored: Stored) -> tuple[Site, ...]:
    held = SiteMap({site: site for site in stored.sites}, stored.n_layers)
    found: list[Site] = []
    for entry in spec.sites:
        head, _, component = entry.partition(".")
        try:
            found += [site for site in held if component in ("", site.component)] if head == ALL else [held[entry]]
        except SiteError as error:
            raise SiteError(f"sites: {error}") from None
    if not found:
        raise SiteError(f"sites: none of {', '.join(spec.sites)} was captured; there are {', '.join(map(str, held))}")
    return tuple(dict.fromkeys(found))


def _targets(spec: SweepSpec, columns: Mapping[str, Task] | None) -> Iterator[tuple[str, Task]]:
    seen = set()
    if columns is not None and spec.types is not None and spec.types not in columns:
        raise SpecError(f"types: there is no label {spec.types!r}{did_you_mean(spec.types, columns)}")
    for entry in spec.targets:
        if columns is None:
            if entry.task is None or "*" in entry.column:
                raise SpecError(f"targets: write {{column: {entry.column}, task: classification}} (or regression)")
            yield entry.column, entry.task
            continue
        found = [column for column in columns if fnmatchcase(column, entry.column)]
        if not found:
            raise SpecError(f"targets: there is no label {entry.column!r}{did_you_mean(entry.column, columns)}")
        for column in found:
            if column not in seen:
                seen.add(column)
                yield column, entry.task or columns[column]


def _probes(spec: SweepSpec) -> Iterator[tuple[str, dict[str, Any], Task]]:
    """Every probe with every combination of its parameters, each made once to see that it can be."""
    from sklearn.base import is_classifier

    for name, given in spec.probes.items():
        axes = [value if isinstance(value, list | tuple) else [value] for value in given.values()]
        for values in product(*axes):
            params = dict(zip(given, values, strict=True))
            try:
                task = structured_probe(name, params)
                made = None if task else make_probe(name, **params)
            except SpecError as error:
                raise SpecError(f"probes: {error}") from None
            kind = task or ("classification" if is_classifier(made) else "regression")
            if made is not None:
                _rehearse(made, kind, f"probes: {name} {params}")
            yield name, params, kind


def _rehearse(probe: Any, task: Task, where: str) -> None:
    """Fit a probe on made-up rows: a value that it cannot be fitted with is to be known before anything is captured."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    given, rng = probe.get_params(), np.random.default_rng(0)
    if "epochs" in given:
        probe.set_params(epochs=min(given["epochs"], 1), device=None)  # that of the cells may be another machine's
    if isinstance(given.get("class_weight"), Mapping):
        probe.set_params(class_weight=None)  # of classes that are not yet known
    x, groups = rng.normal(size=(64, 4)), np.arange(64) // 2
    y = groups % 2 if task == "classification" else rng.normal(size=64)
    try:
        with threadpool_limits(1):
            probe.fit(x, y, groups)
    except Exception as error:  # of whatever kind: each cell of it would fail
        raise SpecError(f"{where}: {error_line(error)}") from None


def _check_tasks(spec: SweepSpec, targets: list[tuple[str, Task]], of_probes: list[Task]) -> None:
    from probes.metrics import check_metrics

    for column, task in targets:
        if task not in (*_SUCH, *structured()):
            raise SpecError(f"targets: unknown task {task!r}{did_you_mean(task, (*_SUCH, *structured()))}")
        if task not in of_probes:
            such = _SUCH[task] if task in _SUCH else find_structured(task).probe
            raise SpecError(f"probes: none is for the {task} target {column!r}: add one ({such}), or give its task")
        if task in _SUCH:
            try:
                check_metrics(spec.metrics or (), task == "classification")
            except SpecError as error:
                raise SpecError(f"metrics, for the target {column!r}: {error}") from None


def _cells(
    spec: SweepSpec,
    capture: CapturePlan,
    targets: list[tuple[str, Task]],
    probes: list[tuple[str, dict[str, Any], Task]],
) -> Iterator[Cell]:
    # Sites vary slowly: cells that a worker gets one after another read the same activations.
    for position, site, (target, task) in product(spec.positions, capture.sites, targets):
        for (probe, params, kind), seed in product(probes, spec.seeds):
            if kind == task:
                where = {"model": capture.model.name, "site": str(site), "layer": site.layer}
                what = {"component": site.component, "position": position, "target": target, "task": task}
                values = where | what | {"probe": probe, "params": params, "seed": seed}
                yield Cell(_cell_name(values), values)


def _cell_name(values: Mapping[str, Any]) -> str:
    """Readable as far as it goes, and unique through a digest of all values."""
    params = "".join(f"-{name}={value}" for name, value in values["params"].items())
    short = f"{values['layer']}-{values['component']}"
    parts = [values["model"], short, values["position"], values["target"], f"{values['probe']}{params}"]
    text = re.sub(r"[^A-Za-z0-9_.=+@-]+|\.{2,}", "-", ",".join(parts).replace(",", "_"))
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    return f"{text.strip('-.')[:_LONGEST]}_s{values['seed']}-{digest}"
