"""Chats of a sweep: what a line says is what is read, and what cannot be read is named by file and line."""

import json

import numpy as np
import pytest
import torch

from apps.cli.main import main
from workbench.errors import DataError, SpecError, WorkbenchError
from workbench.families.probe_sweep.chats import CHATS, read_chats
from workbench.models.tiny import tiny_model
from workbench.runs import load_results
from workbench.sites import Site

LETTERS = "abcdefgh"
TEMPLATE = "<bos>{% for m in messages %}{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}x :\n{% endif %}"


def said(*contents):
    """Messages of user and assistant in turn."""
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


@pytest.fixture
def write(tmp_path):
    """Writes lines (objects, or text as it is) and gives the options of a source that reads them."""

    def written(lines, **options):
        path = tmp_path / "chats.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return {"kind": "chats", "path": str(path)} | options

    return written


def test_objects_and_bare_lists_are_read_with_their_labels_and_empty_lines_are_none(write):
    found = read_chats(
        write([{"messages": said("a"), "kind": "x", "labels": {"true": True, "n": 2}}, "", said("b", "c")])
    )
    assert found.chats == [said("a"), said("b", "c")]
    assert found.labels.iloc[0].to_dict() == {"kind": "x", "labels.true": True, "labels.n": 2}
    assert found.labels.iloc[1].isna().all()
    assert [place.rpartition(", ")[2] for place in found.places] == ["line 1", "line 3"]


def test_groups_are_the_labels_and_equal_chats_are_of_one_group(write):
    lines = [{"messages": said(letter), "topic": topic} for letter, topic in zip("abac", "xyzw", strict=True)]
    groups = read_chats(write(lines, group="topic")).groups
    assert groups[0] == groups[2] and len(set(groups.tolist())) == 3
    assert len(set(read_chats(write(lines)).groups.tolist())) == 3


def test_a_system_prompt_stands_before_every_chat_in_place_of_its_own(write):
    own = [{"role": "system", "content": "z"}, *said("a")]
    found = read_chats(write([own, said("b")], system="q r"))
    assert [messages[0] for messages in found.chats] == [{"role": "system", "content": "q r"}] * 2
    assert [len(messages) for messages in found.chats] == [2, 2]


def test_a_table_of_texts_is_what_a_user_says(tmp_path):
    (tmp_path / "texts.csv").write_text("said,kind\na b,x\nNone,y\n")
    found = read_chats({"kind": "chats", "path": str(tmp_path / "texts.csv"), "text": "said"})
    assert found.chats == [said("a b"), said("None")] and found.labels["kind"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ({"mesages": said("a")}, "line 2: no field 'messages'; did you mean 'mesages'"),
        ({"messages": "a"}, "line 2: messages must be a list of messages"),
        ([], "line 2: messages must be a list of messages"),
        ([{"role": "user"}], r"line 2: message 0 \(user\) has no text"),
        ([{"content": "a"}], "line 2: message 0 is"),
        ({"messages": said("a"), "kind": [1, 2]}, "line 2: kind is .*a label is a text"),
        ({"messages": said("a")}, "line 2: no value of the group 'kind'"),
    ],
)
def test_what_cannot_be_read_is_named_by_file_and_line(write, line, message):
    with pytest.raises(DataError, match=f"chats.jsonl, {message}"):
        read_chats(write([{"messages": said("b"), "kind": "x"}, line], group="kind"))


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ({"role": "assistant", "occurrence": 1}, "line 2: 1 messages of the role 'assistant', none numbered 1, for"),
        ({"role": "tool"}, "line 1: 0 messages of the role 'tool' for the position 'p'"),
        ("generation_prompt", "line 2: it ends within the assistant's message"),
    ],
)
def test_a_position_that_a_chat_lacks_is_known_before_a_model_is_loaded(write, position, message):
    options = write([said("a", "b", "c", "d", "e"), said("a", "b")])
    with pytest.raises(DataError, match=message):
        CHATS.check(options, {"p": position})


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ({"role": "user", "take": "lst"}, "did you mean 'last'"),
        ({"role": "user", "span": "a"}, "give one of"),
        ({"window": [0, 1], "take": "last"}, "window takes no 'take'"),
        ({"span": "a", "markup": True}, "span takes no 'markup'"),
        ({"role": "user", "occurrence": "last"}, "occurrence must be an integer"),
        ({"generation_prompt": "frist"}, "did you mean 'first'"),
    ],
)
def test_positions_that_are_none_are_refused(write, position, message):
    with pytest.raises(SpecError, match=message):
        CHATS.check(write([said("a")]), {"p": position})


