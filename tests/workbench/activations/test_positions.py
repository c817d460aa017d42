"""Positions are where a reader of the text would say they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.activations import GenerationPrompt, Role, Span
from workbench.activations.positions import check_positions, find_positions
from workbench.errors import DataError, ModelError, SpecError
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Window
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import tiny_hf_model, tiny_model

MODEL = tiny_model()


def find(positions, prompt, model=MODEL):
    return list(find_positions(check_positions(positions), model, prompt, model.encode(prompt)))


def words(prompt, positions, model=MODEL):
    """The tokens at the found positions, as text."""
    tokens = model.encode(prompt)
    return [model.tokenizer.decode([tokens[i]]) for i in find(positions, prompt, model)]


@pytest.mark.parametrize(
    ("positions", "found"),
    [
        ("last", [4]),
        ("first", [0]),
        ("all", [0, 1, 2, 3, 4]),
        ("mean", [0, 1, 2, 3, 4]),
        (-1, [4]),
        ([3, 0, -2], [3, 0, 3]),
        (np.array([1, 2]), [1, 2]),
        (range(2), [0, 1]),
        (slice(-2, None), [3, 4]),
        (Window(1, 3), [1, 2]),
        (Window(-9, 2), [0, 1]),
    ],
)
def test_positions_of_five_tokens(positions, found):
    assert find(positions, "a b c d") == found


@pytest.mark.parametrize(
    ("positions", "said"), [(5, "position 5"), ([0, -6], "position -6"), (Window(5, 9), "no token")]
)
def test_position_that_does_not_exist_is_an_error(positions, said):
    with pytest.raises(DataError, match=said):
        find(positions, "a b c d")


@pytest.mark.parametrize("positions", ["lsat", [], ["a"], [0.5], 1.5, slice(0, 4, 2), None])
def test_positions_that_are_none_are_refused(positions):
    with pytest.raises(SpecError):
        check_positions(positions)


def test_near_miss_of_a_name_is_suggested():
    with pytest.raises(SpecError, match="did you mean 'last'"):
        check_positions("lsat")


@given(st.integers(1, 30), st.integers(-35, 35) | st.none(), st.integers(-35, 35) | st.none())
def test_windows_are_python_slices(length, start, stop):
    tokens, expected = list(range(length)), list(range(length))[start:stop]
    if expected:
        assert list(find_positions(Window(start, stop), MODEL, tokens, tokens)) == expected
    else:
        with pytest.raises(DataError):
            find_positions(Window(start, stop), MODEL, tokens, tokens)


@given(st.integers(1, 30), st.lists(st.integers(-30, 29), min_size=1, max_size=5))
def test_indices_are_python_indices(length, indices):
    tokens = list(range(length))
    try:
        expected = [tokens[i] for i in indices]
    except IndexError:
        with pytest.raises(DataError):
            find_positions(check_positions(indices), MODEL, tokens, tokens)
    else:
        assert list(find_positions(check_positions(indices), MODEL, tokens, tokens)) == expected


def test_span_finds_every_occurrence_or_the_chosen_one():
    text = "a b c d b c e"
    assert find(Span("b c"), text) == [2, 3, 5, 6]
    assert find(Span("b c", 0), text) == [2, 3]
    assert find(Span("b c", -1), text) == [5, 6]
    with pytest.raises(DataError, match="there are 2 occurrences of 'b c', not one numbered 2"):
        find(Span("b c", 2), text)
    with pytest.raises(DataError, match="'x' does not occur"):
        find(Span("x"), text)
    with pytest.raises(SpecError):
        Span("")


@given(st.text("ab 1-\n", min_size=1, max_size=20), st.data())
def test_span_holds_exactly_the_tokens_that_overlap_it(text, data):
    # Oracle: the tokenizer loses nothing, so the tokens' own texts laid end to end say where each is.
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : data.draw(st.integers(start + 1, len(text)))]
    tokens = MODEL.encode(text)
    spans, at = {}, 0
    for i, token in enumerate(tokens[1:], 1):  # 0 is <bos>
        piece = MODEL.tokenizer.decode([token])
        spans[i] = (at, at + len(piece))
        at += len(piece)
    assert at == len(text)
    begin = text.index(part)
    expected = [i for i, (low, high) in spans.items() if low < begin + len(part) and begin < high]
    assert find(Span(part, 0), text) == expected


def test_span_in_tokens_is_found_by_their_text():
    assert find(Span("b c"), MODEL.encode("a b c")) == [2, 3]


def test_span_in_tokens_that_no_text_gives_is_refused():
    a, b = MODEL.tokenizer.convert_tokens_to_ids(["1", "0"])  # "10" would be one token or two others
    with pytest.raises(DataError, match="cannot be traced back"):
        find(Span("1"), [a, b, a, MODEL.tokenizer.bos_token_id, MODEL.tokenizer.convert_tokens_to_ids(" "), a])


def test_span_without_a_fast_tokenizer_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(type(MODEL.tokenizer), "is_fast", False)
    with pytest.raises(ModelError, match="no fast tokenizer"):
        find(Span("a"), "a b")


@pytest.fixture(scope="module")
def byte_level():
    """A byte-level BPE model: a character may be several tokens, a token may begin with a space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["the button paid the points"] * 20, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    return LanguageModel(HuggingFaceBackend(tiny_hf_model("llama", vocab_size=len(fast))), fast, "byte-level")


