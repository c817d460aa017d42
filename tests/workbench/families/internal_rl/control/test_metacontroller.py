"""The metacontroller: what it writes is a matrix times the activation, its gates do what they say, it looks ahead only
where it may, and one step at a time it does what it does to whole episodes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from workbench.errors import SpecError
from workbench.families.internal_rl.control.metacontroller import Controlled, Gate, Metacontroller, MetacontrollerShape

SHAPE = MetacontrollerShape(d_model=12, history=5, summary=4, encoder=9, code=3, hyper=6, rank=2, switch=7)
BATCH, TIME = 5, 11


@pytest.fixture
def m() -> Metacontroller:
    torch.manual_seed(1)
    new = Metacontroller(SHAPE)
    with torch.no_grad():
        new.switch_out.weight.mul_(12)  # a switch that is neither always open nor always shut
        new.switch_out.bias.fill_(0.0)
        new.hyper.up.mul_(10)
    return new


@pytest.fixture
def e() -> Tensor:
    return torch.randn(BATCH, TIME, 12, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def mask() -> Tensor:
    return torch.arange(TIME) < torch.tensor([11, 7, 11, 1, 4])[:, None]


def run(
    m: Metacontroller, e: Tensor, mask: Tensor, gate: Gate = "hard", sample: bool = True, seed: int = 0
) -> Controlled:
    with torch.no_grad():
        return m(e, mask, gate, torch.Generator().manual_seed(seed), sample)


# ---- what is written


def test_the_signal_equals_an_explicit_matmul_at_every_position(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    found = run(m, e, mask)
    for row in range(BATCH):
        for t in range(TIME):
            phi = [*torch.tanh(m.hyper.hidden.weight @ found.z[row, t] + m.hyper.hidden.bias).tolist(), 1.0]
            up = sum(p * a for p, a in zip(phi, m.hyper.up, strict=True))
            down = sum(p * b for p, b in zip(phi, m.hyper.down, strict=True))
            matrix = up @ down  # [d, d]
            assert torch.linalg.matrix_rank(matrix) == SHAPE.rank
            torch.testing.assert_close(found.activation[row, t], e[row, t] + matrix @ e[row, t], atol=1e-5, rtol=1e-5)


def test_the_factors_are_those_of_the_signal(m: Metacontroller, e: Tensor) -> None:
    z = torch.randn(BATCH, TIME, SHAPE.code, generator=torch.Generator().manual_seed(3))
    up, down = m.hyper.factors(z)
    assert up.shape == (BATCH, TIME, 12, 2) and down.shape == (BATCH, TIME, 2, 12)
    torch.testing.assert_close(m.hyper(e, z), e + (up @ down @ e[..., None])[..., 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1100), (2600, 1), (1025, 1)])
def test_without_gradients_many_positions_are_written_in_parts_to_the_same_numbers(
    m: Metacontroller, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    e, z = torch.randn(*shape, 12), torch.randn(*shape, SHAPE.code)
    whole, sizes, written = m.hyper(e, z), [], m.hyper._written

    def counted(e: Tensor, z: Tensor) -> Tensor:
        sizes.append(len(e))
        return written(e, z)

    monkeypatch.setattr(m.hyper, "_written", counted)
    with torch.no_grad():
        torch.testing.assert_close(m.hyper(e, z), whole.detach(), atol=1e-5, rtol=1e-5)
        assert len(sizes) > 1 and sum(sizes) == shape[0] * shape[1] and max(sizes) <= 1024
        one = z[:1, :1]  # a code for all positions
        torch.testing.assert_close(m.hyper(e, one), m.hyper(e, one.expand(*shape, -1)), atol=1e-5, rtol=1e-5)
    m.hyper(e, z).sum().backward()
    assert m.hyper.up.grad is not None


def test_it_acts_on_the_activation_itself_and_is_no_gain_of_its_channels(m: Metacontroller) -> None:
    z, one = torch.ones(1, 1, SHAPE.code), torch.eye(12)[None, :1]
    written = m.hyper(one, z) - one
    torch.testing.assert_close(m.hyper(3 * one, z) - 3 * one, 3 * written)  # linear in the activation
    assert (written[0, 0, 1:].abs() > 1e-4).all()  # a single channel writes into every other


# ---- gates


def test_a_learned_gate_mixes_the_new_code_and_the_old(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    found = run(m, e, mask, "learned", sample=False)
    z = torch.zeros(BATCH, SHAPE.code)
    for t in range(TIME):
        beta = found.beta[:, t, None]
        z = beta * found.mu[:, t] + (1 - beta) * z
        torch.testing.assert_close(found.z[:, t], z)
    assert (found.beta[:, 0] == 1).all() and torch.equal(found.beta[:, 1:], found.probability[:, 1:])
    assert found.beta[:, 1:].std() > 0.1


def test_a_hard_gate_takes_the_code_or_holds_it(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    found = run(m, e, mask, "hard", sample=False)
    wanted = found.probability > 0.5
    wanted[:, 0] = True
    assert torch.equal(found.beta > 0, wanted) and set(found.beta.unique().tolist()) == {0.0, 1.0}
    for t in range(1, TIME):
        kept = torch.where(wanted[:, t, None], found.mu[:, t], found.z[:, t - 1])
        assert torch.equal(found.z[:, t], kept)
    assert 0.1 < wanted[:, 1:].float().mean() < 0.9


def test_forced_switching_takes_every_code(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    found = run(m, e, mask, "always", sample=False)
    assert torch.equal(found.z, found.mu) and (found.beta == 1).all()


def test_a_random_gate_opens_at_its_rate_and_always_at_the_start(m: Metacontroller) -> None:
    e = torch.randn(400, 20, 12)
    found = run(m, e, torch.ones(400, 20) > 0, 0.3)
    assert (found.beta[:, 0] == 1).all()
    assert found.beta[:, 1:].mean() == pytest.approx(0.3, abs=4 * (0.21 / 7600) ** 0.5)
    shut = run(m, e[:3], torch.ones(3, 20) > 0, 0.0)
    assert torch.equal(shut.z, shut.z[:, :1].expand_as(shut.z))


def test_a_sampled_gate_is_open_or_shut_with_the_switch_s_probability_and_has_a_gradient(m: Metacontroller) -> None:
    e = torch.randn(600, 12, 12, generator=torch.Generator().manual_seed(4))
    found = m(e, torch.ones(600, 12) > 0, "sampled", torch.Generator().manual_seed(0))
    beta = found.beta.detach()
    torch.testing.assert_close(beta, beta.round(), atol=1e-6, rtol=0)
    p = found.probability.detach()[:, 1:]
    spread = float((p * (1 - p)).mean() / p.numel()) ** 0.5
    assert beta[:, 1:].mean() == pytest.approx(float(p.mean()), abs=4 * spread)
    (gradient,) = torch.autograd.grad(found.activation.square().sum(), m.switch_out.weight)
    assert gradient.abs().max() > 0


def test_an_unknown_gate_is_refused(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    with pytest.raises(SpecError, match="unknown gate 'hardd'"):
        run(m, e, mask, "hardd")


# ---- codes


def test_codes_are_drawn_around_their_means(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    found = run(m, e, mask, "always", seed=6)
    noise = torch.randn(found.mu.shape, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(found.z, found.mu + found.log_sigma.exp() * noise)


def test_the_kl_is_that_of_torch_distributions(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    found = run(m, e, mask)
    posterior = Independent(Normal(found.mu, found.log_sigma.exp()), 1)
    prior = Independent(Normal(torch.zeros_like(found.mu), torch.ones_like(found.mu)), 1)
    torch.testing.assert_close(found.kl, kl_divergence(posterior, prior), atol=1e-5, rtol=1e-5)


def test_it_starts_with_the_rate_and_the_spread_that_it_says() -> None:
    torch.manual_seed(0)
    fresh = Metacontroller(MetacontrollerShape(d_model=64))
    found = run(fresh, torch.randn(20, 30, 64), torch.ones(20, 30) > 0, "learned")
    assert found.probability.mean() == pytest.approx(0.2, abs=0.03)
    assert found.log_sigma.mean() == pytest.approx(-2.0, abs=0.2)


# ---- what it looks at


def test_codes_look_ahead_and_the_switch_does_not(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    """The future reaches the switch through a code that is held, and by no other way."""
    whole, at = torch.ones(BATCH, TIME) > 0, 6
    changed = e.clone()
    changed[:, at:] += torch.linspace(-2, 2, 12)  # (an equal shift of all channels would be lost in the norm)
    a, b = (run(m, each, whole, "learned", sample=False) for each in (e, changed))
    assert ((a.mu - b.mu)[:, :at].abs().amax(-1) > 1e-4).all()  # the summary is of the whole episode
    with torch.no_grad():  # codes that are the same whatever is to come
        m.encode[-1].weight.zero_()
        m.encode[-1].bias.copy_(torch.linspace(-1, 1, 2 * SHAPE.code))
    a, b = (run(m, each, whole, "learned", sample=False) for each in (e, changed))
    assert torch.equal(a.probability[:, :at], b.probability[:, :at])
    assert torch.equal(a.beta[:, :at], b.beta[:, :at]) and torch.equal(a.activation[:, :at], b.activation[:, :at])
    assert not torch.allclose(a.probability[:, at], b.probability[:, at])  # it does see the present


def test_the_switch_sees_the_code_that_is_held_before_it_and_not_the_new_one(m: Metacontroller, e: Tensor) -> None:
    drawn = torch.randn(BATCH, TIME, SHAPE.code, generator=torch.Generator().manual_seed(8))
    other = drawn.clone()
    other[:, 4] += 2
    x = m.seen(e)
    past = torch.nn.functional.pad(m.history(x)[0], (0, 0, 1, -1))
    with torch.no_grad():
        (_, _, p), (_, _, q) = (m._hold(x, past, each, "always", None) for each in (drawn, other))
    assert torch.equal(p[:, :5], q[:, :5]) and not torch.allclose(p[:, 5], q[:, 5])


def test_padding_changes_nothing_before_it(m: Metacontroller, e: Tensor, mask: Tensor) -> None:
    changed = torch.where(mask[..., None], e, torch.full_like(e, 3.0) + torch.arange(12))
    a, b = (run(m, each, mask, "learned", sample=False) for each in (e, changed))
    for part in ("activation", "mu", "log_sigma", "z", "beta", "probability"):
        assert torch.equal(getattr(a, part)[mask], getattr(b, part)[mask]), part


def test_history_ends_before_the_present(m: Metacontroller, e: Tensor) -> None:
    """h_t-1 is what the switch gets: a zero at the start, whatever is seen there."""
    with torch.no_grad():
        m.switch_in.weight[:, :12] = 0  # the switch sees its history alone
    whole, changed = torch.ones(BATCH, TIME) > 0, e.clone()
    changed[:, 3] += torch.linspace(-2, 2, 12)
    m.encode[-1].weight.data.zero_()
    a, b = (run(m, each, whole, "learned", sample=False) for each in (e, changed))
    assert torch.equal(a.probability[:, :4], b.probability[:, :4])
    assert not torch.allclose(a.probability[:, 4], b.probability[:, 4])


# ---- one step at a time


def test_steps_equal_the_whole_sequence_under_the_hard_gate(m: Metacontroller, e: Tensor) -> None:
    found = run(m, e, torch.ones(BATCH, TIME) > 0, "hard", seed=5)
    noise = torch.randn(found.mu.shape, generator=torch.Generator().manual_seed(5))
    drawn = found.mu + found.log_sigma.exp() * noise
    past, z = torch.zeros(BATCH, SHAPE.history), torch.zeros(BATCH, SHAPE.code)
    switched = []
    with torch.no_grad():
        for t in range(TIME):
            x = m.seen(e[:, t])
            beta = m.switch(x, past, z)
            torch.testing.assert_close(beta, found.probability[:, t], atol=1e-5, rtol=1e-5)
            opens = (beta > 0.5) | (t == 0)
            z = torch.where(opens[:, None], drawn[:, t], z)
            torch.testing.assert_close(z, found.z[:, t], atol=1e-5, rtol=1e-5)
            steered = m.hyper(e[:, t : t + 1], z[:, None])[:, 0]
            torch.testing.assert_close(steered, found.activation[:, t], atol=1e-5, rtol=1e-5)
            past = m.advance(x, past)
            switched.append(opens)
    assert torch.equal(torch.stack(switched, 1), found.beta > 0)