def test_texts_say_where_chats_are_read(write):
    from workbench.families.probe_sweep.texts import TEXTS

    options = write([{"messages": said("a"), "kind": "x"}]) | {"kind": "texts", "text": "messages"}
    with pytest.raises(DataError, match=r"row 1: messages is .*source chats"):
        TEXTS.check(options, {"last": "last"})
    with pytest.raises(SpecError, match="source chats reads lists of messages"):
        TEXTS.check(options, {"p": {"role": "user"}})


def test_rows_are_the_activations_of_what_the_template_writes(write):
    model = tiny_model()
    model.tokenizer.chat_template = TEMPLATE
    chats = [said("a b c", "d e", "f g"), said("h", "a b", "c d e")]
    positions = {
        "user": {"role": "user", "occurrence": -1, "take": "last"}, "mean": {"role": "assistant", "take": "mean"},
        "prompt": "generation_prompt", "end": "last",
    }  # fmt: skip
    options = write([{"messages": chat, "kind": i} for i, chat in enumerate(chats)], system="q")
    found = CHATS.capture(options, model=model, reader=model, sites=[Site(1)], positions=positions)
    for row, chat in enumerate([[{"role": "system", "content": "q"}, *chat] for chat in chats]):
        text = model.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        tokens = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            states = model.backend.hf_model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[2][0]
        pieces = [model.tokenizer.decode([token]) for token in tokens]
        last = len(pieces) - 1 - [piece.strip() for piece in pieces[::-1]].index(chat[-1]["content"][-1])
        begin = pieces.index(" " + chat[2]["content"][-1])  # the assistant's last letter follows its first
        assert torch.allclose(found["user"][1][row], states[last], atol=1e-5)
        assert torch.allclose(found["mean"][1][row], states[begin - 1 : begin + 1].mean(0), atol=1e-5)
        assert torch.allclose(found["end"][1][row], states[-1], atol=1e-5)
    assert len(found["prompt"]) == 2 * len(model.tokenizer("x :\n", add_special_tokens=False)["input_ids"])
    assert torch.equal(found["prompt"][1][-1], found["end"][1][-1])
    assert found["mean"].labels["position"].tolist() == [-1, -1]
    assert found["mean"].labels["kind"].tolist() == [0, 1]


def test_a_chat_that_the_template_refuses_is_named_by_its_line(write, monkeypatch):
    model = tiny_model()
    monkeypatch.setattr(model.tokenizer, "chat_template", "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(DataError, match=r"chats.jsonl, line 1: .*roles must alternate"):
        CHATS.capture(write([said("a")]), model=model, reader=model, sites=[Site(1)], positions={"last": "last"})


@pytest.fixture
def chat_sweep(sweep_base, tmp_path):
    """A sweep file over 80 chats, the label of each being what the user's last letter is."""
    rng = np.random.default_rng(0)
    lines = []
    for topic in range(80):
        first, last = rng.choice(list(LETTERS), 2)
        lines.append({"messages": said(f"{first} z", "x", f"y {last}"), "topic": topic, "early": bool(last in "abcd")})
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "sweep.yaml").write_text(f"""
source: {{kind: chats, path: chats.jsonl, group: topic, system: q}}
models: [{sweep_base / "tiny"}]
sites: [1]
positions:
  said: {{role: user, occurrence: -1, take: last}}
  assistant: {{role: assistant, take: mean}}
targets: [early]
probes: [logistic]
folds: 4
shuffles: 1
resamples: 50
""")
    return tmp_path / "sweep.yaml"


