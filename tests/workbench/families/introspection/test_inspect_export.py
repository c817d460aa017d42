"""Both protocols as Inspect tasks: with Inspect's mock model, and with a tiny local model.  Logs are read back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workbench.errors import MissingExtraError, SiteError
from workbench.families.introspection import inspect_export

pytestmark = pytest.mark.slow

pytest.importorskip("inspect_ai", reason="the extra inspect is not installed")

CONDITIONS = {
    *(f"standard/{vector}" for vector in ("concept", "none", "random", "shuffled", "perturbed")),
    *(f"{arm}/{vector}" for arm in ("neutral", "unrelated") for vector in ("concept", "none", "random")),
}


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """An untrained model that reads any text, with room for the prompts."""
    from workbench.families.introspection.concept_injection import prompts
    from workbench.models.hf import HuggingFaceBackend
    from workbench.models.language_model import LanguageModel
    from workbench.models.tokenizers import word_tokenizer
    from workbench.training.recipes import Shape, new_llama

    tokenizer = word_tokenizer([prompts.INTRODUCTION, prompts.TRIAL, *prompts.NEUTRAL, "Yes No yes no"], max_integer=9)
    shape = Shape(layers=2, width=16, heads=2, kv_heads=2, mlp=32, positions=1024)
    return LanguageModel(HuggingFaceBackend(new_llama(shape, tokenizer, "tiny", seed=0).eval()), tokenizer, "tiny-chat")


def mock(replies):
    """A mock model: ``replies(text of the last message)``, tokens counted without the network."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    def reply(messages, tools, choice, config):
        output = ModelOutput.from_content("mockllm", replies(messages[-1].text))
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model("mockllm/model", custom_outputs=reply, memoize=False)


def run(task, model, folder: Path, **options):
    """The log of an evaluation, read back from its file."""
    from inspect_ai import eval as evaluate
    from inspect_ai.log import read_eval_log

    (log,) = evaluate(task, model=model, log_dir=str(folder), display="none", **options)
    assert log.status == "success", log.error
    return read_eval_log(log.location)


def metrics(log, name: str) -> dict[str, float]:
    (found,) = [score for score in log.results.scores if score.name == name]
    return {metric: value.value for metric, value in found.metrics.items()}


def lions(text: str) -> str:
    """Says lion, wolf, bear to object-level questions, and predicts its own first word and character."""
    if "first word" in text:
        return "lion"
    return "l" if "first character" in text else "lion, wolf, bear"


def test_a_model_that_knows_itself_is_right_and_its_answers_are_asked_for_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def replies(text: str) -> str:
        asked.append(text)
        return lions(text)

    log = run(inspect_export.self_prediction(tasks="animals", items=3), mock(replies), tmp_path)
    found = metrics(log, "prediction")
    assert found["animals/first_word"] == found["animals/first_character"] == 1.0
    assert found["animals/third_character"] == 0.0 and 0 < found["kept_accuracy"] < 1
    assert found["kept"] == 1.0 and found["commonest"] == 1.0  # it always says the same
    assert found["low"] <= found["kept_accuracy"] <= found["high"]
    objects = [text for text in asked if text in {sample.metadata["object_level"] for sample in log.samples}]
    assert len(objects) == len(set(objects)) == 3
    assert len(log.samples) == len(asked) - 3


def test_answers_that_do_not_comply_are_dropped_and_bad_predictions_are_wrong(tmp_path: Path) -> None:
    def mute(text: str) -> str:
        return "" if "first" not in text and "second" not in text and "third" not in text else "lion"

    found = metrics(run(inspect_export.self_prediction(tasks="animals", items=2), mock(mute), tmp_path), "prediction")
    assert found["kept"] == 0.0 and found["kept_accuracy"] != found["kept_accuracy"]


def test_the_role_target_gives_cross_prediction(tmp_path: Path) -> None:
    task = inspect_export.self_prediction(tasks="animals", items=2)
    log = run(task, mock(lions), tmp_path, model_roles={"target": mock(lambda text: "bear, cat, dog")})
    assert metrics(log, "prediction")["animals/first_word"] == 0.0
    assert {sample.metadata["answer"] for sample in log.samples} == {"bear, cat, dog"}


def test_a_local_model_answers_through_the_provider(chat_model, tmp_path: Path) -> None:
    log = run(
        inspect_export.self_prediction(tasks="animals", items=1), inspect_export.local_model(chat_model), tmp_path
    )
    answer = log.samples[0].metadata["answer"]
    examples = [text for pair in log.samples[0].metadata["examples"] for text in pair]
    turns = [*examples, log.samples[0].metadata["object_level"]]
    chat = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(turns)]
    assert len(chat) == 5
    ((expected,),) = chat_model.generate(
        [chat], max_new_tokens=log.samples[0].metadata["max_new_tokens"], temperature=0
    )
    assert answer == expected.text.strip() or answer == expected.text
    assert log.eval.model == "workbench/tiny-chat"


def test_the_layer_is_chosen_or_counted_from_either_end() -> None:
    from workbench.families.introspection.inspect_export.injection_task import _layer

    assert [_layer(layer, 7) for layer in ("auto", 0, -1, -7)] == [3, 0, 6, 0]
    with pytest.raises(SiteError, match="layers 0 to 6"):
        _layer(7, 7)


def test_concept_injection_reports_every_condition_beside_its_controls(chat_model, tmp_path: Path) -> None:
    options = {"concepts": 4, "baselines": 3, "max_new_tokens": 3, "layer": 0, "multiplier": 8.0}
    task = inspect_export.concept_injection(**options, judge=None)
    log = run(task, inspect_export.local_model(chat_model), tmp_path)
    for name in ("success", "affirms", "names", "coherent", "logit_margin"):
        assert set(metrics(log, name)) == CONDITIONS
    assert metrics(log, "success")["standard/none"] == 0.0
    margins = metrics(log, "logit_margin")
    assert margins["standard/concept"] != margins["standard/none"]  # something was injected
    sample = next(s for s in log.samples if s.metadata["condition"] == "standard/concept")
    assert sample.messages[-1].role == "assistant" and "Do you notice" in sample.messages[-2].text


def test_concept_injection_refuses_a_model_without_activations(tmp_path: Path) -> None:
    from inspect_ai import eval as evaluate

    task = inspect_export.concept_injection(concepts=4, baselines=2)
    (log,) = evaluate(task, model=mock(lions), log_dir=str(tmp_path), display="none")
    assert log.status == "error" and "this task needs activations" in log.error.message


def test_without_inspect_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.delitem(vars(inspect_export), "self_prediction", raising=False)
    with pytest.raises(MissingExtraError, match=r"activation-workbench\[inspect\]"):
        _ = inspect_export.self_prediction
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = inspect_export.nothing_here
