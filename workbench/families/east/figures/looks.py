"""How the figures of the EAST family look: methods of steering, and arms.

A method keeps its colour, dash and marker in every figure, so nothing is said by colour alone.
"""

from __future__ import annotations

from workbench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Look, look_in

ARMS = (BLUE, VERMILION, GREEN, PURPLE)
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
    """The look of a method.

    >>> look("east").name, look("my_method").name
    ('EAST', 'my method')
    """
    return look_in(METHODS, method)
