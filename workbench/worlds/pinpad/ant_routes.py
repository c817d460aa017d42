"""Ways of the ant: from every cell, the next cell on a shortest way to every colour.

Distances are those of the grid's expert (other colours and walls are obstacles); ties are broken once an episode, so
that the way from a cell does not change while the ant walks through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.worlds.moves import Move

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from workbench.worlds.pinpad.ant_world import AntWorld


class Routes:
    """Ways in one layout: cells of the agent, the colours and the walls, [1 + colours + walls].

    ``next_cells`` [colours, cells] is the next cell on the way to a colour, the cell itself where there is no way.

    >>> import torch
    >>> from workbench.worlds.pinpad.ant_world import AntWorld
    >>> routes = Routes(AntWorld(), torch.tensor([0, 2, 7, 13, 15, 1]), seed=0)
    >>> int(routes.next_cells[0, 0]), int(routes.next_cells[0, 5])  # around the wall in cell 1
    (4, 6)
    """

    def __init__(self, world: AntWorld, layout: Int[np.ndarray, " objects"], seed: int) -> None:
        import torch

        from workbench.worlds.pinpad.expert import distances, expert_probabilities

        rules = world.rules
        self.world = world
        cells = torch.arange(rules.cells).expand(1, rules.colours, -1)
        targets = torch.arange(rules.colours)[None, :, None].expand_as(cells)
        costs = distances(rules, torch.as_tensor(layout)[None])
        ways = expert_probabilities(rules, costs, cells, targets)[0].numpy()  # [colours cells moves]
        noise = np.random.default_rng(seed).random(ways.shape)
        picked = ((ways > 0) * (1 + noise)).argmax(-1)
        steps = np.array([dy * rules.size + dx for dy, dx in (move.delta for move in Move)])
        self.next_cells = np.where(ways.any(-1), np.arange(rules.cells) + steps[picked], np.arange(rules.cells))

    def direction(self, xy: Float[np.ndarray, "2"], cell: int, target: int) -> Float[np.ndarray, "2"]:
        """Unit vector from ``xy`` in ``cell`` toward the centre of the next cell on the way to the colour ``target``.

        Aiming at the centre keeps the ant away from the borders to cells that it must not enter.
        """
        way = self.world.centre(self.next_cells[target, cell]) - xy
        return way / max(float(np.hypot(*way)), 1e-6)
