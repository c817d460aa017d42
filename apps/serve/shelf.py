"""The vectors and probes that requests may name: those the server was started with.

A request never says a path.  Everything is read and checked against the model before the first request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from apps.serve.fields import Gate, Steering
from apps.serve.refusals import check_named
from probes import load_probe
from steering import (
    Add,
    Cosine,
    ProbeScore,
    SetProjection,
    SteeringVector,
    at_layer,
    conditional,
    import_vectors,
)
from workbench.console import log
from workbench.errors import ArtifactError, DataError, SpecError
from workbench.models.interventions import Intervention, Scope
from workbench.models.language_model import LanguageModel


@dataclass
class Shelf:
    """Named vectors and probes of one model.  A name may stand for vectors at several layers, as a control vector's."""

    model: LanguageModel
    vectors: dict[str, list[SteeringVector]] = field(default_factory=dict)
    probes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, model: LanguageModel, vectors: Iterable[str] = (), probes: Iterable[str] = (), folder: Path | None = None
    ) -> Shelf:
        """From ``NAME=FILE`` of each, and the vectors of a folder, which are named as their files.

        Raises :class:`SpecError` for what is not ``NAME=FILE`` or a name given twice, and :class:`ArtifactError` for
        what is no vector or probe, or one of another model.  What else lies in the folder is left out, with a line.
        """
        found = {name: import_vectors(path, model=model) for name, path in _named(vectors, "--vector").items()}
        for name, own in ({} if folder is None else _of_folder(folder, model)).items():
            if name in found:
                raise SpecError(f"two vectors are named {name!r}: one by --vector, one in {folder}")
            found[name] = own
        read = {name: load_probe(path, model) for name, path in _named(probes, "--probe").items()}
        for name, probe in read.items():
            width = model.forward([[0]], sites=[probe.site_]).activations[probe.site_].shape[-1]
            if probe.n_features_in_ != width:
                raise ArtifactError(f"probe {name!r} reads {probe.n_features_in_} features, {probe.site_} has {width}")
        return cls(model, found, read)

    def interventions(self, asked: Sequence[Steering]) -> list[Intervention]:
        """What a request asks for, fit for the model; a vector that is not here is a 404."""
        return self.model.placed([one for each in asked for one in self._interventions(each)])

    def _interventions(self, asked: Steering) -> list[Intervention]:
        check_named(asked.vector, self.vectors, "vector", "steering")
        scope = Scope() if asked.scope is None else Scope.parse(asked.scope)
        found: list[Intervention] = []
        for vector, site in at_layer(self.vectors[asked.vector], asked.layer, self.model.n_layers):
            if asked.target is not None:
                found.append(SetProjection(vector, asked.target, site=site, scope=scope))
            else:
                found.append(Add(vector, asked.multiplier, dose=asked.dose, site=site, scope=scope))
        return found if asked.gate is None else conditional(found, self._condition(asked.gate))

    def _condition(self, asked: Gate) -> Cosine | ProbeScore:
        between: dict[str, Any] = {"above": asked.above, "below": asked.below}
        if asked.probe is not None:
            check_named(asked.probe, self.probes, "probe", "steering")
            return ProbeScore(self.probes[asked.probe], target=asked.target, **between)
        assert asked.vector is not None
        check_named(asked.vector, self.vectors, "vector", "steering")
        several = at_layer(self.vectors[asked.vector], asked.layer, self.model.n_layers)
        if len(several) > 1:
            layers = ", ".join(str(site.layer) for _, site in several)
            raise SpecError(f"a gate reads one vector: say which layer of {asked.vector!r} ({layers})")
        return Cosine(several[0][0], site=several[0][1], **between)

    def scores(self, name: str, activations: np.ndarray) -> list[Any]:
        """What a probe says of activations [token, d]: a number a token (of two classes, positive for the second), or
        one a class."""
        probe = self.probes[name]
        score = getattr(probe, "decision_function", None) or getattr(probe, "predict_proba", None) or probe.predict
        return np.asarray(score(activations)).tolist()

    def about(self) -> dict[str, Any]:
        """What is here, as a request may name it."""
        return {
            "vectors": {
                name: [{"site": str(v.site), "norm": v.norm, "residual_norm": v.residual_norm} for v in own]
                for name, own in self.vectors.items()
            },
            "probes": {name: self.about_probe(name) for name in self.probes},
        }

    def about_probe(self, name: str) -> dict[str, Any]:
        """Where a probe reads, and the classes that it tells apart."""
        probe = self.probes[name]
        classes = getattr(probe, "classes_", None)
        return {"site": str(probe.site_), "classes": None if classes is None else np.asarray(classes).tolist()}


def _named(given: Iterable[str], option: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for each in given:
        name, _, path = each.partition("=")
        if not (name and path):
            raise SpecError(f"{option} {each!r}: write NAME=FILE")
        if name in found:
            raise SpecError(f"{option} names {name!r} twice")
        found[name] = Path(path).expanduser()
    return found


def _of_folder(folder: Path, model: LanguageModel) -> dict[str, list[SteeringVector]]:
    folder = folder.expanduser()
    if not folder.is_dir():
        raise SpecError(f"--vectors {folder}: there is no such folder")
    found = {}
    for path in sorted(each for kind in ("*.safetensors", "*.gguf") for each in folder.glob(kind)):
        try:
            found[path.stem] = import_vectors(path, model=model)
        except (ArtifactError, DataError) as error:
            log(f"left out: {error}")
    return found
