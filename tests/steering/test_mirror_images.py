"""Mirror images: what the encoder reads in place of an episode tells nothing of directions, and reaches codes alone."""

from __future__ import annotations

import pytest
import torch

from workbench.families.internal_rl.control.compile_segments import SegmentCourse, SegmentModel, discover_segments
from workbench.families.internal_rl.control.discovery import Course, controlled_pass, discovery_loss, mirror_activations
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.models.sequence_model import SequenceModel
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site
from workbench.training.loop import Schedule
from workbench.worlds.pinpad.expert import Episodes, expert_episodes
from workbench.worlds.pinpad.pinpad import Pinpad
from workbench.worlds.pinpad.symmetries import SYMMETRIES, mirrored
from workbench.worlds.pinpad.tasks import pretraining_tasks

WORLD = Pinpad(size=5, colours=4, walls=0, horizon=20, subgoal=1)
SHAPE = MetacontrollerShape(d_model=16, history=4, summary=4, encoder=12, code=3, hyper=8, rank=4, switch=8)
SITE = Site(1)


@pytest.fixture(scope="module")
def base() -> SequenceModel:
    return tiny_sequence_model(world=WORLD)


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    return expert_episodes(WORLD, pretraining_tasks(WORLD), 24, torch.Generator().manual_seed(1))


@pytest.fixture
def metacontroller() -> Metacontroller:
    torch.manual_seed(0)
    return Metacontroller(SHAPE)


def _activations(base: SequenceModel, episodes: Episodes) -> torch.Tensor:
    kept: list[torch.Tensor] = []

    def hook(activation: torch.Tensor) -> torch.Tensor:
        kept.append(activation)
        return activation

    base.backend.forward(episodes.observations[:, :-1], hooks={SITE: hook})
    return kept[0]


def test_a_mirror_image_gives_the_uncontrolled_activations_of_an_image_of_each_episode(
    base, episodes: Episodes
) -> None:
    generator = torch.Generator().manual_seed(5)
    which = torch.randint(len(SYMMETRIES), (len(episodes),), generator=torch.Generator().manual_seed(5))
    mirror_image = mirror_activations(base, SITE, episodes, generator)
    assert torch.equal(mirror_image, _activations(base, mirrored(episodes, which)))
    assert len(which.unique()) > 4 and not torch.allclose(mirror_image, _activations(base, episodes))


def test_codes_are_read_off_the_mirror_image_alone(base, episodes: Episodes, metacontroller: Metacontroller) -> None:
    own = _activations(base, episodes)
    mirror_image = torch.randn(own.shape, generator=torch.Generator().manual_seed(2))
    found = metacontroller(own, episodes.mask, "always", sample=False, mirror_image=mirror_image)
    moved = metacontroller(own + 1.7 * own.roll(1, 0), episodes.mask, "always", sample=False, mirror_image=mirror_image)
    read = metacontroller(mirror_image, episodes.mask, "always", sample=False)
    assert torch.equal(found.mu, moved.mu) and torch.equal(found.mu, read.mu)
    assert torch.equal(found.log_sigma, read.log_sigma)


def test_the_controller_writes_into_the_episode_itself(base, episodes, metacontroller: Metacontroller) -> None:
    own = _activations(base, episodes)
    found = metacontroller(own, episodes.mask, "always", sample=False, mirror_image=own.flip(0))
    assert torch.equal(found.activation, metacontroller.hyper(own, found.z))


def test_the_switch_never_sees_the_mirror_image(base, episodes, metacontroller: Metacontroller) -> None:
    """With equal codes (here none), what the switch says depends on the episode alone."""
    own = _activations(base, episodes)
    torch.nn.init.zeros_(metacontroller.encode[-1].weight)
    torch.nn.init.zeros_(metacontroller.encode[-1].bias)
    plain, other = (
        metacontroller(own, episodes.mask, "hard", sample=False, mirror_image=image) for image in (None, own.flip(0))
    )
    assert torch.equal(plain.probability, other.probability)
    elsewhere = metacontroller(own.flip(0), episodes.mask, "hard", sample=False, mirror_image=own)
    assert not torch.equal(plain.probability, elsewhere.probability)


def test_an_episode_that_is_its_own_mirror_image_changes_nothing(
    base, episodes, metacontroller: Metacontroller
) -> None:
    own = _activations(base, episodes)
    plain, nll = controlled_pass(base, SITE, metacontroller, episodes, "hard", sample=False)
    same, same_nll = controlled_pass(base, SITE, metacontroller, episodes, "hard", sample=False, mirror_image=own)
    assert torch.equal(plain.z, same.z) and torch.equal(nll, same_nll)


def test_the_loss_of_discovery_is_that_of_a_pass_with_the_mirror_image_when_mirrored(
    base, episodes: Episodes, metacontroller: Metacontroller
) -> None:
    course = Course(forced=True, alpha=0.0, alpha_random=0.0, random_share=1.0)
    losses = {
        mirror: discovery_loss(
            base, SITE, metacontroller, episodes, Course(**{**vars(course), "mirrored": mirror}), 0, 3, 0.5,
            torch.Generator(),
        )[0].item()
        for mirror in (True, False)
    }  # fmt: skip
    assert losses[True] != losses[False]
    # With nothing to say, there is nothing that an image could change.
    torch.nn.init.zeros_(metacontroller.encode[-1].weight)
    for mirror in (True, False):
        generator = torch.Generator()
        loss, _ = discovery_loss(
            base, SITE, metacontroller, episodes, Course(**{**vars(course), "mirrored": mirror}), 0, 3, 0.5, generator
        )
        mirror_image = None
        generator = torch.Generator().manual_seed(_noise_seed())
        if mirror:
            mirror_image = mirror_activations(base, SITE, episodes, generator)
        _, nll = controlled_pass(base, SITE, metacontroller, episodes, "always", generator, mirror_image=mirror_image)
        assert loss.item() == pytest.approx(nll[episodes.mask].mean().item())


def _noise_seed() -> int:
    from workbench.seeding import derive_seed

    return derive_seed(0, "discovery", 3)


def test_compile_reads_its_mirror_image_and_cuts_the_episode(base, episodes: Episodes, tmp_path) -> None:
    torch.manual_seed(0)
    segments = SegmentModel(SHAPE, segments=3)
    own = _activations(base, episodes)
    plain = segments(own, episodes.mask, sample=False)
    read = segments(own, episodes.mask, sample=False, mirror_image=own.flip(0))
    assert torch.equal(read.activation, segments.controller.hyper(own, read.z))
    assert not torch.equal(plain.mu, read.mu)
    weights = {}
    for mirror in (True, False):
        torch.manual_seed(0)
        model, folder = SegmentModel(SHAPE, segments=3), tmp_path / str(mirror)
        course = SegmentCourse(mirrored=mirror)
        discover_segments(base, SITE, model, lambda _: episodes, Schedule(tokens=1_000, lr=1e-2), course, folder)
        weights[mirror] = model.code[0].weight.detach()
    assert not torch.allclose(weights[True], weights[False])
