"""What callers may hand to a model: every integer and list of the usual libraries, and one line for all else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.activations import capture, replay
from workbench.errors import DataError, SpecError, WorkbenchError
from workbench.models import inputs
from workbench.models.language_model import LanguageModel
from workbench.sites import Site

IDS = [5, 6, 7]
GREEDY = {"max_new_tokens": 3, "temperature": 0}


def _refused(error: type[Exception], said: str, call: Any) -> None:
    with pytest.raises(error, match=said) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


# ---- what is taken


@pytest.mark.parametrize(
    "prompts",
    [
        [IDS, "a"], (IDS, "a"), [np.array(IDS), "a"], [torch.tensor(IDS), "a"], [tuple(IDS), "a"],
        [[np.int64(5), torch.tensor(6), 7], "a"], pd.Series([IDS, "a"], index=[7, 3]), [pd.Series(IDS), "a"],
    ],
)  # fmt: skip
def test_prompts_of_other_libraries_are_the_same_prompts(model: LanguageModel, prompts: Any) -> None:
    assert model.encode_all(prompts) == [IDS, model.encode("a")]
    assert model.generate(prompts, **GREEDY) == model.generate([IDS, "a"], **GREEDY)
    assert torch.equal(capture(model, prompts, [1])[1], capture(model, [IDS, "a"], [1])[1])


@pytest.mark.parametrize("prompts", [np.array([IDS, IDS]), torch.tensor([IDS, IDS]), pd.Series(["a b", "c"], [9, 1])])
def test_a_table_of_prompts_has_one_a_row(model: LanguageModel, prompts: Any) -> None:
    assert model.encode_all(prompts) == [model.encode(prompt) for prompt in list(prompts)]


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8, torch.tensor, np.array])
def test_integers_of_other_libraries_are_integers(model: LanguageModel, integer: Any) -> None:
    plain = model.generate(["a", "b"], n=2, max_new_tokens=3, seeds=4, top_k=5)
    assert plain == model.generate(
        ["a", "b"], n=integer(2), max_new_tokens=integer(3), seeds=integer(4), top_k=integer(5)
    )
    one_each = model.generate(["a", "b"], n=[1, 2], max_new_tokens=3, seeds=[4, 5])
    for row in (lambda values: [integer(v) for v in values], np.array, torch.tensor, pd.Series, tuple):
        assert one_each == model.generate(["a", "b"], n=row([1, 2]), max_new_tokens=3, seeds=row([4, 5]))


def test_a_text_is_one_stop_string(model: LanguageModel) -> None:
    free = model.generate(["a b c"], n=20, max_new_tokens=12, seeds=1)[0]
    stop = free[0].text[3:6]
    assert len(stop) == 3
    one, listed = (model.generate(["a b c"], n=20, max_new_tokens=12, seeds=1, stop=s) for s in (stop, [stop]))
    assert one == listed and one[0][0].finish == "stop"
    assert [c.text for c in one[0] if stop not in c.text] == [c.text for c in free if stop not in c.text]


def test_continuations_of_other_libraries_are_the_same(model: LanguageModel) -> None:
    expected = model.score(["a", "b"], [[IDS, "c"], []])
    assert expected[1] == [] and len(expected[0]) == 2
    for given in ([(np.array(IDS), "c"), ()], pd.Series([[torch.tensor(IDS), "c"], []])):
        assert model.score(["a", "b"], given) == expected


# ---- what is not


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (None, r"prompts must be a non-empty list, not None \(NoneType\)"),
        ("a", r"for one prompt write \[prompt\]"),
        (5, "non-empty list"),
        (b"a", "non-empty list"),
        ({"a": 1}, "non-empty list"),
        ({"a", "b"}, "non-empty list"),
        (memoryview(b"a"), "non-empty list"),
        (pd.DataFrame({"a": ["b"]}), r"non-empty list, not DataFrame \[1, 1\]"),
        (torch.tensor(5), "non-empty"),
        ([], "non-empty list"),
        ([None], "prompt 0: a prompt is a text"),
        ([5], "prompt 0: .*not 5"),
        (IDS, "prompt 0: .*not 5"),
        (["a", 1.5], r"prompt 1: .*not 1.5 \(float\)"),
        ([b"a"], "prompt 0: .*not b'a'"),
        ([memoryview(b"a")], "prompt 0: .*memoryview"),
        ([{5, 6}], r"prompt 0: .*not {5, 6} \(set\)"),
        ([[1.0, 2.0]], r"prompt 0: a token id must be an integer, not 1.0 \(float\)"),
        ([[True]], "token id .* not True"),
        ([np.array([0.5])], "token id must be an integer"),
        ([torch.tensor([[5]])], r"prompt 0: .*not Tensor \[1, 1\]"),
        ([[5, -1]], r"token id -1 is none of the model's: they go from 0 to \d+"),
        ([[5, 9999]], "token id 9999 is none"),
        ([[]], "prompt 0: a prompt is empty"),
        ([{"role": "user", "content": "a"}], "prompt 0: .*list .* of chat messages"),
        ([[{"content": "a"}]], "prompt 0: message 0 .*write {'role': 'user'"),
        ([[{"role": "user"}]], "no text in its 'content'"),
        ([[{"role": "user", "content": None}]], "no text in"),
        ([[{"role": "user", "content": "a"}, "b"]], "message 1"),
        ([[{"role": "user", "content": "\ud800"}]], r"message 0 \(user\) must be a text"),
        ([[{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]], r"message 0 \(user\) must be a text"),
        (["a", ["b"]], "prompt 1: a token id must be an integer, not 'b'"),
    ],
)
def test_unusable_prompts_are_named(model: LanguageModel, prompts: Any, said: str) -> None:
    for call in (model.encode_all, lambda p: model.forward(p, [0]), model.generate, lambda p: model.score(p, [["a"]])):
        _refused(DataError, said, lambda call=call: call(prompts))
    _refused(DataError, "^input", lambda: capture(model, prompts, [0]))
    _refused(DataError, "^episode 0: prompt", lambda: replay(model, [prompts], [0]))


def test_messages_that_the_chat_template_refuses_are_one_line(model: LanguageModel, monkeypatch: Any) -> None:
    monkeypatch.setattr(model.tokenizer, "chat_template", "{{ raise_exception('roles must alternate') }}")
    _refused(DataError, "roles must alternate", lambda: model.generate([[{"role": "user", "content": "a"}]]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *[
            ({"max_new_tokens": k}, "max_new_tokens must be an integer of at least 1")
            for k in (0, -3, 2.5, True, "3", None)
        ],
        *[({"n": k}, "n must be an integer of at least 1") for k in (0, -1, 1.5, True, None, "2", np.bool_(True))],
        *[({"n": k}, r"n\[0\] must be an integer of at least 0") for k in ([-1], [1.5], [True], np.array([0.5]))],
        ({"n": [1, 2]}, "2 n for 1 prompts"),
        ({"seeds": [1, 2]}, "2 seeds for 1 prompts"),
        *[({"seeds": k}, "seeds must be an integer") for k in (1.5, None, True, "1")],
        ({"seeds": [0.5]}, r"seeds\[0\] must be an integer, not 0.5"),
        *[
            ({"temperature": k}, "temperature .*must be .*finite number of at least")
            for k in (float("nan"), -1, 1e-40, float("inf"))
        ],
        *[({"temperature": k}, "temperature must be a finite number") for k in ("hot", True, [1, 2])],
        *[
            ({"top_p": k}, r"top_p .*must be (in \(0, 1\]|a finite number from 0 to 1)")
            for k in (0, -0.1, 1.1, float("nan"))
        ],
        ({"top_p": True}, "top_p must be a finite number"),
        *[({"top_k": k}, "top_k must be an integer") for k in (-1, 1.5, True)],
        *[({"stop": k}, "stop must be a text") for k in (None, 5, b"a", ["a", 5], [None])],
        *[({"stop": k}, "stop string is empty") for k in ("", ["a", ""])],
    ],
)
def test_unusable_options_are_named(model: LanguageModel, options: Any, said: str) -> None:
    _refused(WorkbenchError, said, lambda: model.generate(["a"], **options))


@pytest.mark.parametrize(
    ("continuations", "said"),
    [
        (["yes"], r"continuations 0: it must be a list, not 'yes' \(str\): give a list for each prompt, such as"),
        ("yes", "must be a non-empty list"),
        (None, "must be a non-empty list"),
        ([5], "continuations 0: it must be a list, not 5"),
        ([["a"], ["b"]], "2 lists of continuations for 1 prompts"),
        ([["a", ""]], "continuation 1: a continuation is empty"),
        ([[[9999]]], "token id 9999"),
        ([[[-1]]], "token id -1"),
        ([[5]], r"continuation 0: .*not 5 \(int\)"),
    ],
)
def test_unusable_continuations_are_named(model: LanguageModel, continuations: Any, said: str) -> None:
    _refused(DataError, said, lambda: model.score(["a"], continuations))


@pytest.mark.parametrize("tokens", [5, "a", None, [1.5], [9999], [-1], [[5]], {"a": 1}])
def test_what_cannot_be_decoded_is_named(model: LanguageModel, tokens: Any) -> None:
    for call in (lambda: model.decode(tokens), lambda: model.decode(IDS, after=tokens)):
        _refused(WorkbenchError, "token id|completion", call)
    assert model.decode([]) == model.decode(np.array([], dtype=int)) == ""
    assert model.decode(np.array(IDS)) == model.decode(torch.tensor(IDS)) == model.decode(IDS)


@pytest.mark.parametrize("text", [5, None, b"a", ["a"], [5]])
def test_a_continuation_to_encode_is_a_text(model: LanguageModel, text: Any) -> None:
    _refused(DataError, "a continuation must be a text, not", lambda: model.encode_continuation(text))


def test_what_is_no_intervention_is_named(model: LanguageModel, add: Any) -> None:
    one = add(Site(0), torch.zeros(32))
    for call in (model.forward, model.generate, lambda p, **options: capture(model, p, [0], **options)):
        for given, said in ((one, r"write \[intervention\]"), ([torch.zeros(32)], r"interventions\[0\] is a Tensor")):
            _refused(DataError, said, lambda call=call, given=given: call(["a"], interventions=given))
    _refused(DataError, "row_numbers", lambda: model.forward(["a"], [0], row_numbers=[1, 2]))


def test_long_values_are_cut_in_errors() -> None:
    _refused(SpecError, r"\.\.\.\] \(list\)", lambda: inputs.integer(list(range(1000)), "n"))
