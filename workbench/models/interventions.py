"""What an intervention is, and where it acts.

An :class:`Intervention` is a pure function: activations ``[batch, pos, d_model]`` and a :class:`Where` in, new
activations out.  ``Where`` says of every element which token it is: its absolute position, the caller's row it belongs
to, and how long that row's prompt is.  Decoding may lay the completions of one prompt side by side along ``pos``
(see :mod:`workbench.models.cache`), so an intervention must use ``Where`` and never the index along ``pos``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from workbench.arguments import integer, one_of
from workbench.errors import DataError, SpecError
from workbench.models.backend import Hook
from workbench.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class Where:
    """Which token each ``[batch, pos]`` element is.

    ``positions``: absolute 0-based position in its sequence, -1 at padding.  ``rows``: index of the caller's row (the
    index into the ``prompts`` given to ``generate``, ``score`` or ``forward``).  ``prompt_lengths``: tokens in that
    row's prompt; positions from there on are generated (or, in ``score``, continuation) tokens.
    """

    positions: Int[Tensor, "batch pos"]
    rows: Int[Tensor, "batch pos"]
    prompt_lengths: Int[Tensor, "batch pos"]


@dataclass(frozen=True)
class Window:
    """A half-open range of positions ``[start, stop)``; negative numbers count from the end, None means open."""

    start: int | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        for name in ("start", "stop"):
            end = getattr(self, name)
            object.__setattr__(self, name, None if end is None else integer(end, f"the {name} of a window"))

    def bounds(self, length: Int[Tensor, "..."] | int) -> tuple[Any, Any]:
        """The window over a stretch of ``length`` tokens, as (start, stop) counted from its beginning."""
        low = 0 if self.start is None else self.start + (length if self.start < 0 else 0)
        high = length if self.stop is None else self.stop + (length if self.stop < 0 else 0)
        return low, high


_SCOPE_PART = re.compile(r"(prompt|generation)(?:\[(-?\d+)?:(-?\d+)?\])?")


@dataclass(frozen=True)
class Scope:
    """The positions an intervention touches, said apart for the prompt and for what comes after it.

    ``None`` leaves that part alone.  In ``generation`` only non-negative numbers make sense, since the end is not
    known. The text form is ``prompt[-1:]+generation`` (the default, EAST's: the last prompt token and every generated
    one).

    >>> Scope.parse("prompt[-1:]+generation") == Scope()
    True
    >>> str(Scope.parse("generation[0:5]"))
    'generation[0:5]'
    >>> Scope().first_position(prompt_length=7)
    6
    """

    prompt: Window | None = Window(-1, None)
    generation: Window | None = Window()

    def __post_init__(self) -> None:
        for name in ("prompt", "generation"):
            if getattr(self, name) is not None:
                one_of(getattr(self, name), Window, f"{name} of a scope")
        window = self.generation
        if window is not None and ((window.start or 0) < 0 or (window.stop or 0) < 0):
            raise SpecError(f"scope {self}: generation windows count from 0, negative positions have no meaning there")

    @classmethod
    def everywhere(cls) -> Scope:
        """All prompt positions and all generated ones."""
        return cls(Window(), Window())

    @classmethod
    def parse(cls, text: Scope | str) -> Scope:
        """Read the text form; raises :class:`SpecError` with the grammar when it cannot."""
        if isinstance(text, Scope):
            return text
        if not isinstance(text, str):
            raise SpecError(f"a scope is a Scope or its text, such as prompt[-1:]+generation, not {text!r}")
        parts: dict[str, Window] = {}
        for piece in text.replace(" ", "").split("+"):
            found = _SCOPE_PART.fullmatch(piece)
            if not found or found[1] in parts:
                raise SpecError(f"cannot read scope {text!r}: write prompt[-1:]+generation, prompt, or generation[0:5]")
            parts[found[1]] = Window(*(None if n is None else int(n) for n in found.group(2, 3)))
        return cls(parts.get("prompt"), parts.get("generation"))

    def __str__(self) -> str:
        pieces = []
        for name, window in (("prompt", self.prompt), ("generation", self.generation)):
            if window is not None:
                ends = ("" if n is None else str(n) for n in (window.start, window.stop))
                pieces.append(name if window == Window() else f"{name}[{':'.join(ends)}]")
        return "+".join(pieces)

    def mask(self, where: Where) -> Bool[Tensor, "batch pos"]:
        """True where the scope applies; padding is never touched."""
        positions, lengths = where.positions, where.prompt_lengths
        touched = positions != positions
        if self.prompt is not None:
            low, high = self.prompt.bounds(lengths)
            touched = touched | ((positions >= low) & (positions < high) & (positions < lengths))
        if self.generation is not None:
            start, stop = self.generation.start or 0, self.generation.stop
            since = positions - lengths
            touched = touched | ((since >= start) & (since >= 0) & (True if stop is None else since < stop))
        return touched & (positions >= 0)

    def first_position(self, prompt_length: int) -> int | None:
        """The earliest absolute position that may be touched, or None when the scope is empty."""
        if self.prompt is not None:
            low, high = self.prompt.bounds(prompt_length)
            low, high = max(int(low), 0), min(int(high), prompt_length)
            if low < high:
                return low
        return None if self.generation is None else prompt_length + (self.generation.start or 0)


@runtime_checkable
class Intervention(Protocol):
    """A pure function on the activations of one site.

    ``site`` is where it acts, ``scope`` which positions it may change.  Called with activations ``[batch, pos, d]`` and
    a :class:`Where`, it returns a new tensor of the same shape, dtype and device, and leaves its input as it was.

    One that has to know its model first (how long a dose is there) also has ``for_model(model) -> Intervention``, which
    every call on a model begins with.  One that leaves some rows alone may say so by ``acts_on(rows)``: which of the
    caller's rows [...] it may change, within its scope; it is then not shown the others everywhere, and rows with equal
    tokens run once as long as nothing acts on them (see :mod:`workbench.models.alike`).
    """

    @property
    def site(self) -> Site: ...

    @property
    def scope(self) -> Scope: ...

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]: ...


@dataclass(frozen=True, eq=False)
class Wrapped:
    """An intervention that does what another does; subclasses change something about it."""

    inner: Intervention

    fingerprint = property(lambda self: getattr(self.inner, "fingerprint", None))
    precision = property(lambda self: getattr(self.inner, "precision", None))
    basis = property(lambda self: getattr(self.inner, "basis", None))

    @property
    def site(self) -> Site:
        """Where it acts."""
        return self.inner.site

    @property
    def scope(self) -> Scope:
        """Which positions it may change."""
        return self.inner.scope

    @property
    def acts_on(self) -> Callable[[Tensor], Tensor] | None:
        """Which of the caller's rows it may change, where the inner one says."""
        return getattr(self.inner, "acts_on", None)

    def for_model(self, model: Any) -> Intervention:
        """The same around what the inner one is on that model."""
        inner = for_model(self.inner, model)
        return self if inner is self.inner else replace(self, inner=inner)

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        return _acted(self.inner, activation, where)


