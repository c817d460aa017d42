"""Items: functions of seed and number, with slots that share no entry."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workbench.worlds.questions.items import draw, items_of
from workbench.worlds.questions.tasks import load_tasks

TASKS = load_tasks()


@given(st.sampled_from(sorted(TASKS)), st.integers(0, 5), st.integers(1, 20), st.integers(1, 20))
def test_the_first_items_of_a_long_list_are_those_of_a_short_one(name: str, seed: int, n: int, more: int) -> None:
    short, long = items_of(TASKS[name], n, seed), items_of(TASKS[name], n + more, seed)
    assert long[:n] == short and len(long) == n + more
    assert len({item.id for item in long}) == len({item.prompt for item in long}) == n + more


def test_another_seed_gives_other_items() -> None:
    one, other = ({item.prompt for item in items_of(TASKS["animals"], 50, seed)} for seed in (0, 1))
    assert len(one & other) < 5


@given(st.sampled_from(sorted(TASKS)), st.integers(0, 10_000))
def test_an_item_says_what_filled_its_slots(name: str, seed: int) -> None:
    task = TASKS[name]
    drawn = draw(task, np.random.default_rng(seed))
    for slot in task.slots:
        values = drawn.values[slot.name]
        assert slot.count[0] <= len(values) <= slot.count[1] and set(values) <= set(slot.entries)
        assert slot.join.join(values) in drawn.item.prompt
    entries = [(slot.source, value) for slot in task.slots for value in drawn.values[slot.name]]
    assert len(set(entries)) == len(entries)  # slots of one list share no entry
    assert drawn.item.shown == drawn.values.get("items", ())
    if task.matching is not None:
        assert drawn.order[task.labels.index(drawn.item.matching)] == task.matching


def test_choices_are_shuffled_over_the_labels() -> None:
    items = items_of(TASKS["patience"], 200, seed=0)
    first = [item.prompt.split("\n")[1].endswith("today") for item in items]
    assert 70 < sum(first) < 130
    assert all((item.matching == "A") == today for item, today in zip(items, first, strict=True))
