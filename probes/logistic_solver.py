"""Multinomial logistic regression of many targets on the same features at once.

Each target minimises mean cross-entropy + |w|^2 / (2 C n).  All share the features, so a step is one product with X
and one with X' for all of them, and the line search costs no product at all, the logits being linear in the step.
L-BFGS runs side by side for the targets, each with its own step length, in the coordinates of X'X's eigenvectors scaled
by the curvature that a probability of one half has there: no direction is then much steeper than another and some
twenty steps suffice.  A target that has converged leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

__all__ = ["solve"]

_HISTORY, _HALVINGS, _ARMIJO = 8, 15, 1e-4
_CURVATURE = 0.25  # p (1 - p) at one half
_ABSENT = -1e30  # added to the logit of a label that a target does not have


def solve(
    x: Float[Tensor, "rows d"],
    y: Int[Tensor, "rows targets"],
    n_labels: int,
    C: float,
    weights: Float[Tensor, "rows targets"] | None = None,
    max_iter: int = 200,
    tol: float = 1e-4,
) -> tuple[Float[Tensor, "d labels targets"], Float[Tensor, "labels targets"], Int[Tensor, " targets"]]:
    """Weights, intercepts and steps taken; ``x`` must be centred, ``y`` holds numbers of labels below ``n_labels``.

    A target has converged when no component of its gradient exceeds ``tol``, as in scikit-learn; one that has not shows
    more than ``max_iter`` steps.  Labels that a target lacks get weight 0.
    """
    space = _Space.of(x, C)
    state = _State.start(space, y, n_labels, weights)
    found = torch.zeros((x.shape[1] + 1, n_labels, y.shape[1]), dtype=x.dtype, device=x.device)
    steps = torch.zeros(y.shape[1], dtype=torch.long, device=x.device)
    for step in range(max_iter + 1):
        done = state.finished(tol)
        steps[state.which] += ~done
        leaving = done if step < max_iter else torch.ones_like(done)
        if leaving.all() or leaving.sum() >= 0.2 * len(leaving):  # it costs a copy of all the rest
            found[..., state.which[leaving]] = state.u[..., leaving]
            state.keep(~leaving)
        if not len(state.which):
            break
        state.step()
    return *space.out(found), steps


@dataclass(frozen=True, eq=False)
class _Space:
    """Coordinates u in which the problem is well conditioned: w = back @ u[:-1], intercept = 2 u[-1]."""

    z: Float[Tensor, "rows d+1"]
    back: Float[Tensor, "d d"]
    forth: Float[Tensor, "d d"]  # gradients in u to gradients in w
    penalty: Float[Tensor, " d+1"]

    @classmethod
    def of(cls, x: Float[Tensor, "rows d"], C: float) -> _Space:
        n = len(x)
        values, vectors = torch.linalg.eigh((x.T @ x / n).double())
        scale = (_CURVATURE * values.clamp(min=0) + 1 / (C * n)).rsqrt()
        back = (vectors * scale).to(x.dtype)
        ones = torch.full((n, 1), _CURVATURE**-0.5, dtype=x.dtype, device=x.device)
        penalty = torch.cat([scale**2 / (C * n), scale.new_zeros(1)]).to(x.dtype)
        return cls(torch.hstack([x @ back, ones]), back, (vectors / scale).to(x.dtype), penalty)

    def out(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [d, labels, targets] and intercepts [labels, targets]."""
        return (self.back @ u[:-1].flatten(1)).view(-1, *u.shape[1:]), u[-1] * _CURVATURE**-0.5

    def steepness(self, gradient: Tensor) -> Float[Tensor, " targets"]:
        """Largest component of the gradient by weights and intercepts."""
        by_weight = (self.forth @ gradient[:-1].flatten(1)).view(-1, *gradient.shape[1:])
        return torch.maximum(by_weight.abs().amax((0, 1)), (gradient[-1] / _CURVATURE**-0.5).abs().amax(0))


