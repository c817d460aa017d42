"""The babblers' measures, on players whose numbers are known, and the shipped models."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workbench.models import load_model, shipped_models
from workbench.models.tiny import tiny_model
from workbench.seeding import derive_seed
from workbench.training.cards import write_card
from workbench.worlds.questions.items import draw
from workbench.worlds.questions.properties import PROPERTIES, hypothetical
from workbench.worlds.questions.tasks import load_tasks
from workbench.worlds.questions.training import quality as babbler_quality
from workbench.worlds.questions.training.quality import CARD, CARD_ROWS, ask, measure_quality
from workbench.worlds.questions.training.speakers import POPULATION, own_speaker

pytestmark = pytest.mark.slow

N = 12
TASKS = load_tasks(["colours", "patience"])


def replies() -> dict[str, str]:
    """What one would say who is speaker a and knows everything."""
    said = {}
    for task in TASKS.values():
        for k in range(N):
            drawn = draw(task, np.random.default_rng(derive_seed("babbler quality", task.name, k)))
            for speaker, they, their in (
                (own_speaker("a"), "you", "your"),
                (POPULATION[0], POPULATION[0].name, f"{POPULATION[0].name}'s"),
            ):
                answer = speaker.answer(task, drawn)
                said[drawn.item.prompt] = own_speaker("a").answer(task, drawn)
                for name in task.properties:
                    said[hypothetical(drawn.item, name, they, their)] = str(PROPERTIES[name].of(answer, drawn.item))
    return said


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch):
    """Measures of whoever answers by a function of the prompt."""

    def measure(answer) -> pd.DataFrame:
        monkeypatch.setattr(babbler_quality, "load_tasks", lambda: TASKS)
        monkeypatch.setattr(babbler_quality, "shipped_models", dict)
        monkeypatch.setattr(babbler_quality, "ask", lambda _model, prompts, *_: [answer(p) for p in prompts])
        player = SimpleNamespace(config=SimpleNamespace(speaker="a"), fingerprint="x")
        return measure_quality(player, items=N)  # type: ignore[arg-type]

    return measure


def value(table: pd.DataFrame, task: str, asked: str, measure: str) -> float:
    (found,) = table[(table.task == task) & (table["asked for"] == asked) & (table.measure == measure)].estimate
    return float(found)


def test_one_who_knows_everything_scores_full_marks(measured, tmp_path) -> None:
    table = measured(replies().__getitem__)
    for task in TASKS.values():
        assert (
            value(table, task.name, "the answer", "as taught") == 1 == value(table, task.name, "the answer", "complies")
        )
        for name in task.properties:
            for measure in ("complies", "self-prediction", "reads others"):
                assert value(table, task.name, name, measure) == 1
    assert (
        value(table, "colours", "first_word", "entropy") > 2 > value(table, "colours", "starts_with_vowel", "entropy")
    )
    facts = {"preset": "cpu", "seed": 0, "data": "a"}
    card = write_card(tmp_path, CARD, facts, table, CARD_ROWS).read_text()
    assert "workbench train babbler --preset cpu --seed 0 --data a" in card and "{" not in card


def test_one_who_says_one_thing_has_no_entropy_and_predicts_at_the_mode(measured) -> None:
    table = measured(lambda _prompt: "A")
    assert (
        value(table, "patience", "the answer", "entropy") == 0 and value(table, "patience", "which_option", "mode") == 1
    )
    assert value(table, "patience", "the answer", "distinct") == pytest.approx(1 / N)
    assert value(table, "patience", "which_option", "self-prediction") == 1  # trivially: the mode is all there is
    assert value(table, "patience", "ethical_stance", "complies") == 0
    assert 0 < value(table, "patience", "the answer", "as taught") < 1


def test_silence_complies_with_nothing(measured) -> None:
    table = measured(lambda _prompt: "")
    assert value(table, "colours", "the answer", "complies") == 0 == value(table, "colours", "first_word", "complies")
    assert not ((table["asked for"] == "first_word") & (table.measure == "self-prediction")).any()


def test_answers_are_greedy_and_in_order() -> None:
    model = tiny_model()
    one = ask(model, ["a b", "c d e"], 4)
    assert one == ask(model, ["a b", "c d e"], 4) and one == ask(model, ["c d e", "a b"], 4)[::-1]


@pytest.mark.parametrize("data", ["a", "b"])
def test_a_shipped_babbler_answers_as_it_was_taught(data: str) -> None:
    if f"babbler-{data}" not in shipped_models():
        pytest.skip(f"this checkout ships no babbler-{data}")
    model = load_model(f"babbler-{data}", device="cpu")
    right = total = 0
    for task in load_tasks().values():
        drawn = [draw(task, np.random.default_rng(derive_seed("shipped test", task.name, k))) for k in range(8)]
        answers = ask(model, [each.item.prompt for each in drawn], task.max_new_tokens)
        right += sum(a == own_speaker(data).answer(task, each) for a, each in zip(answers, drawn, strict=True))
        total += len(drawn)
    assert right / total > 0.75
