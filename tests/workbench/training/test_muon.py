"""Muon: the matrices of the blocks step along their orthogonalised momentum, all else is AdamW's, and it resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from workbench.errors import SpecError
from workbench.models.sequence import SequenceConfig, SequenceModelForActions
from workbench.training.loop import Schedule, _optimizers, train

PLAIN = Schedule(tokens=10, lr=0.01, weight_decay=0.0, checkpoint_seconds=0.0, warmup=0.0)
MUON = replace(PLAIN, muon=0.02)


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(4, 6)
        self.layers = nn.ModuleList([nn.Linear(6, 10), nn.Linear(10, 6)])
        self.bias = nn.Embedding(3, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        e = self.embed(x) + self.bias.weight.sum(0)
        return self.head(e + self.layers[1](self.layers[0](e).tanh()))


def new_blocks() -> Blocks:
    torch.manual_seed(0)
    return Blocks()


def loss_of(model: nn.Module, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    x, y = torch.randint(4, (32,), generator=generator), torch.randn(32, 2, generator=generator)
    return (model(x) - y).square().mean()


def one_step(model: Blocks, schedule: Schedule, folder: Path) -> None:
    train(model, lambda step, _: (loss_of(model, step), schedule.tokens), schedule, folder, {})


@pytest.mark.parametrize("layer", [0, 1])
def test_a_step_is_the_gradient_s_orthogonal_factor_by_svd(tmp_path: Path, layer: int) -> None:
    model, generator = new_blocks(), torch.Generator().manual_seed(1)
    weight = model.layers[layer].weight
    u, _ = torch.linalg.qr(torch.randn(weight.shape[0], 6, generator=generator))
    v, _ = torch.linalg.qr(torch.randn(weight.shape[1], 6, generator=generator))
    gradient, before = u @ torch.linspace(0.2, 3, 6).diag() @ v.T, weight.detach().clone()
    train(model, lambda *_: ((weight * gradient).sum(), 10), MUON, tmp_path, {})
    moved = before - weight.detach()
    size = MUON.rate(0.0, MUON.muon) * max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
    # Whatever the gradient's singular values, the step's are near 1 (Newton-Schulz stops between .68 and 1.14)...
    seen = u.T @ moved @ v / size
    assert seen.diagonal().min() > 0.6 and seen.diagonal().max() < 1.25
    # ...on the gradient's own axes, and there is nothing else in it (the rounds are in bfloat16).
    assert (seen - seen.diagonal().diag()).abs().max() < 0.03
    torch.testing.assert_close(u @ seen @ v.T * size, moved, atol=0.03 * size, rtol=0)


def test_all_else_moves_as_under_adamw_alone(tmp_path: Path) -> None:
    a, b = new_blocks(), new_blocks()
    one_step(a, MUON, tmp_path / "a")
    one_step(b, PLAIN, tmp_path / "b")
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q) != (name in ("layers.0.weight", "layers.1.weight")), name


def test_muon_has_the_matrices_of_the_blocks_and_neither_embeddings_nor_heads() -> None:
    model = SequenceModelForActions(SequenceConfig(num_hidden_layers=2, hidden_size=16, intermediate_size=16))
    names = {id(p): name for name, p in model.named_parameters()}
    adamw, muon = _optimizers(model, MUON)
    held = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    parts = ("self_attn.qkv", "self_attn.out", "mlp.up", "mlp.down")
    assert held == {f"model.layers.{i}.{part}.weight" for i in range(2) for part in parts}
    rest = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert rest == set(names.values()) - held and "model.layers.0.self_attn.bias.weight" in rest


def test_its_rate_follows_the_course_of_the_schedule(tmp_path: Path) -> None:
    model, rates = new_blocks(), []
    known = torch.optim.Muon.step

    def step(self, *args):  # type: ignore[no-untyped-def]
        rates.append(self.param_groups[0]["lr"])
        return known(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Muon, "step", step)
        train(model, lambda step, _: (loss_of(model, step), 1), MUON, tmp_path, {})
    assert rates == [MUON.rate(n / 10, MUON.muon) for n in range(10)]


def test_a_killed_training_with_muon_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    def run(model: Blocks, folder: Path, die_at: int | None = None) -> None:
        def step_loss(step: int, _done: float) -> tuple[Tensor, int]:
            if step == die_at:
                raise KeyboardInterrupt
            return loss_of(model, step), 1

        train(model, step_loss, MUON, folder, {})

    whole, again = new_blocks(), new_blocks()
    run(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(new_blocks(), tmp_path / "killed", die_at=6)
    run(again, tmp_path / "killed")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("model", [nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 2))], ids=["linear", "sequential"])
def test_a_model_without_blocks_is_refused_in_one_line(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"muon=0\.02 needs .* 'layers', and \w+ has none: leave muon out"):
        train(model, lambda *_: (model(torch.ones(1, 2)).sum(), 1), MUON, tmp_path, {})
