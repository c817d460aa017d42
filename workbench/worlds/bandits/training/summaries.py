"""What the teachers of ``bandit-smollm2`` think and do: UCB and Thompson sampling on what is written in the prompt.

Both teachers read the prompt's own rounded averages, so what they write follows from what the model sees:

    upper bounds:  A 61+24=85, B 48+28=76, C new.    the bonus is sigma sqrt(2 ln n / n_arm), n choices in all
    samples:       A 66, B 71, C 52.                 a draw from each arm's posterior, from 00 to 99

and the action is the arm with the highest number (a new one first, for UCB), ties broken evenly.  Without a thought the
action is Thompson's at once.  What is drawn at random is taught by its exact distribution, as soft targets.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import beta, norm

from workbench.training.branches import Pair
from workbench.worlds.bandits.arms import BernoulliArms, GaussianArms
from workbench.worlds.bandits.oracles import Oracle, make_oracle
from workbench.worlds.bandits.summary import LABELS, PAYS, TRAINED_WORDINGS, SummaryText
from workbench.worlds.bandits.text import RENDERINGS

# In points: of a Gaussian reward, of the prior of its mean; UCB's sigma for rewards of 0 and 100 (the paper's C = .5).
SIGMA, PRIOR_MEAN, PRIOR_SD, COIN_SIGMA = 10.0, 50.0, 20.0, 50.0 / np.sqrt(2)
AT_ONCE = 6  # how many times the single token of an action without a thought counts
BEHAVIOURS = ("teacher", "teacher", "ucb", "greedy", "epsilon_greedy", "random", "stuck")


def bonuses(counts: np.ndarray, pays: str) -> np.ndarray:
    """UCB's bonus of each arm in points, rounded as it is written; arms never chosen have none (0).

    >>> bonuses(np.array([4, 3, 0]), "points").tolist()
    [10, 11, 0]
    """
    sigma = SIGMA if pays == "points" else COIN_SIGMA
    bonus = sigma * np.sqrt(2 * np.log(max(1, counts.sum())) / np.maximum(counts, 1))
    return np.where(counts > 0, np.round(bonus), 0).astype(int)


def sample_chances(average: int | None, count: int, pays: str) -> np.ndarray:
    """[100]: the chance of each written draw from an arm's posterior, in points.

    The mean of Gaussian rewards has the prior N(50, 20); a chance has the prior Beta(1, 1).

    >>> p = sample_chances(61, 4, "points")
    >>> round(float(p @ np.arange(100)), 1)  # the posterior's mean
    60.4
    """
    edges = np.arange(1, 100)
    if pays == "points":
        precision = PRIOR_SD**-2 + count * SIGMA**-2
        mean = (PRIOR_MEAN * PRIOR_SD**-2 + count * (average or 0) * SIGMA**-2) / precision
        below = norm.cdf(edges - 0.5, mean, precision**-0.5)
    else:
        won = round(count * (average or 0) / 100)
        below = beta.cdf(edges / 100, 1 + won, 1 + count - won)
    return np.diff(below, prepend=0.0, append=1.0)


def upper_bounds(text: SummaryText, counts: np.ndarray, averages: list[int | None]) -> tuple[str, np.ndarray]:
    """UCB's thought (behind its first words) and the probabilities of its action, [arm]."""
    bonus = bonuses(counts, text.pays)
    bounds = np.array([np.inf if a is None else a + b for a, b in zip(averages, bonus, strict=True)])
    said = [
        f" {label} new" if average is None else f" {label} {average}+{b}={average + b}"
        for label, average, b in zip(text.labels, averages, bonus, strict=True)
    ]
    return f"{','.join(said)}.", _evenly(bounds)


