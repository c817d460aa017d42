"""Steering learned by gradient from pairs of completions: a vector that prefers, an edit that predicts.

The model's weights stay as they are; what is learned acts at one site, from the last prompt token on, exactly as it
will when it is used: each step runs the steering itself, with autograd (:mod:`steering.learning`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steering.interventions import Add
from steering.learning import Completions, Course, Learning, triple
from steering.rank_one import RankOne
from steering.vectors import SteeringVector
from workbench.arguments import listed, number
from workbench.models.interventions import Scope
from workbench.sites import Site

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel


def learn_preference(
    model: LanguageModel,
    pairs: Sequence[Any],
    site: Site | str | int,
    learning: Learning = Learning(),
    *,
    beta: float = 0.1,
    scope: Scope | str = Scope(),
    name: str = "",
    progress: bool = False,
) -> SteeringVector:
    """The vector v that makes a model prefer the positive completion of each pair when added, and the negative one when
    subtracted (BiPO, Cao et al. 2024, arXiv 2406.00045).

    With ``r(y, d) = log p(y | x, d v) - log p(y | x)``, where d v is added at the site, it minimises the mean over
    pairs and over both signs d = +1 and d = -1 of ``-log sigmoid(d beta (r(positive, d) - r(negative, d)))``: the loss
    of direct preference optimisation, with the unsteered model as its reference.  (The paper draws d at random.)

    Args:
        model: on any back end; its weights are not touched.
        pairs: ``(prompt, positive, negative)``, or dicts with these keys; prompts as for ``model.generate``.  The end
            token is added to each completion.
        site: where v is added.
        learning: how long and how fast.
        beta: how much a difference of log-probabilities counts.
        scope: of the steering, from the last prompt token on at the earliest.
        name: of the vector.
        progress: whether to draw a bar.

    Returns:
        The vector, at most ``max_dose`` long, with the mean loss of every epoch in its metadata.

    Raises:
        DataError: for pairs that cannot be read.
        SpecError: for a scope that reaches further into the prompt.
        ModelError: for a model that cannot run several completions in one row.

    >>> from workbench.models.tiny import tiny_model
    >>> pairs = [("a b", " c", " d"), ("e f", " c", " d")]
    >>> vector = learn_preference(tiny_model(), pairs, 1, Learning(epochs=3), name="c")
    >>> vector.site, vector.metadata["losses"][-1] < vector.metadata["losses"][0]
    (Site(layer=1, component='resid_post'), True)
    """
    beta = number(beta, "beta", 0)
    data = Completions.of(model, [triple(pair) for pair in listed(pairs, "pairs")], (1, -1))
    course = Course(model, site, learning, scope)
    with torch.no_grad():
        reference = torch.stack([data.logprobs([k], course.backend, [])[0] for k in range(len(data.trees))])
    signs = torch.tensor([1.0, -1.0]).repeat(len(data.trees))  # [row]
    direction = course.parameter()

    def loss(batch: list[int]) -> Tensor:
        add = Add(course.norm * direction, signs, site=course.site, scope=course.scope)
        gained = data.logprobs(batch, course.backend, [add]) - reference[batch]  # [pair, (+ +) (- +) (+ -) (- -)]
        margins = torch.stack([gained[:, 0] - gained[:, 1], gained[:, 3] - gained[:, 2]])  # [sign pair]
        return -torch.nn.functional.logsigmoid(beta * margins).mean()

    losses = course.run(len(data.trees), loss, {direction: learning.max_dose}, progress)
    return course.vector(direction, name, {"learned": "preference", "beta": beta, "losses": losses})


def learn_affine(
    model: LanguageModel,
    pairs: Sequence[Any],
    site: Site | str | int,
    learning: Learning = Learning(),
    *,
    scope: Scope | str = Scope(),
    name: str = "",
    progress: bool = False,
) -> RankOne:
    """A gated vector that makes the positive completions likely: ``z + (w . z + 1) v``, in the manner of ReFT-r1.

    v [d] and w [d] minimise the cross entropy of the positive completions, the end token included.  It is a map of rank
    one, as LoReFT of rank 1 is (Wu et al. 2024, arXiv 2404.03592); AxBench (arXiv 2501.17148) found it to steer best
    among learned ones.  Unlike a preference it does not know what to avoid.

    Args:
        model: as for :func:`learn_preference`.
        pairs: as there, or only ``(prompt, positive)``.
        site: where it acts.
        learning: as there; ``max_dose`` bounds v, the gate may exceed 1.
        scope: as there.
        name: of its direction.
        progress: whether to draw a bar.

    Returns:
        An intervention; its ``direction`` is a :class:`SteeringVector` (v), its ``metadata`` has the losses.

    >>> from workbench.models.tiny import tiny_model
    >>> edit = learn_affine(tiny_model(), [("a b", " c"), ("e f", " c")], 1, Learning(epochs=3))
    >>> edit.metadata["losses"][-1] < edit.metadata["losses"][0]
    True
    """
    data = Completions.of(model, [triple(pair)[:2] for pair in listed(pairs, "pairs")], (1,))
    course = Course(model, site, learning, scope)
    direction, weights = course.parameter(), course.parameter()

    def edit(v: Any, w: Tensor) -> RankOne:
        return RankOne(v, w / course.norm, 1.0, site=course.site, scope=course.scope)

    def loss(batch: list[int]) -> Tensor:
        logprobs = data.logprobs(batch, course.backend, [edit(course.norm * direction, weights)])
        return -logprobs.sum() / sum(len(data.trees[k].leaves[0].tokens) for k in batch)

    losses = course.run(len(data.trees), loss, {direction: learning.max_dose, weights: None}, progress)
    metadata = {"learned": "affine", "losses": losses}
    found = edit(course.vector(direction, name, metadata), weights.detach().cpu())
    found.metadata.update(metadata)
    return found