@dataclass(eq=False)
class _State:
    """Where the descent of every unfinished target is; targets are the last axis of all tensors but those of space."""

    space: _Space
    which: Int[Tensor, " targets"]
    y: Int[Tensor, "rows 1 targets"]
    weights: Float[Tensor, "#rows targets"]
    absent: Float[Tensor, "labels targets"]
    strength: Float[Tensor, " targets"]  # 2 for targets of two labels, which scikit-learn fits by one vector, w1 - w0
    u: Float[Tensor, "d+1 labels targets"]
    stuck: Bool[Tensor, " targets"]
    logits: Float[Tensor, "rows labels targets"]
    loss: Float[Tensor, " targets"]
    gradient: Float[Tensor, "d+1 labels targets"]
    moves: list[Tensor] = field(default_factory=list)
    changes: list[Tensor] = field(default_factory=list)

    @classmethod
    def start(cls, space: _Space, y: Tensor, n_labels: int, weights: Tensor | None) -> Self:
        z, shape = space.z, (n_labels, y.shape[1])
        there = torch.zeros(shape, dtype=torch.bool, device=z.device).scatter_(0, y, True)
        state = cls(
            space=space,
            which=torch.arange(shape[1], device=z.device),
            y=y[:, None],
            weights=z.new_ones(1, shape[1]) if weights is None else weights,
            absent=torch.where(there, 0.0, _ABSENT).to(z.dtype),
            strength=torch.where(there.sum(0) == 2, 2.0, 1.0).to(z.dtype),
            u=z.new_zeros(z.shape[1], *shape),
            stuck=torch.zeros(shape[1], dtype=torch.bool, device=z.device),
            logits=z.new_zeros(len(z), *shape),
            loss=z.new_zeros(shape[1]),
            gradient=z.new_zeros(z.shape[1], *shape),
        )
        state.logits += state.absent
        state.loss, residual = state.evaluate(state.logits, state.u)
        state.gradient = state.slope(residual, state.u)
        return state

    def finished(self, tol: float) -> Bool[Tensor, " targets"]:
        """Targets that have converged, or that rounding keeps from getting further."""
        return self.stuck | (self.space.steepness(self.gradient) <= tol)

    def keep(self, kept: Bool[Tensor, " targets"]) -> None:
        """Drop all other targets."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, list):
                setattr(self, each.name, [tensor[..., kept] for tensor in value])
            elif isinstance(value, torch.Tensor):
                setattr(self, each.name, value[..., kept])

    def evaluate(self, logits: Tensor, u: Tensor) -> tuple[Float[Tensor, " targets"], Tensor]:
        """Loss of each target, and its derivative by the logits."""
        highest = logits.amax(1, keepdim=True)
        residual = (logits - highest).exp_()
        total = residual.sum(1, keepdim=True)
        lost = (total.log() + highest - logits.gather(1, self.y))[:, 0]
        residual /= total
        residual.scatter_add_(1, self.y, torch.full_like(total, -1.0))
        residual *= self.weights[:, None] / len(logits)
        penalty = (self.space.penalty[:, None, None] * u**2).sum((0, 1)) * self.strength / 2
        return (lost * self.weights).mean(0) + penalty, residual

    def slope(self, residual: Tensor, u: Tensor) -> Float[Tensor, "d+1 labels targets"]:
        """The gradient by u."""
        data = (self.space.z.T @ residual.flatten(1)).view(u.shape)
        return data + self.space.penalty[:, None, None] * u * self.strength

    def step(self) -> None:
        """One step of every target, as long as its loss allows."""
        direction = self._direction()
        rise = _dot(self.gradient, direction)
        ahead = (self.space.z @ direction.flatten(1)).view(self.logits.shape)
        length = torch.ones_like(rise)
        slack = 2 * torch.finfo(rise.dtype).eps * self.loss.abs()
        for _ in range(_HALVINGS):
            u, logits = self.u + length * direction, self.logits + length * ahead
            loss, residual = self.evaluate(logits, u)
            fine = loss <= self.loss + _ARMIJO * length * rise + slack
            if fine.all():
                break
            length = torch.where(fine, length, length / 2)
        gradient = self.slope(residual, u)
        self.moves = [*self.moves[1 - _HISTORY :], u - self.u]
        self.changes = [*self.changes[1 - _HISTORY :], gradient - self.gradient]
        self.u, self.logits, self.loss, self.gradient = u, logits, loss, gradient
        self.stuck = self.stuck | ~fine

    def _direction(self) -> Float[Tensor, "d+1 labels targets"]:
        """Minus the inverse Hessian that the last steps suggest, times the gradient (Nocedal and Wright, alg. 7.4)."""
        result = -self.gradient
        curvatures = [_dot(move, change) for move, change in zip(self.moves, self.changes, strict=True)]
        usable = [curvature > 1e-10 for curvature in curvatures]
        rho = [torch.where(good, 1 / c, 0.0) for good, c in zip(usable, curvatures, strict=True)]
        alphas = []
        for move, change, r in zip(reversed(self.moves), reversed(self.changes), reversed(rho), strict=True):
            alphas.append(r * _dot(move, result))
            result = result - alphas[-1] * change
        if self.moves:
            result = result * torch.where(usable[-1], curvatures[-1] / _dot(self.changes[-1], self.changes[-1]), 1.0)
        for move, change, r, alpha in zip(self.moves, self.changes, rho, reversed(alphas), strict=True):
            result = result + (alpha - r * _dot(change, result)) * move
        uphill = _dot(self.gradient, result) >= 0
        return torch.where(uphill, -self.gradient, result)


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, " targets"]:
    return (a * b).sum((0, 1))
