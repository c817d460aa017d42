"""Which tasks of the pinpad are trained on and which is held out (arXiv 2512.20605).

Pretraining tasks are all sequences of three subgoals in which the next is neither the same nor the cyclic successor.
The held-out task runs through cyclic successors only, so none of its transitions was ever seen.
"""

from __future__ import annotations

from itertools import pairwise, product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.worlds.pinpad.pinpad import Pinpad


def subgoal_sequences(subgoals: int, length: int = 3) -> list[tuple[int, ...]]:
    """All sequences of subgoals in which the next is neither the same nor the cyclic successor.

    >>> len(subgoal_sequences(4)), subgoal_sequences(4)[:3]
    (16, [(0, 2, 0), (0, 2, 1), (0, 3, 1)])
    """
    return [
        each
        for each in product(range(subgoals), repeat=length)
        if all((b - a) % subgoals not in (0, 1) for a, b in pairwise(each))
    ]


def _colours(world: Pinpad, sequences: list[tuple[int, ...]]) -> Int[Tensor, "tasks colours"]:
    step = world.subgoal
    return torch.tensor([[step * s + i for s in each for i in range(step)] for each in sequences])


def pretraining_tasks(world: Pinpad) -> Int[Tensor, "tasks colours"]:
    """The tasks that the base model sees, as colours.

    >>> from workbench.worlds.pinpad.pinpad import Pinpad
    >>> pretraining_tasks(Pinpad())[1].tolist()  # subgoals 0 2 1
    [0, 1, 4, 5, 2, 3]
    """
    return _colours(world, subgoal_sequences(world.subgoals))


def held_out_task(world: Pinpad) -> Int[Tensor, " colours"]:
    """The sparse task of internal RL: every transition is a cyclic successor, hence unseen.

    The paper's world goes once round all subgoals and on to the second (12 colours); worlds whose subgoals are single
    colours go once round, as in the paper's ant.

    >>> from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad
    >>> held_out_task(Pinpad()).tolist(), held_out_task(PINPADS["small"]).tolist()
    ([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3], [0, 1, 2, 3])
    """
    around = tuple(range(world.subgoals))
    return _colours(world, [around + around[:2] if world.subgoal > 1 else around])[0]


def seen_task(world: Pinpad, length: int) -> Int[Tensor, " colours"]:
    """A longer task whose transitions were all seen: each subgoal two behind the last, or three where that repeats.

    >>> from workbench.worlds.pinpad.pinpad import PINPADS
    >>> seen_task(PINPADS["small"], 6).tolist()
    [0, 2, 1, 3, 2, 0]
    """
    sequence, shifts = [0], (2, world.subgoals - 1)
    while len(sequence) < length:
        sequence.append((sequence[-1] + shifts[(len(sequence) - 1) % 2]) % world.subgoals)
    return _colours(world, [tuple(sequence)])[0]


def task_weights(world: Pinpad, kappa: float) -> Float[Tensor, " tasks"]:
    """Probabilities of the pretraining tasks, skewed by ``kappa`` (0: uniform).

    ``exp(-kappa * score)``, score = first subgoal + number of transitions that are not the second successor.  A base
    model on uniform tasks sits on a plateau on which it does not tell colours apart; a skew that is annealed away
    leads it off.
    """
    n = world.subgoals
    score = [s[0] + sum((b - a) % n != 2 % n for a, b in pairwise(s)) for s in subgoal_sequences(n)]
    return torch.softmax(-kappa * torch.tensor(score, dtype=torch.float64), 0)