def test_a_sweep_over_chats_reads_the_letter_where_it_was_said_only(chat_sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("workbench.figures.saving._pictures", lambda figures, say: {})
    options = [str(chat_sweep), "--runs", str(tmp_path / "runs"), "--name", "chats", "--jobs", "1", "--no-progress"]
    assert main(["sweep", *options, "--dry-run"]) == 0
    assert main(["sweep", *options]) == 0
    rows = load_results(tmp_path / "runs" / "sweep" / "chats")
    probe = rows[(rows["control"] == "none") & (rows["metric"] == "auroc")].set_index("position")["estimate"]
    assert probe["said"] > 0.9  # what the user said last is in its own token's activation
    assert abs(probe["assistant"] - 0.5) < 0.3  # and nothing of it can be in what was said before


def test_a_dry_run_finds_the_broken_line_and_loads_nothing(chat_sweep, monkeypatch, capsys):
    monkeypatch.setattr("workbench.models.loading.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    with (chat_sweep.parent / "chats.jsonl").open("a") as file:
        file.write('\n{"messages": [{"role": "user", "content": 3}]}')
    assert main(["sweep", str(chat_sweep), "--dry-run"]) == 2
    assert "chats.jsonl, line 81: message 0 (user) has no text" in " ".join(capsys.readouterr().err.split())


def test_template_options_change_what_is_read_and_unknown_ones_are_refused(write):
    model = tiny_model()
    switch = "{% if thinks %}{{ 'z ' }}{% endif %}"
    model.tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }} {% endfor %}{% if add_generation_prompt %}" + switch + "x{% endif %}"
    )
    assert model.with_template(thinks=True).written(said("a")) == "a z x" and model.written(said("a")) == "a x"
    options = write([said("a")], template={"thinks": True})
    found = CHATS.capture(options, model=model, reader=model, sites=[Site(1)], positions={"g": "generation_prompt"})
    assert len(found["g"]) == len(model.tokenizer("z x", add_special_tokens=False)["input_ids"])
    with pytest.raises(WorkbenchError, match="knows no option 'think'; did you mean 'thinks'"):
        model.with_template(think=False)


def test_bag_of_words_reads_the_wording_and_not_the_order(sweep_base, tmp_path, monkeypatch):
    """One label is a word of the text; the other is which of two words stands first."""
    monkeypatch.setattr("workbench.figures.saving._pictures", lambda figures, say: {})
    rng, lines = np.random.default_rng(0), ["text,word,order"]
    for _ in range(90):
        word, order, others = rng.choice(["bb", "cc"]), int(rng.integers(2)), " ".join(rng.choice(list("fghijkl"), 6))
        first, last = ("d", "e") if order else ("e", "d")
        lines.append(f"{first} {others} {word} {last},{word},{('yes', 'no')[order]}")
    (tmp_path / "texts.csv").write_text("\n".join(lines))
    (tmp_path / "sweep.yaml").write_text(f"""
source: {{kind: texts, path: texts.csv, text: text}}
models: [{sweep_base / "tiny"}]
sites: [1]
targets: [word, order]
probes: {{logistic: {{C: [100.0]}}}}
controls: [bag_of_words]
metrics: [accuracy]
folds: 3
resamples: 50
""")
    options = [str(tmp_path / "sweep.yaml"), "--runs", str(tmp_path), "--name", "words", "--jobs", "1", "--no-progress"]
    assert main(["sweep", *options]) == 0
    rows = load_results(tmp_path / "sweep" / "words").set_index(["target", "control"])["estimate"]
    assert rows["word", "bag_of_words"] == 1.0 and abs(rows["order", "bag_of_words"] - 0.5) < 0.2
    assert rows["order", "none"] > 0.9, "the last token is in the last activation"


def test_bag_of_words_needs_texts(sweep_base):
    from workbench.families.probe_sweep import SweepSpec, make_plan

    fields = {
        "source": {"kind": "bandit-steps"},
        "models": ["bandit-agent"],
        "targets": ["arm"],
        "probes": ["logistic"],
    }
    with pytest.raises(SpecError, match="'bag_of_words' needs texts, and the source 'bandit-steps' has none"):
        make_plan(SweepSpec.model_validate(fields | {"controls": ["bag_of_words"]}))
