"""How long a run will take on this machine: a timed pass of its model, times the tokens that its steps say they take.

An estimate: answers that end before ``max_new_tokens`` cost less, prompts longer than those of the timed pass more, and
what is not a pass of the model (probes that are fitted, tables) is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import ModelError
from workbench.families.specs import ModelSpec

if TYPE_CHECKING:
    from workbench.families.family import Step
    from workbench.models.language_model import LanguageModel

_PROMPTS, _LENGTH, _COMPLETIONS, _DRAWN = 8, 128, 4, 8
_GPU = 8  # as many times more rows fill a GPU


@dataclass(frozen=True)
class Speed:
    """``load``: seconds until the model is there.  ``read``, ``draw``: tokens a second of prompts, of completions."""

    load: float
    read: float
    draw: float

    def seconds(self, step: Step, length: int) -> float:
        """Of a step at most, ``length`` tokens a completion; 0 for one that says nothing of its size.

        >>> from workbench.families import Step
        >>> Speed(load=1.0, read=1000.0, draw=100.0).seconds(Step("a", "", print, completions=10, tokens=500), 20)
        2.5
        """
        return step.completions * length / self.draw + step.tokens / self.read

    def __str__(self) -> str:
        return f"{self.read:,.0f} tokens a second read, {self.draw:,.0f} drawn, {self.load:.1f} s to load"


def timed(load: Callable[[], LanguageModel]) -> tuple[LanguageModel, Speed]:
    """The loaded model and its speed, from a few seconds of random prompts read and completed."""
    begin = time.perf_counter()
    model = load()
    loading = time.perf_counter() - begin
    prompts = _random_prompts(model, _PROMPTS * (1 if model.device.type == "cpu" else _GPU))
    model.generate(prompts[:2], 2, max_new_tokens=2)  # what a first pass sets up
    begin = time.perf_counter()
    model.generate(prompts, max_new_tokens=1)
    reading = time.perf_counter() - begin
    begin = time.perf_counter()
    drawn = model.generate(prompts, _COMPLETIONS, max_new_tokens=1 + _DRAWN)
    drawing = time.perf_counter() - begin - reading
    read = sum(map(len, prompts)) / reading
    tokens = sum(len(each.tokens) for several in drawn for each in several)
    return model, Speed(loading, read, min(tokens / drawing, read) if drawing > 0 else read)


def _random_prompts(model: LanguageModel, n: int) -> list[list[int]]:
    import torch

    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2 * _LENGTH
    length = max(1, min(_LENGTH, positions // 2 - _DRAWN))
    vocabulary = model.config.get_text_config().vocab_size
    return torch.randint(vocabulary, (n, length), generator=torch.Generator().manual_seed(0)).tolist()


def seconds_of(steps: Iterable[Step], spec: Any, speed: Speed) -> float:
    """Of all steps together at most, the model's loading included."""
    length = drawn_tokens(spec)
    return speed.load + sum(speed.seconds(step, length) for step in steps)


def drawn_tokens(spec: Any) -> int:
    """The tokens of a completion at most."""
    return int(getattr(spec, "max_new_tokens", 1))


def speed_here(spec: Any) -> tuple[Speed | None, str]:
    """The speed of a spec's model, or None and the reason why there is none: it loads none, or its weights are not
    here (a plan downloads nothing)."""
    if not isinstance(spec, ModelSpec):
        return None, ""
    from workbench.models.loading import is_here

    if not is_here(spec.model):
        return None, f"no minutes: {spec.model} is not on this machine yet"
    try:
        return timed(spec.load)[1], ""
    except ModelError as error:
        return None, f"no minutes: {error}"


def clock_text(seconds: float) -> str:
    """Minutes and seconds, hours where there are any.

    >>> clock_text(75), clock_text(3 * 3600 + 62)
    ('1:15', '3:01:02')
    """
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}" if minutes >= 60 else f"{minutes}:{left:02}"
