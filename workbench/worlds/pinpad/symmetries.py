"""The eight symmetries of the pinpad's square: mirror images and quarter turns of whole episodes.

Worlds are drawn and the expert walks without regard to direction, so the image of an expert's episode is an expert's
episode as likely as the first, of the same colours at the same steps.  What is common to the two is which colour is
sought and when; where it lies is not.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.worlds.moves import Move
from workbench.worlds.pinpad.expert import Episodes

# Matrices that act on (row, column) about the centre of the grid; the first is the identity.
SYMMETRIES: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = (
    *(((a, 0), (0, d)) for a, d in product((1, -1), repeat=2)),
    *(((0, b), (c, 0)) for b, c in product((1, -1), repeat=2)),
)


def mirrored(episodes: Episodes, which: Int[Tensor, " batch"]) -> Episodes:
    """The image of each episode under the symmetry of :data:`SYMMETRIES` that ``which`` names: cells and moves mapped,
    targets, lengths and tasks as they were.

    >>> from workbench.worlds.pinpad.pinpad import PINPADS
    >>> from workbench.worlds.pinpad.expert import expert_episodes
    >>> from workbench.worlds.pinpad.tasks import pretraining_tasks
    >>> world = PINPADS["small"]
    >>> episodes = expert_episodes(world, pretraining_tasks(world), 4, torch.Generator().manual_seed(0))
    >>> image = mirrored(episodes, torch.tensor([0, 1, 4, 7]))
    >>> torch.equal(image.agents[0], episodes.agents[0]), torch.equal(image.targets, episodes.targets)
    (True, True)
    """
    cells, moves = (table.to(which.device)[which] for table in _tables(episodes.world.size))
    return replace(
        episodes,
        agents=cells.gather(1, episodes.agents),
        objects=cells.gather(1, episodes.objects),
        moves=moves.gather(1, episodes.moves),
    )


@lru_cache
def _tables(size: int) -> tuple[Int[Tensor, "symmetries cells"], Int[Tensor, "symmetries moves"]]:
    """Where each cell comes to lie, and what each move becomes."""

    def turned(matrix: tuple[tuple[int, int], tuple[int, int]], row: int, column: int) -> tuple[int, int]:
        (a, b), (c, d) = matrix
        return a * row + b * column, c * row + d * column

    cells, moves = [], []
    for matrix in SYMMETRIES:
        # Twice the distance to the centre, so that it is whole in grids of even size too.
        images = (
            turned(matrix, 2 * row - size + 1, 2 * column - size + 1) for row, column in product(range(size), repeat=2)
        )
        cells.append([(row + size - 1) // 2 * size + (column + size - 1) // 2 for row, column in images])
        deltas = [turned(matrix, *move.delta) for move in Move]
        moves.append([next(int(each) for each in Move if each.delta == delta) for delta in deltas])
    return torch.tensor(cells), torch.tensor(moves)
