"""``Game``: what the playground asks of a world whose agent can be watched at play, left alone and steered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workbench.models import Intervention, LanguageModel


class Play(Protocol):
    """The first ``count`` steps of an episode, going on from those ``played``; fewer when it ends before.

    An episode is a function of its settings and interventions.  ``advance`` is called with the number of steps played
    before each new one.
    """

    def __call__(
        self,
        model: LanguageModel,
        settings: Any,
        interventions: Sequence[Intervention],
        count: int,
        played: Sequence[Any] = (),
        advance: Callable[[int], object] = lambda number: None,
    ) -> list[Any]: ...


@dataclass(frozen=True)
class Game:
    """A game, one step at a time.

    Args:
        most: steps that an episode has at most.
        choose: draws the widgets of an episode's settings and returns these, a frozen dataclass with a field ``seed``.
        play: see :class:`Play`.
        show: ``show(found, settings)`` draws the steps of each condition, by its name.
        last: ``last(model, step)`` is a step's prompt and what the agent said, in tokens.
    """

    most: int
    choose: Callable[[], Any]
    play: Play
    show: Callable[[Mapping[str, Sequence[Any]], Any], None]
    last: Callable[[LanguageModel, Any], tuple[list[int], list[int]]]