@dataclass(frozen=True, eq=False)
class Placed(Wrapped):
    """An intervention at the site that its own means in a model: layer -1 is the model's last."""

    place: Site

    @property
    def site(self) -> Site:
        """Where it acts, the layer counted from 0."""
        return self.place


def for_model(intervention: Intervention, model: Any) -> Intervention:
    """The intervention as it is on a model; most are the same on all."""
    fit = getattr(intervention, "for_model", None)
    return intervention if fit is None else fit(model)


def touched_rows(intervention: Intervention, where: Where) -> Bool[Tensor, " batch"]:
    """In which rows of a batch an intervention may change anything: all, unless it says."""
    acts_on = getattr(intervention, "acts_on", None)
    if acts_on is None:
        return where.rows[:, 0] == where.rows[:, 0]
    return (intervention.scope.mask(where) & acts_on(where.rows)).any(1)


def hooks_for(interventions: Sequence[Intervention], where: Where) -> dict[Site, Hook]:
    """Interventions as hooks; several at one site act in the order given."""

    def hook(chain: list[Intervention]) -> Hook:
        def steer(activation: Tensor) -> Tensor:
            for intervention in chain:
                activation = _acted(intervention, activation, where)
            return activation

        return steer

    sites = {i.site for i in interventions}
    return {site: hook([i for i in interventions if i.site == site]) for site in sites}


def _acted(intervention: Intervention, activation: Tensor, where: Where) -> Tensor:
    """What an intervention makes of an activation; :class:`DataError` when that is not an activation of its kind."""
    new = intervention(activation, where)
    kind = (tuple(activation.shape), activation.dtype)
    found = (tuple(new.shape), new.dtype) if hasattr(new, "shape") and hasattr(new, "dtype") else type(new).__name__
    if found != kind:
        raise DataError(f"{type(intervention).__name__} at {intervention.site} returned {found}, not a tensor {kind}")
    return new