def samples(
    text: SummaryText, counts: np.ndarray, averages: list[int | None], rng: np.random.Generator
) -> tuple[str, np.ndarray, list[tuple[int, dict[str, float]]]]:
    """Thompson's thought, the probabilities of its action given the draws, and the draws' digits as soft targets."""
    said, soft, drawn = "", [], []
    for label, average, count in zip(text.labels, averages, counts, strict=True):
        table = sample_chances(average, int(count), text.pays).reshape(10, 10)  # [tens, units]
        value = int(rng.choice(100, p=table.ravel()))
        drawn.append(value)
        said += f"{',' if said else ''} {label} {value:02d}"
        soft.append((len(said) - 2, _choices(table.sum(1))))
        soft.append((len(said) - 1, _choices(table[value // 10])))
    return f"{said}.", _evenly(np.array(drawn, float)), soft


def at_once(counts: np.ndarray, averages: list[int | None], pays: str) -> np.ndarray:
    """Thompson's probabilities of the actions, [arm]: the chance that an arm's draw is the highest.

    >>> at_once(np.array([4, 4]), [61, 61], "points").tolist()
    [0.5, 0.5]
    """
    shown = np.array([average or 0 for average in averages])
    if pays == "points":
        oracle = make_oracle("thompson", sigma=SIGMA, prior_mean=PRIOR_MEAN, prior_sd=PRIOR_SD)
        p = oracle.probabilities(counts[None], (counts * shown)[None], int(counts.sum()))[0]
    else:
        won = np.round(counts * shown / 100)
        p = make_oracle("bernoulli_thompson").probabilities(counts[None], won[None], int(counts.sum()))[0]
    return np.where(p < 1e-6, 0, p) / p[p >= 1e-6].sum()


def _choices(weights: np.ndarray) -> dict[str, float]:
    p = weights / weights.sum()
    return {str(digit): float(p[digit]) for digit in np.flatnonzero(p > 1e-6)}


def _evenly(values: np.ndarray) -> np.ndarray:
    best = values == values.max()
    return best / best.sum()


def pair(text: SummaryText, counts: np.ndarray, sums: np.ndarray, rng: np.random.Generator) -> Pair:
    """What a teacher (that of ``text.thinks``) writes in a state; ``counts`` and ``sums`` [arm] in rewards."""
    averages = text.averages(counts, sums)
    soft: list[tuple[int, dict[str, float]]] = []
    if text.thinks == "samples":
        thought, p, soft = samples(text, counts, averages, rng)
    elif text.thinks == "upper bounds":
        thought, p = upper_bounds(text, counts, averages)
    else:
        thought, p = "", at_once(counts, averages, text.pays)
    arm = int(rng.choice(len(p), p=p))
    completion = f"{thought}\n{text.action(arm)}" if text.thoughts else f" {text.labels[arm]}"
    if (p > 0).sum() > 1:
        at = len(completion) - len(text.labels[arm]) - 1
        soft.append((at, {f" {text.labels[k]}": float(p[k]) for k in np.flatnonzero(p)}))
    return Pair([*text.messages(counts, sums), {"role": "assistant", "content": text.prefill}], completion, tuple(soft))


# ---- states


def visited(
    behaviour: str, arms: GaussianArms | BernoulliArms, n: int, horizon: int, rng: np.random.Generator
) -> States:
    """One state from each of ``n`` episodes that ``behaviour`` plays: half of the rounds are drawn evenly, half evenly
    in their logarithm (where more is undecided).  ``stuck`` plays one arm from some round on."""
    means = np.stack(
        [np.asarray(arms.means(rng)) if callable(arms.means) else np.asarray(arms.means) for _ in range(n)]
    )
    counts, sums, rows = np.zeros_like(means), np.zeros_like(means), np.arange(n)
    logs = np.exp(rng.uniform(0, np.log(horizon + 1), n)) - 1
    rounds = np.where(rng.random(n) < 0.5, rng.integers(0, horizon, n), np.minimum(logs, horizon - 1).astype(int))
    favourite, stuck_from = rng.integers(0, means.shape[1], n), rng.integers(0, 8, n)
    policy = _policy(behaviour, isinstance(arms, GaussianArms))
    kept_counts, kept_sums = counts.copy(), sums.copy()
    for step in range(horizon):
        now = rounds == step
        kept_counts[now], kept_sums[now] = counts[now], sums[now]
        arm = policy.act(counts, sums, step, rng)
        if behaviour == "stuck":
            arm = np.where(step >= stuck_from, favourite, arm)
        counts[rows, arm] += 1
        sums[rows, arm] += arms.rewards(rng.random(means.shape), means)[rows, arm]
    return kept_counts, kept_sums


States = tuple[np.ndarray, np.ndarray]
"""Counts and sums of rewards, [episodes, arms] each."""


def _policy(behaviour: str, gaussian: bool) -> Oracle:
    if behaviour == "teacher":
        return make_oracle("thompson" if gaussian else "bernoulli_thompson")
    if behaviour == "ucb":
        return make_oracle("ucb", sigma=SIGMA if gaussian else COIN_SIGMA / 100)
    return make_oracle("random" if behaviour == "stuck" else behaviour)


def bandits(pays: str, n_arms: int) -> GaussianArms | BernoulliArms:
    """The arms that are trained on: Gaussian means N(100, s) with s from 4 to 16, chances even in [0, 1]."""
    if pays == "points":
        return GaussianArms(lambda rng: np.clip(rng.normal(100, rng.uniform(4, 16), n_arms), 55, 145), sigma=SIGMA)
    return BernoulliArms(lambda rng: rng.uniform(size=n_arms))


def groups(n: int, states: int, horizon: int, rng: np.random.Generator) -> list[list[Pair]]:
    """``n`` groups of pairs: one instruction, ``states`` states, in each UCB's answer, two of Thompson's, and his
    action at once, which is a single token and counts six times."""
    made: list[list[Pair]] = []
    kinds = [(pays, k) for pays in PAYS for k in (2, 3, 4, 5)]
    pools = {kind: _pool(*kind, horizon, -(-n * states // len(kinds)) + states, rng) for kind in kinds}
    for i in range(n):
        pays, n_arms = kinds[i % len(kinds)]
        counts, sums = pools[pays, n_arms]
        names = rng.permutation(LABELS[str(rng.choice(list(LABELS)))])[:n_arms]
        text = SummaryText(
            tuple(map(str, names)), str(rng.choice(list(RENDERINGS))), int(rng.choice(TRAINED_WORDINGS)), horizon, pays,
            (50.0, 150.0) if pays == "points" else (0.0, 1.0),
        )  # fmt: skip
        first = i // len(kinds) * states
        texts = (replace(text, thinks="upper bounds"), text, text)
        bare = replace(text, thinks="none")
        made.append([])
        for j in range(first, first + states):
            made[-1] += [pair(one, counts[j], sums[j], rng) for one in texts]
            made[-1] += [pair(bare, counts[j], sums[j], rng)] * AT_ONCE
    order = rng.permutation(n)
    return [made[i] for i in order]


def _pool(pays: str, n_arms: int, horizon: int, n: int, rng: np.random.Generator) -> States:
    """``n`` states or more of all behaviours, shuffled."""
    arms = bandits(pays, n_arms)
    each = -(-n // len(BEHAVIOURS))
    parts = [visited(behaviour, arms, each, horizon, rng) for behaviour in BEHAVIOURS]
    counts, sums = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    order = rng.permutation(len(counts))
    return counts[order], sums[order]
