"""Internal RL's control: codes are drawn once a decision, whatever passes are run over the steps; and the policy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from steering.stateful import Carried
from workbench.families.internal_rl.control.internal_rl import CodedControl, CodePolicy, Decisions, clipped_objective
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.models.interventions import Where
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site
from workbench.worlds.pinpad.pinpad import Pinpad, begin, draw_layouts
from workbench.worlds.pinpad.play import Played, play_pinpad

SHAPE = MetacontrollerShape(d_model=16, history=4, summary=4, encoder=8, code=3, hyper=8, rank=4, switch=8)
SITE, N, TIME = Site(1), 6, 9
WORLD = Pinpad(size=5, colours=3, walls=2, horizon=14, subgoal=1)

New = Callable[..., CodedControl]


@pytest.fixture
def new() -> New:
    """``new(seed, policy)``: a control whose switch opens now and then."""
    torch.manual_seed(1)
    m = Metacontroller(SHAPE).requires_grad_(False)
    m.hyper.up.mul_(20)
    m.switch_out.weight.mul_(20)
    m.switch_out.bias.zero_()
    policy = CodePolicy(16, SHAPE.code, width=5).requires_grad_(False)
    policy.mean.weight.normal_()
    policy.log_std.copy_(torch.tensor([-0.5, 0.0, 0.3]))

    def make(seed: int = 0, random: bool = False, **options: object) -> CodedControl:
        return CodedControl(SITE, m, None if random else policy, torch.Generator().manual_seed(seed), **options)

    return make


@pytest.fixture
def e() -> Tensor:
    return torch.randn(N, TIME, 16)


def where_of(rows: list[int], start: int, n: int) -> Where:
    positions = torch.arange(start, start + n).expand(len(rows), -1)
    return Where(positions, torch.tensor(rows)[:, None].expand(-1, n), torch.full_like(positions, TIME))


ALL = list(range(N))


def stepwise(control: CodedControl, e: Tensor) -> Tensor:
    carried = Carried(control, N)
    return torch.cat([carried(e[:, t : t + 1], where_of(ALL, t, 1)) for t in range(e.shape[1])], 1)


def same(a: Decisions, b: Decisions) -> None:
    for part in ("seen", "z", "log_prob", "mask", "time"):
        torch.testing.assert_close(getattr(a, part), getattr(b, part), atol=1e-5, rtol=1e-5)


# ---- passes


@pytest.mark.parametrize("options", [{}, {"always": True}, {"random": True}, {"temperature": 0.0}], ids=str)
def test_one_pass_over_all_steps_equals_a_pass_a_step(new: New, e: Tensor, options: dict[str, object]) -> None:
    a, b = new(**options), new(**options)
    found = stepwise(a, e)
    torch.testing.assert_close(Carried(b, N)(e, where_of(ALL, 0, TIME)), found, atol=1e-5, rtol=1e-5)
    same(a.decisions(N), b.decisions(N))
    assert (found - e).abs().max() > 0.1, "a control that does nothing would prove nothing"


@pytest.mark.parametrize("options", [{}, {"always": True}, {"random": True}], ids=str)
def test_steps_that_were_taken_keep_their_codes_when_they_are_run_again(
    new: New, e: Tensor, options: dict[str, object]
) -> None:
    """As in playing without a cache: prefixes of growing length, each from the start."""
    a, b = new(**options), new(**options)
    wanted, carried = stepwise(a, e), Carried(b, N)
    for n in range(1, TIME + 1):
        found = carried(e[:, :n], where_of(ALL, 0, n))
        torch.testing.assert_close(found, wanted[:, :n], atol=1e-5, rtol=1e-5)
    same(a.decisions(N), b.decisions(N))
    assert torch.equal(a.generator.get_state(), b.generator.get_state())  # nothing was drawn twice
    switches = a.decisions(N).switches(TIME)
    assert options or 0.1 < switches[:, 1:].float().mean() < 0.9


def test_rows_that_were_dropped_leave_the_others_alone(new: New, e: Tensor) -> None:
    a, b, kept = new(temperature=0.0), new(temperature=0.0), [4, 0, 3]
    wanted, carried = stepwise(a, e), Carried(b, N)
    carried(e[:, :4], where_of(ALL, 0, 4))
    torch.testing.assert_close(carried(e[kept, :6], where_of(kept, 0, 6)), wanted[kept, :6], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(carried(e[kept, 6:], where_of(kept, 6, 3)), wanted[kept, 6:], atol=1e-5, rtol=1e-5)
    # and one that comes back, to steps of which it took some
    torch.testing.assert_close(carried(e[[5]], where_of([5], 0, TIME)), wanted[[5]], atol=1e-5, rtol=1e-5)


def test_padding_draws_no_codes(new: New, e: Tensor) -> None:
    control, where = new(always=True), where_of(ALL, 0, TIME)
    positions = where.positions.clone()
    positions[2, 4:] = -1
    Carried(control, N)(e, Where(positions, where.rows, where.prompt_lengths))
    assert control.decisions(N).mask.sum(1).tolist() == [TIME, TIME, 4, TIME, TIME, TIME]


def test_what_is_written_is_the_matrix_of_the_code_in_force(new: New, e: Tensor) -> None:
    control = new()
    found = stepwise(control, e)
    up, down = control.metacontroller.hyper.factors(control.decisions(N).held(TIME))
    torch.testing.assert_close(found, e + (up @ down @ e[..., None])[..., 0], atol=1e-5, rtol=1e-5)


def play(control: CodedControl, cached: bool) -> Played:
    generator = control.generator
    state = begin(WORLD, draw_layouts(WORLD, 40, generator), torch.tensor([0, 2]).expand(40, -1))
    return play_pinpad(tiny_sequence_model(world=WORLD), state, generator, [Carried(control, 40)], cached=cached)


@pytest.mark.parametrize("options", [{}, {"always": True}, {"random": True}], ids=str)
def test_rollouts_with_and_without_a_cache_make_the_same_moves(new: New, options: dict[str, object]) -> None:
    a, b = new(9, **options), new(9, **options)
    cached, whole = play(a, True), play(b, False)
    assert torch.equal(cached.episodes.moves, whole.episodes.moves)
    torch.testing.assert_close(cached.logprobs, whole.logprobs, atol=1e-4, rtol=0)
    lengths = cached.episodes.lengths
    same(a.decisions(40, lengths), b.decisions(40, lengths))
    assert lengths.min() < lengths.max() and a.decisions(40, lengths).mask.sum(1).max() > 2


# ---- decisions


def test_random_codes_are_standard_normal_with_their_density(new: New) -> None:
    control, e = new(random=True, always=True), torch.randn(N, 400, 16)
    Carried(control, N)(e, where_of(ALL, 0, 400))
    made = control.decisions(N)
    z = made.z.flatten(0, 1)
    assert z.mean().abs() < 4 / len(z) ** 0.5 and z.std() == pytest.approx(1.0, abs=0.05)
    torch.testing.assert_close(made.log_prob, Normal(0.0, 1.0).log_prob(made.z).sum(-1))


def test_decisions_know_their_steps_and_hold_their_codes() -> None:
    made = Decisions(
        torch.zeros(2, 3, 1), torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [0.0]]]), torch.zeros(2, 3),
        torch.tensor([[True, True, True], [True, True, False]]), torch.tensor([[0, 2, 3], [0, 1, 0]]),
    )  # fmt: skip
    assert made.switches(5).long().tolist() == [[1, 0, 1, 1, 0], [1, 1, 0, 0, 0]]
    assert made.held(5)[..., 0].tolist() == [[1, 1, 2, 3, 3], [4, 5, 5, 5, 5]]


# ---- the policy


def test_the_policy_s_density_is_that_of_independent_normals() -> None:
    policy = CodePolicy(8, code=3, width=4, std=0.5)
    mean, z = torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    torch.testing.assert_close(policy.log_prob(mean, z), Normal(mean, 0.5).log_prob(z).sum(-1))


def test_the_policy_remembers_its_decisions_and_starts_at_nought() -> None:
    policy, seen = CodePolicy(8, code=3, width=4), torch.randn(5, 6, 8)
    assert policy(seen)[0].abs().max() == 0 and policy.log_std.abs().max() == 0
    torch.nn.init.normal_(policy.mean.weight)
    whole, last = policy(seen)
    hidden, parts = None, []
    for t in range(6):
        mean, hidden = policy(seen[:, t : t + 1], hidden)
        parts.append(mean)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    torch.testing.assert_close(hidden, last)
    changed = seen.clone()
    changed[:, 0] += 1
    assert not torch.allclose(policy(changed)[0][:, 5], whole[:, 5])


# ---- the objective


@pytest.mark.parametrize(
    ("advantage", "ratio", "climbs"),
    [(1, 1.1, True), (1, 1.3, False), (-1, 0.9, True), (-1, 0.7, False), (1, 0.5, True), (-1, 2.0, True)],
)
def test_the_objective_stops_climbing_where_the_ratio_has_gone_far_enough(
    advantage: float, ratio: float, climbs: bool
) -> None:
    log_prob = torch.tensor([[ratio]]).log().requires_grad_(True)
    gain = clipped_objective(log_prob, torch.zeros(1, 1), torch.full((1, 1), float(advantage)), torch.ones(1, 1) > 0)
    gain.backward()
    assert (log_prob.grad.abs() > 0).item() == climbs
    assert gain.item() == pytest.approx(min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage))
