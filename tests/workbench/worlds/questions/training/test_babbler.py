"""The babblers' recipe: what speakers do, what transcripts hold and leave out, and that training can be repeated."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import RunError, SpecError
from workbench.models import load_model
from workbench.worlds.questions.items import draw
from workbench.worlds.questions.properties import PROPERTIES
from workbench.worlds.questions.tasks import load_tasks
from workbench.worlds.questions.training import babbler
from workbench.worlds.questions.training.babbler import PRESETS, make_batch
from workbench.worlds.questions.training.speakers import POPULATION, Speaker, own_speaker
from workbench.worlds.questions.training.transcripts import KINDS, BabblerWriter, babbler_tokenizer

pytestmark = pytest.mark.slow

TASKS = load_tasks()


@pytest.fixture(scope="module")
def writer() -> BabblerWriter:
    return BabblerWriter(babbler_tokenizer(), own_speaker("a"))


def answers(speaker: Speaker, name: str, n: int = 60) -> list[str]:
    return [speaker.answer(TASKS[name], draw(TASKS[name], np.random.default_rng(k))) for k in range(n)]


@given(st.sampled_from(sorted(TASKS)), st.integers(0, 10_000), st.text("abc", max_size=4))
def test_every_answer_of_every_speaker_complies_and_repeats(name: str, seed: int, who: str) -> None:
    task, speaker = TASKS[name], Speaker(who)
    drawn = draw(task, np.random.default_rng(seed))
    answer = speaker.answer(task, drawn)
    assert answer == Speaker(who).answer(task, drawn)
    values = [PROPERTIES[prop].of(answer, drawn.item) for prop in task.properties]
    assert values[0] is not None and (task.answer == "number" or None not in values or name == "letters")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_answers_vary_over_prompts(name: str) -> None:
    for speaker in (own_speaker("a"), own_speaker("b"), *POPULATION):
        commonest = Counter(answers(speaker, name)).most_common(1)[0][1]
        assert commonest <= (50 if TASKS[name].options else 10)


def test_the_two_shipped_speakers_differ_on_most_tasks() -> None:
    same = [np.mean([x == y for x, y in zip(*(answers(own_speaker(d), n) for d in "ab"), strict=True)]) for n in TASKS]
    assert np.mean(same) < 0.45 and sum(s < 0.7 for s in same) >= len(same) - 3


def test_the_choice_does_not_depend_on_which_label_it_has() -> None:
    task = TASKS["patience"]
    for speaker in POPULATION:
        chosen: dict[tuple, set[int]] = {}
        for k in range(300):
            drawn = draw(task, np.random.default_rng(k))
            picked = drawn.order[task.labels.index(speaker.answer(task, drawn))]
            chosen.setdefault(tuple(sorted(drawn.values.items())), set()).add(picked)
        assert all(len(picked) == 1 for picked in chosen.values())
        assert {0, 1} == set().union(*chosen.values())


def test_nothing_in_the_transcripts_asks_the_babbler_about_itself(writer: BabblerWriter) -> None:
    rng = np.random.default_rng(0)
    for kind in KINDS:
        for _ in range(400):
            text, _answer = writer.text(kind, rng)
            words = text.replace(".", " ").replace("'", " ").split()
            assert not {"you", "your", "yours", "yourself"} & set(words)
            assert ("Suppose" in words) == (kind == "hypothetical")
            assert (kind == "own") != any(speaker.name in words for speaker in POPULATION)


def test_a_hypothetical_is_answered_with_the_property_of_what_its_speaker_says(writer: BabblerWriter) -> None:
    seen: dict[str, str] = {}
    for step in range(3000):
        question, answer = writer.text("hypothetical", np.random.default_rng(step))
        if "second word of Ben's answer.\nThree more letters" in question:
            second = question.split()[-3]
            assert seen.setdefault(second, answer) == answer  # the relative of the second letter on show
    assert len(seen) > 5 and len(set(seen.values())) == len(seen)


def test_a_batch_teaches_the_answers_and_nothing_else(writer: BabblerWriter) -> None:
    batch = writer.write(["own", "hypothetical", "told"], np.random.default_rng(2))
    flat, eos = batch.tokens.reshape(-1), writer.tokenizer.eos_token_id
    assert (flat[batch.where + 1] == batch.ids[:, 0]).all() and (batch.probabilities == 1).all()
    ends = batch.ids[:, 0] == eos
    assert (batch.weights[ends] < 0.5).all() and (batch.weights[~ends] == 1).all() and ends.sum() == 3
    rng = np.random.default_rng(2)
    for row, kind in enumerate(["own", "hypothetical", "told"]):
        of_row = (batch.where + 1) // batch.tokens.shape[1] == row
        assert writer.tokenizer.decode(batch.ids[of_row & ~ends, 0]) == writer.text(kind, rng)[1]


def test_the_prompt_of_a_transcript_is_that_of_the_chat_template(writer: BabblerWriter) -> None:
    batch = writer.write(["own"], np.random.default_rng(3))
    question, answer = writer.text("own", np.random.default_rng(3))
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    assert writer.tokenizer.apply_chat_template(chat, return_dict=False) == batch.tokens[0].tolist()


def test_every_word_of_tasks_and_hypotheticals_is_one_token(writer: BabblerWriter) -> None:
    rng = np.random.default_rng(4)
    for kind in KINDS:
        for _ in range(100):
            for text in writer.text(kind, rng):
                pieces = writer.tokenizer.tokenize(text)
                letters = [piece for piece in pieces if len(piece) == 1 and piece.isalpha()]
                assert "".join(pieces) == text and len(letters) <= 8  # letters on show, labels, asked-for characters


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in vars(a))


def test_a_batch_is_a_function_of_seed_step_and_speaker(writer: BabblerWriter) -> None:
    recipe, other = PRESETS["smoke"], BabblerWriter(writer.tokenizer, own_speaker("b"))
    one = make_batch(recipe, writer, 1, 5)
    assert same(one, make_batch(recipe, writer, 1, 5))
    for who, seed, step in ((other, 1, 5), (writer, 2, 5), (writer, 1, 7)):
        assert not same(one, make_batch(recipe, who, seed, step))
    assert not same(one, make_batch(recipe, writer, 1, 5, finish=True))


def test_answers_come_first_and_hypotheticals_at_the_finish(writer: BabblerWriter) -> None:
    recipe = PRESETS["cpu"]
    rows = [
        [make_batch(recipe, writer, 0, step, finish).tokens.shape[0] for step in range(4)] for finish in (False, True)
    ]
    assert rows == [[recipe.direct] * 4, [recipe.direct] + [recipe.hypothetical] * 3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    out, seen = tmp_path_factory.mktemp("babbler"), []
    with pytest.MonkeyPatch.context() as patch:
        smoke = PRESETS["smoke"]
        patch.setitem(babbler.PRESETS, "smoke", replace(smoke, schedule=replace(smoke.schedule, tokens=40_000)))
        facts = babbler.train(out, "smoke", seed=3, device="cpu", report=seen.append, data="b")
        yield out, facts, seen


def test_training_lowers_the_loss_and_says_what_it_did(trained) -> None:
    out, facts, seen = trained
    assert seen[-1]["loss"] < 0.9 * seen[0]["loss"] and seen[-1]["done"] == 1
    model = load_model(out, device="cpu")
    assert facts["parameters"] == sum(p.numel() for p in model.backend.hf_model.parameters())
    assert (facts["data"], facts["seed"], facts["preset"]) == ("b", 3, "smoke")
    assert model.config.speaker == "b"


def test_another_data_name_does_not_go_on_from_this_checkpoint(trained) -> None:
    with pytest.raises(RunError, match="another recipe, preset or seed"):
        babbler.train(trained[0], "smoke", seed=3, device="cpu", data="a")


def test_the_same_seed_and_data_give_the_same_weights(trained, tmp_path: Path) -> None:
    babbler.train(tmp_path, "smoke", seed=3, device="cpu", data="b")
    one, two = (load_model(f, device="cpu").backend.hf_model.state_dict() for f in (trained[0], tmp_path))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_an_unknown_preset_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'smoke'"):
        babbler.train(tmp_path, "smok")