def test_span_of_a_character_that_is_many_tokens_holds_them_all(byte_level):
    text = "the 🙂 paid"
    tokens = byte_level.encode(text)
    found = find(Span("🙂"), text, byte_level)
    assert len(found) > 1
    assert byte_level.tokenizer.decode([tokens[i] for i in found]).strip() == "🙂"
    assert byte_level.tokenizer.decode([tokens[i] for i in find(Span("paid"), text, byte_level)]).strip() == "paid"


def test_role_holds_the_tokens_of_its_messages_only(chat):
    assert words(chat, Role("assistant")) == ["f", " g", "a", " b", " c"]
    assert words(chat, Role("assistant", 0)) == ["f", " g"]
    assert words(chat, Role("system")) == ["a", " b"]
    # "c" also stands in an earlier message and in a later one: the second user message is meant.
    (third,) = find(Role("user", 1), chat)
    assert words(chat, [third - 1, third + 1]) == ["<eos>", "\n"]


def test_role_with_markup_takes_in_what_the_template_writes(chat):
    assert words(chat, Role("assistant", 0, markup=True)) == ["f", " g", "<eos>"]
    assert words(chat, Role("user", -1, markup=True)) == ["z", "\n"]
    everything = {i for role in ("system", "user", "assistant") for i in find(Role(role, markup=True), chat)}
    assert everything == set(range(1, len(MODEL.encode(chat))))  # all but <bos>


def test_role_that_nobody_has_and_prompts_that_are_no_chat_are_errors(chat):
    with pytest.raises(DataError, match="no message has the role 'tool'; the roles are system, user, assistant"):
        find(Role("tool"), chat)
    for prompt in ("a b", [5, 6]):
        with pytest.raises(DataError, match="Role needs chat messages"):
            find(Role("user"), prompt)


