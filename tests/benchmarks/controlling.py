"""Internal RL: rollouts under a metacontroller's codes, and what the low-rank control costs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import torch
from measure import Row, at_least, at_most, compare

from steering.stateful import Carried
from workbench.families.internal_rl.control.internal_rl import CodedControl
from workbench.families.internal_rl.control.learners import new_policy
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.models.interventions import Scope, Where
from workbench.models.sequence import SequenceConfig, SequenceModelForActions
from workbench.models.sequence_model import SequenceModel
from workbench.sites import Site
from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad, begin, draw_layouts
from workbench.worlds.pinpad.play import Played, play_pinpad
from workbench.worlds.pinpad.tasks import held_out_task

__all__ = ["low_rank", "rollouts"]

PAPER = {"layers": 6, "width": 256, "heads": 4, "mlp": 512}


def rollouts(_model: str, quick: bool) -> list[Row]:
    """Rollouts of internal RL with cached state against running the whole prefix again at every step."""
    # On a wider grid, since an untrained base in the paper's world ends an episode after a dozen steps.
    world, n = replace(PINPADS["paper"], size=15, horizon=20 if quick else 100), 8 if quick else 32
    model, site = _base(world), Site(2)
    metacontroller = Metacontroller(MetacontrollerShape(d_model=model.d_model)).requires_grad_(False).eval()

    def play(cached: bool) -> Played:
        generator = torch.Generator().manual_seed(0)
        control = CodedControl(site, metacontroller, new_policy(metacontroller), generator)
        state = begin(world, draw_layouts(world, n, generator), held_out_task(world).expand(n, -1))
        act: Any = Carried(control, n) if cached else _OverPrefix(control, n, world.horizon)
        return play_pinpad(model, state, generator, [act], cached=cached)

    ours, other = play(True), play(False)
    same = (ours.episodes.moves == other.episodes.moves)[ours.episodes.mask].float().mean()
    if same < 0.99:
        raise AssertionError(f"only {same:.1%} of the moves are the same with and without a cache")
    (timed,) = compare(lambda: play(True), [lambda: play(False)], 1 if quick else 2, warm=True)
    steps = int(ours.episodes.lengths.sum())
    note = (
        f"{_shape(model)}; {n} episodes side by side of {steps / n:.0f} steps on average, {world.horizon} at most, "
        "codes from a GRU of 256; without a cache, past steps keep their codes and only the passes repeat; "
        f"{same:.0%} of the moves are the same"
    )
    return [at_least("internal RL rollouts with cached state, over running the prefix again", timed, 5, note)]


def low_rank(_model: str, quick: bool) -> list[Row]:
    """The hypernetwork's low-rank control of every position against a forward pass of the base."""
    world, n = PINPADS["paper"], 4 if quick else 64
    model = _base(world)
    metacontroller = Metacontroller(MetacontrollerShape(d_model=model.d_model)).requires_grad_(False).eval()
    generator = torch.Generator().manual_seed(0)
    observations = torch.stack(
        [torch.randint(s, (n, world.horizon), generator=generator) for s in world.field_sizes], -1
    )
    activation = torch.randn(n, world.horizon, model.d_model, generator=generator)
    z = torch.randn(n, world.horizon, metacontroller.shape.code, generator=generator)

    def control() -> object:
        with torch.no_grad():
            return metacontroller.hyper(activation, z)

    def forward() -> object:
        with torch.no_grad():
            return model.backend.forward(observations)

    (timed,) = compare(control, [forward], 2 if quick else 9)
    note = f"{_shape(model)}; {n} episodes of {world.horizon} steps, a code of 8 at every step, rank 16"
    return [at_most("a low-rank controller at every position, of a forward pass of the base", timed, 0.1, note)]


class _OverPrefix:
    """A coded control in passes that repeat the prefix: codes of past steps as they were, the last step as ever."""

    scope = Scope.everywhere()

    def __init__(self, control: CodedControl, rows: int, steps: int) -> None:
        self.control, self.site = control, control.site
        self.carried = Carried(control, rows)
        self.codes = torch.zeros(rows, steps, control.metacontroller.shape.code)

    def __call__(self, activation: torch.Tensor, where: Where) -> torch.Tensor:
        last = Where(where.positions[:, -1:], where.rows[:, -1:], where.prompt_lengths[:, -1:])
        now = self.carried(activation[:, -1:], last)
        rows, t = where.rows[:, 0], activation.shape[1] - 1
        self.codes[rows, t] = self.carried.state["z"][rows]
        past = self.control.metacontroller.hyper(activation[:, :-1], self.codes[rows, :t])
        return torch.cat([past, now], 1)


def _base(world: Pinpad) -> SequenceModel:
    """An untrained base of the paper's size."""
    torch.manual_seed(0)
    config = SequenceConfig(
        field_sizes=world.field_sizes, n_actions=4, hidden_size=PAPER["width"], intermediate_size=PAPER["mlp"],
        num_hidden_layers=PAPER["layers"], num_attention_heads=PAPER["heads"], max_position_embeddings=world.horizon,
        world=asdict(world),
    )  # fmt: skip
    return SequenceModel(SequenceModelForActions(config).eval().requires_grad_(False), "paper's size")


def _shape(model: SequenceModel) -> str:
    return f"{model.n_layers}x{model.d_model}"
