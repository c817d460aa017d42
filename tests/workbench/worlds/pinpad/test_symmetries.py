"""Images of episodes under the symmetries of the square are episodes of the expert."""

from __future__ import annotations

import pytest
import torch

from workbench.worlds.pinpad.expert import Episodes, expert_episodes
from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad, begin, step
from workbench.worlds.pinpad.symmetries import SYMMETRIES, mirrored
from workbench.worlds.pinpad.tasks import pretraining_tasks

EVEN = Pinpad(size=6, colours=4, walls=2, horizon=64, distance=1, subgoal=1)


def _episodes(world: Pinpad, n: int = 160) -> tuple[Episodes, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return expert_episodes(world, pretraining_tasks(world), n, generator), torch.arange(n) % len(SYMMETRIES)


@pytest.mark.parametrize("world", [PINPADS["small"], EVEN])
def test_the_rules_lead_through_the_image_of_an_episode_to_the_same_success(world: Pinpad) -> None:
    episodes, which = _episodes(world)
    image = mirrored(episodes, which)
    state = begin(world, torch.cat([image.agents[:, :1], image.objects], 1), image.tasks)
    for t in range(image.moves.shape[1]):
        going = t < image.lengths
        assert torch.equal(state.agent[going], image.agents[going, t])
        assert torch.equal(state.target[going], image.targets[going, t])
        state, _ = step(world, state, image.moves[:, t])
    assert torch.equal(state.success, image.success)


def test_the_eight_images_of_a_walk_are_all_different() -> None:
    episodes, _ = _episodes(PINPADS["small"], 1)
    images = [mirrored(episodes, torch.tensor([k])).agents[0] for k in range(len(SYMMETRIES))]
    assert len({tuple(image.tolist()) for image in images}) == 8


def test_every_symmetry_is_undone_by_one_of_them() -> None:
    episodes, _ = _episodes(EVEN, 8)
    for k in range(8):
        once = mirrored(episodes, torch.full((8,), k))
        back = [mirrored(once, torch.full((8,), j)) for j in range(8)]
        assert any(
            torch.equal(each.agents, episodes.agents) and torch.equal(each.moves, episodes.moves) for each in back
        )


def test_distances_between_objects_stay_as_they_were() -> None:
    episodes, which = _episodes(PINPADS["small"])

    def gaps(e: Episodes) -> torch.Tensor:
        rows, columns = e.objects // 9, e.objects % 9
        return (rows[:, :, None] - rows[:, None]).abs() + (columns[:, :, None] - columns[:, None]).abs()

    assert torch.equal(gaps(mirrored(episodes, which)), gaps(episodes))
