"""The teachers act exactly as Thompson sampling does, and their transcripts say so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from workbench.worlds.bandits.text import BanditText
from workbench.worlds.bandits.training import teacher as bt
from workbench.worlds.bandits.training.transcripts import FORM_WEIGHT, Writer, bandit_tokenizer


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer(bandit_tokenizer())


def test_follow_rates_average_to_the_thompson_probability() -> None:
    q = np.linspace(0.5, 0.998, 200)
    p = bt.level_probabilities(q)
    assert np.allclose(p @ bt.FOLLOW, q) and np.allclose(p.sum(-1), 1) and (p >= 0).all()


def test_q_is_thompsons_probability_of_the_arm_ahead() -> None:
    teacher = bt.Teacher(widths=(0.7, 0.7000001))
    play = bt.simulate(teacher, 50, 6, np.random.default_rng(0))
    for i in range(50):
        precision, weighted = (
            np.full(2, teacher.prior_sd**-2.0),
            np.full(2, teacher.prior_mean * teacher.prior_sd**-2.0),
        )
        for t in range(6):
            mean, sd = weighted / precision, np.sqrt((1 / precision).sum())
            assert play.q[t][i] == pytest.approx(norm.cdf(abs(mean[1] - mean[0]) / (sd * 0.7)), abs=1e-6)
            arm = play.arm[t][i]
            precision[arm] += teacher.sigma**-2.0
            weighted[arm] += play.reward[t][i] * teacher.sigma**-2.0


def test_actions_follow_the_arm_ahead_at_thompsons_rate() -> None:
    play = bt.simulate(bt.Teacher(), 4000, 12, np.random.default_rng(1))
    q, followed = np.concatenate(play.q), np.concatenate(play.arm) == np.concatenate(play.lean)
    for low, high in ((0.5, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.01)):
        part = (q >= low) & (q < high)
        assert followed[part].mean() == pytest.approx(np.clip(q[part], 0.5, 0.998).mean(), abs=0.02)


def test_no_trained_bandit_centres_in_the_held_out_band() -> None:
    teacher = bt.Teacher(spread=0.0)
    centres = teacher.means(5000, np.random.default_rng(0))[:, 0]
    assert not ((centres > teacher.held_out[0]) & (centres < teacher.held_out[1])).any()
    assert centres.min() >= teacher.centres[0] and centres.max() <= teacher.centres[1]


def texts() -> list[BanditText]:
    return [
        BanditText(r, w, thoughts=th) for r in ("buttons", "slot_machines") for w in range(4) for th in (True, False)
    ]


def test_transcripts_tokenise_as_their_text_does(writer: Writer) -> None:
    play = bt.simulate(bt.Teacher(), 16, 8, np.random.default_rng(2))
    batch = writer.write(play, texts(), np.random.default_rng(2))
    tokenizer = writer.tokenizer
    for row in batch.tokens:
        tokens = [t for t in row.tolist() if t != tokenizer.pad_token_id]
        assert tokenizer.encode(tokenizer.decode(tokens), add_special_tokens=False) == tokens
        assert tokenizer.unk_token_id not in tokens


def test_targets_are_distributions_that_allow_the_token_that_came(writer: Writer) -> None:
    play = bt.simulate(bt.Teacher(), 16, 8, np.random.default_rng(3))
    batch = writer.write(play, texts(), np.random.default_rng(3))
    following = batch.tokens.ravel()[batch.where + 1]
    allowed = (batch.ids == following[:, None]) & (batch.probabilities > 0)
    assert np.allclose(batch.probabilities.sum(1), 1, atol=1e-5) and allowed.any(1).all()
    assert set(np.unique(batch.weights)) == {np.float32(FORM_WEIGHT), np.float32(1)}


def test_rewards_and_feedback_are_never_targets(writer: Writer) -> None:
    play = bt.simulate(bt.Teacher(), 2, 5, np.random.default_rng(4))
    batch = writer.write(play, [BanditText(), BanditText(thoughts=False)], np.random.default_rng(4))
    targets = writer.tokenizer.decode(batch.tokens.ravel()[batch.where + 1].tolist())
    assert "paid" not in targets and "points" not in targets and "Thought" not in targets


def test_the_action_target_is_the_teachers_probability(writer: Writer) -> None:
    play = bt.simulate(bt.Teacher(), 8, 10, np.random.default_rng(5))
    batch = writer.write(play, [BanditText(thoughts=False)] * 8, np.random.default_rng(5))
    one = writer.encode(" 1")[0]
    soft = (batch.probabilities > 0).sum(1) == 2
    p_first = np.where(batch.ids[soft] == one, batch.probabilities[soft], 0).sum(1).reshape(8, 10)
    q, lean = np.stack(play.q, 1), np.stack(play.lean, 1)
    assert np.allclose(p_first, np.where(lean == 0, q, 1 - q), atol=1e-6)
