"""lm-eval on a steered model: its Hugging Face class inside ``model.steered``, and its client of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from steering import Add
from workbench.models.tiny import tiny_model

pytestmark = pytest.mark.slow

lm_eval = pytest.importorskip("lm_eval", reason="the package lm_eval is not installed")

QUESTIONS = [("a b c", " d"), ("a b c", " e f"), ("q", " z y x"), ("h i j k l m n", " o")]


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A task of multiple choices, from a file of its own."""
    import json

    from lm_eval.api.task import ConfigurableTask

    folder = tmp_path_factory.mktemp("task")
    rows = [{"ask": ask, "choices": [" d", " e f", " z", right], "right": 3} for ask, right in QUESTIONS]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return ConfigurableTask(
        config={
            "task": "letters", "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(folder / "test.jsonl")}, "cache_dir": str(folder / "cache")},
            "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "ask", "doc_to_choice": "choices",
            "doc_to_target": "right", "target_delimiter": "", "metric_list": [{"metric": "acc"}],
        }
    )  # fmt: skip


def add(dose: float, scope: str) -> list[Add]:
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    return [Add(direction, dose=dose, site=1, scope=scope)]


def hflm(hf_model: Any, model: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=hf_model, tokenizer=model.tokenizer, batch_size=2)


def likelihoods(lm: Any) -> list[float]:
    from lm_eval.api.instance import Instance

    asked = [Instance("loglikelihood", {}, pair, k) for k, pair in enumerate(QUESTIONS)]
    return [value for value, _ in lm.loglikelihood(asked)]


def own_likelihoods(model: Any, interventions: list[Add]) -> list[float]:
    """The same by a plain pass of ours, in which every token is prompt, as it is to lm-eval."""
    found = []
    for prompt, continuation in QUESTIONS:
        head = model.encode(prompt)
        tokens = head + model.encode_continuation(continuation, after=prompt)
        logits = model.forward([tokens], interventions=interventions, logits=True).logits
        logprobs = logits[0].log_softmax(-1)
        found.append(sum(float(logprobs[k - 1, tokens[k]]) for k in range(len(head), len(tokens))))
    return found


@pytest.mark.parametrize("scope", ["prompt", "prompt[1:]+generation"])
def test_inside_the_block_likelihoods_are_the_steered_models(model: Any, scope: str) -> None:
    interventions = add(0.6, scope)
    with model.steered(interventions) as hf_model:
        found = likelihoods(hflm(hf_model, model))
    assert found == pytest.approx(own_likelihoods(model, interventions), abs=1e-4)
    plain = likelihoods(hflm(model.backend.hf_model, model))
    assert plain == pytest.approx(own_likelihoods(model, []), abs=1e-4)
    assert all(abs(steered - unsteered) > 0.01 for steered, unsteered in zip(found, plain, strict=True))


def test_an_evaluation_inside_the_block_is_steered_and_one_after_it_is_not(model: Any, task: Any) -> None:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False)  # otherwise each evaluation reads the 14,000 files of its tasks

    def scores(lm: Any) -> list[float]:
        results = lm_eval.simple_evaluate(
            model=lm, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=True
        )
        samples = results["samples"]["letters"]
        return [float(value) for sample in samples for ((value, _),) in sample["resps"]]

    before = scores(hflm(model.backend.hf_model, model))
    with model.steered(add(0.6, "prompt+generation")) as hf_model:
        steered = scores(hflm(hf_model, model))
    assert scores(hflm(model.backend.hf_model, model)) == before != steered


def test_generation_inside_the_block_is_generates(model: Any) -> None:
    from lm_eval.api.instance import Instance

    interventions = add(0.6, "prompt[-1:]+generation")
    how = {"until": ["never"], "max_gen_toks": 6, "do_sample": False}
    asked = [Instance("generate_until", {}, (prompt, how), k) for k, (prompt, _) in enumerate(QUESTIONS)]
    with model.steered(interventions) as hf_model:
        found = hflm(hf_model, model).generate_until(asked)
    said = model.generate(
        [prompt for prompt, _ in QUESTIONS], max_new_tokens=6, temperature=0, interventions=interventions
    )
    assert [text.strip() for text in found] == [completion.text.strip() for (completion,) in said]


def test_its_client_scores_through_the_server_as_the_model_does(tmp_path: Path) -> None:
    """``local-completions``, with a vector in every request."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    from steering import SteeringVector
    from tests.apps.serve.serving import serving
    from workbench.models import load_model

    model = load_model("bandit-agent", device="cpu")
    vector = SteeringVector(2, torch.ones(model.d_model), name="ones").for_model(model)
    vector.save(tmp_path / "ones.safetensors")
    steering = [{"vector": "ones", "dose": 0.6, "scope": "prompt+generation"}]

    class Steered(LocalCompletionsAPI):  # type: ignore[misc]  # it has no types
        def _create_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return {**super()._create_payload(*args, **kwargs), "steering": steering}

    pairs = [("Button 1 paid", " 80 points"), ("Button 2 paid 30 points. I choose", " 2")]
    with serving(tmp_path / "log", "--model", "bandit-agent", "--vector", f"ones={tmp_path}/ones.safetensors") as at:
        client = Steered(
            base_url=f"{at.url}/v1/completions", model="bandit-agent", tokenizer_backend="huggingface",
            tokenizer=model.backend.hf_model.name_or_path, add_bos_token=True, batch_size=2, num_concurrent=2,
        )  # fmt: skip
        from lm_eval.api.instance import Instance

        found = client.loglikelihood([Instance("loglikelihood", {}, pair, k) for k, pair in enumerate(pairs)])
    add = Add(vector, dose=0.6, scope="prompt+generation")
    for (prompt, continuation), (value, _) in zip(pairs, found, strict=True):
        head = model.tokenizer(prompt)["input_ids"]
        tokens = model.tokenizer(prompt + continuation)["input_ids"]
        logits = model.forward([tokens], interventions=[add], logits=True).logits
        assert logits is not None
        logprobs = logits[0].log_softmax(-1)
        expected = sum(float(logprobs[k - 1, tokens[k]]) for k in range(len(head), len(tokens)))
        assert value == pytest.approx(expected, abs=1e-3)
