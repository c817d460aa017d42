"""How two conditions beside each other, unsteered and steered, are drawn; seen on light and on dark pages alike."""

from __future__ import annotations

from workbench.figures.style import ORANGE, SKY, Look, look_in

_LOOKS = {"unsteered": Look("unsteered", "#8a8a8a", "dot", "square"), "steered": Look("steered", ORANGE)}
_LOOKS |= {"positive": Look("positive", ORANGE), "negative": Look("negative", SKY, "dot", "square")}


def condition_look(name: str) -> Look:
    """The look of a condition; others are grey and named as they are.

    >>> condition_look("steered").colour, condition_look("my_own").name
    ('#E69F00', 'my own')
    """
    return look_in(_LOOKS, name)