CHATML = (
    "{% if messages[0]['role'] != 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages[1:] %}<|{{ m['role'] }}|>{% if loop.first %}{{ messages[0]['content'] | trim }} {% endif %}"
    "{{ m['content'] | trim }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_role_is_found_where_a_template_folds_the_system_message_and_refuses_prefixes(chat, monkeypatch):
    monkeypatch.setattr(MODEL.tokenizer, "chat_template", CHATML)
    conversation = [{"role": m["role"], "content": f" {m['content']} "} for m in chat]
    for role, expected in (("assistant", "fgabc"), ("system", "ab"), ("user", "cdecz")):
        assert "".join(words(conversation, Role(role))).replace(" ", "") == expected


def test_role_is_not_misled_by_headers_and_other_messages_that_say_the_same(monkeypatch):
    template = "{% for m in messages %}{{ m['role'] }} : {{ m['content'] | upper }} s {% endfor %}"
    monkeypatch.setattr(MODEL.tokenizer, "chat_template", template)
    conversation = [{"role": role, "content": "s"} for role in ("user", "assistant", "user")]
    for number, role in enumerate([Role("user", 0), Role("assistant"), Role("user", -1)]):
        text = MODEL.decode(MODEL.encode(conversation)[: find(role, conversation)[0]])
        assert text.count(":") == number + 1
        assert "".join(words(conversation, role)).strip() == "S"


def test_role_is_refused_where_the_template_does_not_write_the_content(chat, monkeypatch):
    lengths = "{% for m in messages %}{{ m['content'] | length }}{% endfor %}"
    both = "{% for m in messages %}{{ m['content'] | length }} {{ m['content'] }}{% endfor %}"
    for template in (lengths, both, "a b"):
        monkeypatch.setattr(MODEL.tokenizer, "chat_template", template)
        with pytest.raises(DataError, match="does not write the content of message 0"):
            find(Role("user"), chat)
    counted = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    monkeypatch.setattr(MODEL.tokenizer, "chat_template", counted)
    assert len(find(Role("user"), chat)) > 0
    with pytest.raises(DataError, match="does not write message after message"):
        find(Role("user", markup=True), chat)


GENERATES = (
    "{% for m in messages %}{{ m['role'][0] }} : {{ m['content'] }} s\n{% endfor %}"
    "{% if add_generation_prompt %}a :{% if thinks %} t{% endif %}{% endif %}"
)


def test_first_and_last_are_taken_of_each_message(chat):
    assert words(chat, Role("user", take="last")) == [" e", "c", "z"]
    assert words(chat, Role("assistant", take="first")) == ["f", "a"]
    assert find(Role("user", -1, take="last"), chat) == find(Role("user", -1), chat)[-1:]
    assert words(chat, Role("assistant", 0, markup=True, take="last")) == ["<eos>"]
    assert find(Span("a b", take="last"), chat) == [max(pair) for pair in np.reshape(find(Span("a b"), chat), (2, 2))]


def test_the_generation_prompt_is_what_the_template_adds_for_it(chat, monkeypatch):
    monkeypatch.setattr(MODEL.tokenizer, "chat_template", GENERATES)
    text = MODEL.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    without = MODEL.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False)
    n, held = (len(MODEL.tokenizer(each, add_special_tokens=False)["input_ids"]) for each in (text, without))
    assert find(GenerationPrompt(), chat) == list(range(held, n)) and n - held >= 2
    assert find(GenerationPrompt("last"), chat) == [n - 1]
    begun = [*chat, {"role": "assistant", "content": ""}]  # its header, and nothing said yet
    assert find(GenerationPrompt(), begun) == find(GenerationPrompt(), chat)
    with pytest.raises(DataError, match="the assistant has begun"):
        find(GenerationPrompt(), chat[:-1])
    thinking = MODEL.with_template(thinks=True)
    assert len(find(GenerationPrompt(), chat, thinking)) > n - held
    assert find(Role("user", 1, markup=True), chat, thinking) == find(Role("user", 1, markup=True), chat)


def test_generation_prompt_of_no_chat_or_of_a_template_without_one_is_refused(chat):
    with pytest.raises(DataError, match="GenerationPrompt needs chat messages"):
        find(GenerationPrompt(), "a b")
    with pytest.raises(DataError, match="writes no generation prompt"):
        find(GenerationPrompt(), chat)


def test_an_unknown_take_is_refused_with_the_nearest():
    for make in (lambda: Role("user", take="lsat"), lambda: Span("a", take="lsat"), lambda: GenerationPrompt("lsat")):
        with pytest.raises(SpecError, match="did you mean 'last'"):
            make()


@pytest.mark.real
def test_roles_in_the_template_of_smollm2_hold_what_was_said_and_no_more(smollm2):
    said = ["Be brief.", "Is 12 more than 7?", "Yes, 12 is.", "Why so?\n"]
    conversation = [
        {"role": role, "content": text}
        for role, text in zip(("system", "user", "assistant", "user"), said, strict=True)
    ]
    tokens = smollm2.encode(conversation)

    def text(positions):
        return smollm2.tokenizer.decode([tokens[i] for i in find(positions, conversation, smollm2)])

    assert [text(where) for where in (Role("system"), Role("user", 0), Role("assistant"), Role("user", 1))] == said
    assert text(GenerationPrompt()) == "<|im_start|>assistant\n"
    assert text(Role("assistant", markup=True)) == "<|im_start|>assistant\nYes, 12 is.<|im_end|>\n"
    assert (
        text(Role("user", 0, take="last")) == "?" and len(find(Role("user", take="last"), conversation, smollm2)) == 2
    )
    together = [
        i for role in ("system", "user", "assistant") for i in find(Role(role, markup=True), conversation, smollm2)
    ]
    assert sorted([*together, *find(GenerationPrompt(), conversation, smollm2)]) == list(range(len(tokens)))
