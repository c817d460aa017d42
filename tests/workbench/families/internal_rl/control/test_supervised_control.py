"""Supervised controllers: they learn, the model does not, and the oracle applies the one of the true subgoal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from steering.low_rank import LowRankControllers
from workbench.errors import ModelError, RunError
from workbench.families.internal_rl.control.supervised_control import fit_supervised, oracle_control, random_controllers
from workbench.models.interventions import Where
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site
from workbench.training.loop import Schedule
from workbench.worlds.pinpad.expert import expert_episodes
from workbench.worlds.pinpad.pinpad import Pinpad, begin, draw_layouts
from workbench.worlds.pinpad.tasks import pretraining_tasks

pytestmark = pytest.mark.slow

WORLD = Pinpad(size=5, colours=8, walls=0, horizon=30, distance=1, subgoal=2, observation="relative")
SITE = Site(1)


@pytest.fixture(scope="module")
def model():
    return tiny_sequence_model(world=WORLD)


def episodes_of(step: int):
    return expert_episodes(WORLD, pretraining_tasks(WORLD), 16, torch.Generator().manual_seed(step))


def loss(model, bank) -> float:
    found = episodes_of(10_000)
    choice = found.targets // 2
    logits = model.backend.forward(found.observations[:, :-1], hooks={SITE: lambda e: bank(e, choice)})
    return float(cross_entropy(logits[found.mask], found.moves[found.mask]))


@pytest.fixture(scope="module")
def fitted(model, tmp_path_factory: pytest.TempPathFactory):
    schedule = Schedule(tokens=12_000, lr=2e-2)
    before = model.fingerprint
    bank = fit_supervised(model, SITE, episodes_of, schedule, tmp_path_factory.mktemp("bank"), rank=2)
    assert type(model)(model.backend.hf_model, "again").fingerprint == before  # the model is left alone
    return bank


def test_one_controller_a_subgoal_is_fitted_to_the_experts_moves(model, fitted) -> None:
    assert fitted.up.shape == (4, model.d_model, 2)  # eight colours, four subgoals
    assert not any(p.requires_grad for p in fitted.parameters())
    with torch.no_grad():
        untrained = loss(model, LowRankControllers(4, model.d_model, 2))
        assert loss(model, fitted) < untrained - 0.03 < loss(model, random_controllers(fitted))


def test_an_interrupted_fit_goes_on_to_the_same_matrices(model, fitted, tmp_path: Path) -> None:
    def interrupted(step: int):
        if step == 5:
            raise KeyboardInterrupt
        return episodes_of(step)

    schedule = Schedule(tokens=12_000, lr=2e-2, checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        fit_supervised(model, SITE, interrupted, schedule, tmp_path, rank=2)
    again = fit_supervised(model, SITE, episodes_of, schedule, tmp_path, rank=2)
    assert torch.equal(again.up, fitted.up) and torch.equal(again.down, fitted.down)
    with pytest.raises(RunError, match="another"):
        fit_supervised(model, Site(0), episodes_of, schedule, tmp_path, rank=2)


def test_the_oracle_applies_the_matrix_of_the_true_subgoal(model, fitted) -> None:
    generator = torch.Generator().manual_seed(0)
    tasks = torch.tensor([[0, 1, 4, 5], [6, 7, 2, 3], [4, 5, 0, 1]])
    state = begin(WORLD, draw_layouts(WORLD, 3, generator), tasks)
    (control,) = oracle_control(model, SITE, fitted)(state)
    assert control.site == SITE and control.fingerprint == model.fingerprint
    e, rows = torch.randn(3, 1, model.d_model), torch.arange(3)[:, None]
    steered = control(e, Where(rows * 0, rows, rows * 0))
    for row, subgoal in enumerate((0, 3, 2)):
        matrix = fitted.up[subgoal] @ fitted.down[subgoal]
        torch.testing.assert_close(steered[row], e[row] + e[row] @ matrix.T, rtol=1e-4, atol=1e-5)


def test_random_controllers_have_the_rank_and_norm_of_the_fitted_ones(fitted) -> None:
    random = random_controllers(fitted, seed=1)
    for u, v in zip(fitted.up @ fitted.down, random.up @ random.down, strict=True):
        assert torch.linalg.matrix_rank(v) == 2 and v.norm() == pytest.approx(float(u.norm()), rel=1e-4)
        assert abs(float(torch.nn.functional.cosine_similarity(u.flatten(), v.flatten(), 0))) < 0.5
    assert not torch.equal(random_controllers(fitted, 2).up, random.up)


def test_a_model_of_no_pinpad_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not say which world"):
        fit_supervised(tiny_sequence_model(), SITE, episodes_of, Schedule(tokens=1), tmp_path)
