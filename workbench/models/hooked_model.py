"""``HookedModel``: what every model that can be read and steered is, whatever it reads.

Its kinds are :class:`workbench.models.LanguageModel` (text) and :class:`workbench.models.SequenceModel` (observations);
each says how an input becomes the rows of a padded batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from workbench.arguments import flag, shown
from workbench.errors import DataError, ModelError, SiteError, warn
from workbench.models import alike, inputs
from workbench.models.backend import Backend
from workbench.models.contract import positions_of
from workbench.models.fingerprint import check_stamp, fingerprint
from workbench.models.interventions import Intervention, Placed, Where, for_model
from workbench.models.norms import component_norms, typical_norm
from workbench.models.padding import by_length, padding_matters, together
from workbench.models.sinks import SinkHabit
from workbench.sites import Site, SiteMap, parse_sites

_LONG = 1_000_000  # tokens of a prompt whose end is far from its beginning
_ADVICE = "vector.for_model(model, force=True) steers it all the same"


@dataclass(frozen=True)
class Forward:
    """One pass over a right-padded batch: ``activations[site]`` [batch, pos, d]; ``logits`` [batch, pos, vocab] or
    None; ``lengths`` tokens a row.  Entries past a row's length are meaningless.  ``activations`` may be asked by site,
    hook name or layer (``["1.resid_post"]``, ``[-1]``)."""

    activations: SiteMap[Tensor]
    logits: Tensor | None
    lengths: list[int]


class HookedModel(ABC):
    """A model whose residual stream can be read and steered.  Made by :func:`workbench.models.load_model`."""

    reads: str  # what its inputs are, in a word
    _said_sinks = False

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend, self.name = backend, name
        self._norms: dict[str, list[float]] = {}
        self.fingerprint  # noqa: B018 - before anything changes the weights' names or values

    @classmethod
    def of(cls, model: HookedModel) -> Self:
        """``model``, known to be of this kind; :class:`ModelError` when it is of another.

        >>> from workbench.models import LanguageModel
        >>> from workbench.models.tiny import tiny_model
        >>> LanguageModel.of(tiny_model()).name
        'tiny-llama'
        """
        if not isinstance(model, cls):
            raise ModelError(f"{model.name} reads {model.reads}, not {cls.reads}: a {cls.__name__} is needed here")
        return model

    @abstractmethod
    def encode_all(self, prompts: Sequence[Any], what: str = "input", first: int = 0) -> list[Any]:
        """The inputs as rows of one entry a position; one that does not fit the model raises :class:`DataError`, which
        calls it ``what`` and counts from ``first``."""

    @abstractmethod
    def _pad(self, rows: Sequence[Any]) -> Tensor:
        """Rows of :meth:`encode_all` as one tensor [batch, pos, ...], padded on the right."""

    @property
    def backend_name(self) -> str:
        """``hf``, ``transformer_lens`` or ``nnsight``."""
        return self.backend.name

    @property
    def basis(self) -> str:
        """``raw`` unless the back end folds or centres weights, which changes the residual stream's basis."""
        return self.backend.basis

    @property
    def config(self) -> Any:
        """The Hugging Face configuration (of the text model, for a multimodal one)."""
        return self.backend.hf_model.config.get_text_config()

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return int(self.config.num_hidden_layers)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where tokens go in."""
        return self.backend.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.backend.hf_model.dtype

    @property
    def precision(self) -> str:
        """The name of ``dtype``; stamped on every artifact beside the fingerprint."""
        return str(self.dtype).removeprefix("torch.")

    @cached_property
    def fingerprint(self) -> str:
        """Identifies configuration and weights; stamped on every artifact."""
        return fingerprint(self.backend.hf_model)

    @cached_property
    def sinks(self) -> SinkHabit:
        """Whether and where it makes attention sinks, and how long its residual stream is elsewhere; seen in one pass
        over a few short texts when it is first asked for."""
        return SinkHabit.of(self)

    def __repr__(self) -> str:
        shape = f"{self.n_layers} layers x {self.d_model}"
        return f"{type(self).__name__}({self.name!r}, {self.backend_name}, {shape}, {self.dtype}, {self.device})"

    def forward(
        self,
        prompts: Sequence[Any],
        sites: Site | str | int | Iterable[Site | str | int] = (),
        interventions: Sequence[Intervention] = (),
        logits: bool = False,
        *,
        select: Callable[[Tensor], Tensor] | Mapping[Site, Callable[[Tensor], Tensor]] | None = None,
        row_numbers: Sequence[int] | None = None,
    ) -> Forward:
        """Activations at ``sites`` (and logits) of whole prompts, in one right-padded pass without autograd.

        The pass ends at the deepest site unless logits are asked for.

        Args:
            prompts: as the model takes them.
            sites: one or several: sites, their text, or layers (negative: from the end).
            interventions: what steers the pass, before activations are read; every token counts as prompt.
            logits: whether to return them.
            select: applied to each activation as it is read; its result is kept and the rest freed at once.  Or one a
                site, each called once: as the pass goes, for sites in its order.
            row_numbers: which row of a per-row intervention each prompt is; by default 0, 1, ...

        Returns:
            Activations by site, logits and lengths.

        Raises:
            DataError: for prompts or interventions that cannot be used.
            SiteError: for a site that the model or its back end does not have.
            ModelError: for more tokens than the model has positions.
        """
        logits = flag(logits, "logits")
        if not (select is None or callable(select) or isinstance(select, Mapping)):
            raise DataError(f"select must be a function of activations, not {shown(select)}")
        sites = self._check_sites(sites, self.backend.components)
        chosen = dict(select) if isinstance(select, Mapping) else {} if select is None else dict.fromkeys(sites, select)
        rows = self.encode_all(prompts)
        interventions = self.placed(interventions)
        self._check_room(rows, 0)
        numbers = inputs.row_numbers(row_numbers, len(rows))
        if len(groups := by_length(rows)) > 1 and padding_matters(self.backend, max(map(len, rows))):
            found, out = self._run_apart(groups, rows, numbers, sites, interventions, logits)
            found = {site: chosen[site](x) if site in chosen else x for site, x in found.items()}
        else:
            found, out = self._run(rows, numbers, sites, interventions, logits, chosen)
        return Forward(SiteMap(found, self.n_layers), out, [len(row) for row in rows])

    def _run(
        self,
        rows: Sequence[Any],
        numbers: Sequence[int],
        sites: Sequence[Site],
        interventions: Sequence[Intervention],
        logits: bool,
        select: Mapping[Site, Callable[[Tensor], Tensor]] | None = None,
    ) -> tuple[dict[Site, Tensor], Tensor | None]:
        """Activations and logits of rows in one padded pass."""
        found: dict[Site, Tensor] = {}
        readers = {site: _reading(site, found, (select or {}).get(site)) for site in sites}
        stop_after = None if logits else max((s.layer for s in sites), default=0)
        tokens, where = self._pad(rows), self._where(rows, numbers)
        with torch.no_grad():
            out = alike.run(self.backend, tokens, where, interventions, readers, stop_after=stop_after, logits=logits)
        return {site: found[site] for site in sites}, out

    def _run_apart(
        self,
        groups: Sequence[list[int]],
        rows: Sequence[Any],
        numbers: Sequence[int],
        sites: Sequence[Site],
        interventions: Sequence[Intervention],
        logits: bool,
    ) -> tuple[dict[Site, Tensor], Tensor | None]:
        """As :meth:`_run`, for a model that a row's padding matters to: each group of rows by itself."""
        warn(f"{self.name}: rows of different lengths are run apart, since it reads a row otherwise in a longer pass")
        runs = [
            self._run([rows[i] for i in group], [numbers[i] for i in group], sites, interventions, logits)
            for group in groups
        ]
        out = together([out for _, out in runs if out is not None], groups) if logits else None
        return {site: together([found[site] for found, _ in runs], groups) for site in sites}, out

    def _where(self, rows: Sequence[list[int]], numbers: Sequence[int]) -> Where:
        lengths = torch.tensor([len(row) for row in rows], device=self.device)[:, None]
        at = torch.arange(int(lengths.max()), device=self.device)[None].expand(len(rows), -1)
        index = torch.tensor(numbers, device=self.device)[:, None].expand_as(at)
        return Where(torch.where(at < lengths, at, -1), index, lengths.expand_as(at))

    def residual_norm(self, site: Site | str | int) -> float:
        """The typical norm of the activations at a site, which a dose of steering is a share of.

        The median over the tokens of a few short texts, attention sinks left out; random inputs for a model that reads
        no text.  Measured once for all layers.

        >>> from workbench.models.tiny import tiny_model
        >>> round(tiny_model().residual_norm("1.resid_post"), 1)
        4.9
        """
        (site,) = self._check_sites(site, self.backend.components)
        if site.component == "resid_post":
            return typical_norm(self.sinks.norms[site.layer])
        if site.component not in self._norms:
            self._norms[site.component] = component_norms(self, site.component)
        return self._norms[site.component][site.layer]

    # ---- checks

    def _check_sites(self, sites: Any, components: frozenset[str]) -> tuple[Site, ...]:
        parsed = parse_sites(sites, self.n_layers)
        for site in parsed:
            if site.component not in components:
                raise SiteError(self.backend.why_not(site.component, components))
        return parsed

    def placed(self, interventions: Sequence[Intervention]) -> list[Intervention]:
        """The interventions as every call on this model begins with them: found fit for it, at their true layers, doses
        as multipliers.

        Raises:
            DataError: for what is no intervention.
            SiteError: for a site that the model or its back end cannot steer.
            ArtifactError: for a vector of another model.
        """
        interventions = inputs.plain_interventions(interventions)
        for i in interventions:
            stamp = {what: getattr(i, what, None) for what in ("fingerprint", "basis", "precision")}
            check_stamp(f"{type(i).__name__} at {i.site}", stamp, self, advice=_ADVICE)
        self._say_sinks(interventions)
        sites = [self._check_sites(i.site, self.backend.steerable)[0] for i in interventions]
        fitted = [for_model(i, self) for i in interventions]
        return [i if i.site == site else Placed(i, site) for i, site in zip(fitted, sites, strict=True)]

    def _say_sinks(self, interventions: Sequence[Intervention]) -> None:
        """A note, once a model, for an intervention on whole prompts whose first position is an attention sink."""
        first = next((i for i in interventions if i.scope.first_position(_LONG) == 0), None)
        if first is not None and not self._said_sinks and self.sinks.first:
            self._said_sinks = True
            warn(
                f"{self.name}: {type(first).__name__} with scope {first.scope} also changes position 0, an attention"
                " sink that all tokens look at; a scope such as prompt[1:]+generation leaves it out"
            )

    def _check_room(self, rows: Sequence[list[int]], new_tokens: int) -> None:
        limit = positions_of(self.config)
        longest = max(map(len, rows))
        if limit and longest + new_tokens > limit:
            raise ModelError(
                f"{longest} prompt tokens and {new_tokens} new ones exceed the {limit} positions of {self.name}"
            )


def _reading(
    site: Site, found: dict[Site, Tensor], select: Callable[[Tensor], Tensor] | None
) -> Callable[[Tensor], None]:
    def read(activation: Tensor) -> None:
        # A copy: some blocks add to it in place afterwards, and a view would keep the whole of it.
        found[site] = (activation if select is None else select(activation)).clone()

    return read
