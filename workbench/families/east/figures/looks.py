"""How the figures of EAST name and draw its methods, in the order in which they are listed."""

from __future__ import annotations

from workbench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Look, words

__all__ = ["METHODS", "look"]

METHODS: dict[str, Look] = {
    "unsteered": Look("unsteered", BLACK, "solid", "square"),
    "east": Look("EAST", BLUE, "solid", "circle"),
    "shuffled": Look("shuffled vector", VERMILION, "dash", "x"),
    "random": Look("random vector", ORANGE, "dot", "cross"),
    "uncentred": Look("not centred", SKY, "dashdot", "triangle-up"),
    "unweighted": Look("not weighted", GREEN, "dashdot", "triangle-down"),
    "mean_difference": Look("mean difference", PURPLE, "longdash", "diamond"),
    "temperature": Look("temperature", GREY, "dot", "star"),
    "top_p": Look("top-p", GREY, "dot", "hexagon"),
    "request": Look("asked to explore", GREEN, "dot", "pentagon"),
}


def look(method: str) -> Look:
    """The look of a method; one that is not known is grey and named as it is.

    >>> look("east").name
    'EAST'
    """
    return METHODS.get(method, Look(words(method), GREY))
