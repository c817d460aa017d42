"""Seeded generators of layouts: mazes of any wall density, and rooms with keys and doors (arXiv 2602.08964).

The paper leaves open how start and goal are drawn and where keys lie.  Here start and goal are uniform among open cells
at least ``size // 2`` steps apart, and rooms are split by one straight wall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from workbench.arguments import flag, integer, number
from workbench.errors import SpecError, check_known
from workbench.worlds.grids.layouts import Layout
from workbench.worlds.moves import Cell

_TRIES = 10_000


def maze(size: int, density: float, rng: np.random.Generator) -> Layout:
    """A maze without loops, of whose interior walls a share ``1 - density`` is taken away: 0 is open, 1 a perfect maze.

    >>> print(*maze(5, 1.0, np.random.default_rng(0)).rows, sep="\\n")
    #####
    #___#
    #_###
    #___#
    #####
    """
    if integer(size, "size") < 5 or size % 2 == 0:
        raise SpecError(f"a maze's size must be odd and at least 5, not {size}: rooms lie at odd rows and columns")
    _check_density(density)
    walls = np.ones((size, size), dtype=bool)
    walls[1::2, 1::2] = False
    for passage in _spanning_tree(size // 2, rng):
        walls[passage] = False
    inner = np.argwhere(walls[1:-1, 1:-1]) + 1
    gone = rng.permutation(len(inner))[: round((1 - density) * len(inner))]
    walls[tuple(inner[gone].T)] = False
    return _with_start_and_goal(walls, rng)


def _check_density(density: float) -> None:
    number(density, "wall density", 0, 1)


def _spanning_tree(rooms: int, rng: np.random.Generator) -> Iterator[Cell]:
    """Passages of a random spanning tree over ``rooms`` x ``rooms`` rooms (Kruskal's algorithm)."""
    parent = list(range(rooms * rooms))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    edges = [(r, c, r, c + 1) for r in range(rooms) for c in range(rooms - 1)]
    edges += [(r, c, r + 1, c) for r in range(rooms - 1) for c in range(rooms)]
    for i in rng.permutation(len(edges)):
        r, c, r2, c2 = edges[i]
        a, b = root(r * rooms + c), root(r2 * rooms + c2)
        if a != b:
            parent[a] = b
            yield r + r2 + 1, c + c2 + 1


def _with_start_and_goal(walls: np.ndarray, rng: np.random.Generator) -> Layout:
    cells = [(int(r), int(c)) for r, c in np.argwhere(~walls)]
    rows = _rows(walls)
    while True:
        start, goal = (cells[i] for i in rng.choice(len(cells), 2, replace=False))
        layout = Layout(rows, start, goal)
        if layout.distance(layout.initial) >= len(walls) // 2:
            return layout


def _rows(walls: np.ndarray) -> tuple[str, ...]:
    return tuple("".join("#" if wall else "_" for wall in row) for row in walls)


def key_door(size: int, rng: np.random.Generator) -> Layout:
    """Two rooms; the door between them is closed and the key lies on the agent's side: the key is needed."""
    walls, door, near, far = _two_rooms(size, rng)
    start, key = (near[i] for i in rng.choice(len(near), 2, replace=False))
    return Layout(_rows(walls), start, far[rng.integers(len(far))], key, door)


def key_no_door(size: int, rng: np.random.Generator) -> Layout:
    """The rooms of :func:`key_door` with an open passage in place of the door: the key is useless."""
    layout = key_door(size, rng)
    return Layout(layout.rows, layout.start, layout.goal, layout.key)


def _two_rooms(size: int, rng: np.random.Generator) -> tuple[np.ndarray, Cell, list[Cell], list[Cell]]:
    """Walls, the opening in the wall between the rooms, and the cells of either room."""
    if size < 6:
        raise SpecError(f"two rooms with a key need a size of at least 6, not {size}")
    walls = np.ones((size, size), dtype=bool)
    walls[1:-1, 1:-1] = False
    line = int(rng.integers(3, size - 3)) if size > 6 else 3
    door: Cell = (int(rng.integers(1, size - 1)), line)
    walls[:, line] = True
    walls[door] = False
    sides = [
        [(r, c) for r in range(1, size - 1) for c in columns] for columns in (range(1, line), range(line + 1, size - 1))
    ]
    if rng.random() < 0.5:  # the wall lies across instead
        walls, door = walls.T.copy(), (door[1], door[0])
        sides = [[(c, r) for r, c in side] for side in sides]
    first = int(rng.integers(2))
    return walls, door, sides[first], sides[1 - first]


def two_path_key(size: int, rng: np.random.Generator) -> Layout:
    """A ring of corridors with start and goal at opposite corners: two optimal paths, a useless key on one of them."""
    if size < 6:
        raise SpecError(f"a ring with a key needs a size of at least 6, not {size}")
    height, width = (int(rng.integers(3, size - 1)) for _ in range(2))
    top, left = int(rng.integers(1, size - height)), int(rng.integers(1, size - width))
    bottom, right = top + height - 1, left + width - 1
    walls = np.ones((size, size), dtype=bool)
    walls[top, left : right + 1] = walls[bottom, left : right + 1] = False
    walls[top : bottom + 1, left] = walls[top : bottom + 1, right] = False
    corners = [(top, left), (bottom, right)] if rng.random() < 0.5 else [(top, right), (bottom, left)]
    start, goal = (corners[i] for i in rng.permutation(2))
    keys = [(int(r), int(c)) for r, c in np.argwhere(~walls) if (r, c) not in (start, goal)]
    return Layout(_rows(walls), start, goal, keys[rng.integers(len(keys))])


GOAL_STRUCTURES: dict[str, Callable[[int, np.random.Generator], Layout]] = {
    "KeyDoor": key_door,
    "KeyNoDoor": key_no_door,
    "2PathKey": two_path_key,
}


def make_layout(
    size: int, density: float = 0.0, structure: str = "maze", seed: int = 0, held_out: bool | None = None
) -> Layout:
    """The layout of a seed: a :func:`maze` of this density, or one of :data:`GOAL_STRUCTURES`.

    ``held_out``: draw until the layout is (True) or is not (False) one of those kept from the shipped agent's
    training.  False also asks this of the layout with start and goal swapped, so that no swapped held-out layout is
    ever trained on.

    >>> layout = make_layout(7, 0.4, seed=3, held_out=True)
    >>> layout == make_layout(7, 0.4, seed=3, held_out=True), layout.held_out
    (True, True)
    """
    check_known(structure, ["maze", *GOAL_STRUCTURES], "goal structure")
    _check_density(density)
    size, seed = integer(size, "size", least=5), integer(seed, "a layout's seed", least=0)
    held_out = None if held_out is None else flag(held_out, "held_out")
    rng = np.random.default_rng([seed, size, round(1000 * density)])
    for _ in range(_TRIES):
        layout = maze(size, density, rng) if structure == "maze" else GOAL_STRUCTURES[structure](size, rng)
        swapped = layout if layout.key else Layout(layout.rows, layout.goal, layout.start)
        trained = not layout.held_out and not swapped.held_out
        if held_out is None or (trained if held_out is False else layout.held_out):
            return layout
    side = "held out" if held_out else "not held out"
    raise SpecError(
        f"no {side} {structure} of size {size} and density {density} in {_TRIES} draws: choose a larger size"
    )
