"""Models of the workbench as models of Inspect, unsteered and steered, in tasks and outside of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import workbench
from steering import Add, Condition, SteeringVector, damage
from workbench.errors import ArtifactError, ModelError, SpecError, WorkbenchError
from workbench.models.interventions import Scope
from workbench.models.sampling import PLAIN
from workbench.models.tiny import tiny_model
from workbench.seeding import derive_seed
from workbench.sites import Site

pytestmark = pytest.mark.slow

pytest.importorskip("inspect_ai", reason="the extra inspect is not installed")


def local_model(*args: Any, **options: Any) -> Any:
    from workbench.inspect_provider import local_model

    return local_model(*args, **options)


@pytest.fixture(scope="module")
def chat_model() -> Any:
    """A tiny untrained model."""
    return tiny_model()


def run(task: Any, model: Any, folder: Path, **options: Any) -> Any:
    """The log of an evaluation, read back from its file."""
    from inspect_ai import eval as evaluate
    from inspect_ai.log import read_eval_log

    (log,) = evaluate(task, model=model, log_dir=str(folder), display="none", **options)
    assert log.status == "success", log.error
    return read_eval_log(log.location)


def asked(model, config: dict[str, object], text: str = "a b c"):
    """What the provider answers outside of a task."""
    import anyio
    from inspect_ai.model import GenerateConfig

    made = local_model(model)
    return anyio.run(lambda: made.generate(text, config=GenerateConfig(**{"max_tokens": 5, **config})))


def test_epochs_differ_and_come_again(chat_model, tmp_path: Path) -> None:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import generate

    task = Task(dataset=[Sample(input="a b c", id=k) for k in range(2)], solver=[generate()], epochs=4)
    model = local_model(chat_model)

    def texts(**options: object) -> dict[tuple[object, int], str]:
        log = run(task, model, tmp_path, max_tokens=8, **options)
        return {(sample.id, sample.epoch): sample.output.completion for sample in log.samples}

    first, again, other = texts(), texts(), texts(seed=3)
    assert first == again and len(set(first.values())) == 8
    assert len(set(other.values())) == 8 and not set(other.values()) & set(first.values())


def test_asking_again_outside_of_a_task_draws_again(chat_model) -> None:
    import anyio
    from inspect_ai.model import GenerateConfig

    def twice() -> list[str]:
        model = local_model(chat_model)
        config = GenerateConfig(max_tokens=8)
        return [anyio.run(lambda: model.generate("a b", config=config)).completion for _ in range(2)]

    first = twice()
    assert first[0] != first[1] and twice() == first


def test_choices_and_log_probabilities_are_the_models(chat_model) -> None:
    output = asked(chat_model, {"num_choices": 3, "logprobs": True, "top_logprobs": 2})
    assert len(output.choices) == 3 and len({choice.message.text for choice in output.choices}) > 1
    prompt = chat_model.encode([{"role": "user", "content": "a b c"}])
    for choice in output.choices:
        ids = chat_model.encode_continuation(choice.message.text, after=prompt)
        ((score,),) = chat_model.score([prompt], [[ids]])
        found = choice.logprobs.content
        assert [each.logprob for each in found] == pytest.approx(score.token_logprobs, abs=1e-4)
        assert all(len(each.top_logprobs) == 2 for each in found)
        assert all(each.top_logprobs[0].logprob >= each.logprob - 1e-4 for each in found)
    assert output.usage.output_tokens == 15


def test_a_stop_sequence_is_not_in_the_text(chat_model) -> None:
    free = asked(chat_model, {}).completion
    stop = free[2:4]
    output = asked(chat_model, {"stop_seqs": [stop]})
    assert output.completion == free[: free.index(stop)] and output.stop_reason == "stop"
    assert asked(chat_model, {}).stop_reason == "max_tokens"


def test_an_output_says_how_it_was_sampled(chat_model) -> None:
    assert asked(chat_model, {}).metadata == {"sampling": dict(chat_model.sampling)}
    assert asked(chat_model, {"top_k": 3}).metadata == {"sampling": PLAIN | {"top_k": 3}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"top_p": 0}, "top_p 0"),
        ({"max_tokens": 0}, "max_new_tokens must be an integer of at least 1"),
        ({"num_choices": 0}, "n must be an integer of at least 1"),
        ({"temperature": -1}, "temperature"),
        ({"top_logprobs": 2}, "top_logprobs needs logprobs"),
        ({"frequency_penalty": 0.5, "best_of": 2}, "do not know best_of, frequency_penalty"),
        ({"logit_bias": {5: 1.0}}, "do not know logit_bias"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_line(chat_model, config, said: str) -> None:
    with pytest.raises(WorkbenchError, match=said) as caught:
        asked(chat_model, config)
    assert "\n" not in str(caught.value)


def test_a_picture_is_refused(chat_model) -> None:
    from inspect_ai.model import ChatMessageUser, ContentImage

    with pytest.raises(ModelError, match="read text, and a message holds image"):
        asked(chat_model, {}, [ChatMessageUser(content=[ContentImage(image="data:image/png;base64,iVBORw0KGgo=")])])  # type: ignore[arg-type]


# ---- steered


@pytest.fixture(scope="module")
def vector(chat_model: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SteeringVector]:
    """A random direction of layer 1, in a file."""
    direction = torch.randn(chat_model.d_model, generator=torch.Generator().manual_seed(0))
    made = SteeringVector(1, direction, name="it").for_model(chat_model)
    path = tmp_path_factory.mktemp("vectors") / "it.safetensors"
    made.save(path)
    return path, made


def test_vectors_and_a_dose_make_any_task_a_steering_evaluation(
    chat_model: Any, vector: tuple[Path, SteeringVector], tmp_path: Path
) -> None:
    """Every sample and epoch is what ``generate`` gives with the same intervention; epochs differ."""
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import generate

    path, made = vector
    task = Task(dataset=[Sample(input=text, id=text) for text in ("a b c", "d")], solver=[generate()], epochs=3)
    log = run(task, local_model(chat_model, vectors=str(path), dose=0.6), tmp_path, max_tokens=8)
    plain = run(task, local_model(chat_model), tmp_path, max_tokens=8)
    for sample, other in zip(log.samples, plain.samples, strict=True):
        seed = derive_seed(0, "inspect", sample.id, sample.epoch, 1)
        ((expected,),) = chat_model.generate(
            [[{"role": "user", "content": sample.id}]], max_new_tokens=8, seeds=seed,
            interventions=[Add(made, dose=0.6)],
        )  # fmt: skip
        assert sample.output.completion == expected.text != other.output.completion
        assert sample.output.metadata["steering"] == [
            f"it x {0.6 * chat_model.residual_norm(1) / made.norm:.6g} at blocks.1.hook_resid_post,"
            " prompt[-1:]+generation"
        ]
    assert len({sample.output.completion for sample in log.samples}) == 6
    assert log.eval.model == "workbench/tiny-llama"


def test_the_command_line_of_inspect_steers(tmp_path: Path) -> None:
    """``inspect eval TASK --model workbench/NAME -M vectors=FILE -M dose=0.6``, as a user types it."""
    import subprocess
    import sys

    from inspect_ai.log import list_eval_logs, read_eval_log

    from workbench.models import load_model

    model = load_model("bandit-agent", device="cpu")
    made = SteeringVector(2, torch.ones(model.d_model), name="ones").for_model(model)
    made.save(tmp_path / "ones.safetensors")
    (tmp_path / "task.py").write_text(
        "from inspect_ai import Task, task\nfrom inspect_ai.dataset import Sample\n"
        "from inspect_ai.solver import generate\n\n@task\ndef said():\n"
        "    return Task(dataset=[Sample(input='Button 1 paid 80 points.')], solver=[generate()])\n"
    )
    words = ["-M", "vectors=ones.safetensors", "-M", "dose=0.6", "-M", "layer=3", "-M", "scope=prompt+generation"]
    command = [sys.executable, "-m", "inspect_ai", "eval", "task.py", "--model", "workbench/bandit-agent", *words]
    options = ["--temperature", "0", "--max-tokens", "12", "--display", "none", "--log-dir", str(tmp_path / "logs")]
    environment = os.environ | {"PYTHONPATH": str(Path(workbench.__path__[0]).parent)}
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = list_eval_logs(str(tmp_path / "logs"))
    log = read_eval_log(found)
    add = Add(made, dose=0.6, site=3, scope=Scope.everywhere())
    chat = [{"role": "user", "content": "Button 1 paid 80 points."}]
    ((expected,),) = model.generate([chat], max_new_tokens=12, temperature=0, interventions=[add])
    assert log.samples is not None and log.samples[0].output.completion == expected.text
    assert log.eval.model_args["dose"] == 0.6


def test_log_probabilities_are_the_steered_models(chat_model: Any, vector: tuple[Path, SteeringVector]) -> None:
    import anyio
    from inspect_ai.model import GenerateConfig

    path, made = vector
    model = local_model(chat_model, vectors=[str(path)], multiplier=[2.0], scope="prompt+generation")
    config = GenerateConfig(max_tokens=5, logprobs=True)
    (choice,) = anyio.run(lambda: model.generate("a b c", config=config)).choices
    prompt = chat_model.encode([{"role": "user", "content": "a b c"}])
    add, seed = Add(made, 2.0, scope=Scope.everywhere()), derive_seed(0, "inspect", 1)
    ((said,),) = chat_model.generate([prompt], max_new_tokens=5, seeds=seed, interventions=[add])
    ((score,),) = chat_model.score([prompt], [[said.tokens]], interventions=[add])
    assert choice.message.text == said.text
    assert [each.logprob for each in choice.logprobs.content] == pytest.approx(score.token_logprobs, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"dose": 0.3}, SpecError, "dose is said, and no vectors"),
        ({"vectors": "FILE"}, SpecError, "vectors need dose=NUMBER, multiplier=NUMBER or target_kl"),
        ({"vectors": "FILE", "dose": 0.3, "multiplier": 1}, SpecError, "one of the three"),
        ({"vectors": "FILE", "dose": "strong"}, SpecError, "dose must be a finite number"),
        ({"vectors": ["FILE"], "dose": [0.3, 0.4]}, SpecError, "1 files of vectors and 2 values of dose"),
        ({"vectors": "FILE", "dose": 0.3, "scope": "all"}, SpecError, "cannot read scope"),
        ({"vectors": "FILE", "dose": 0.3, "layer": 4}, WorkbenchError, "blocks.4"),
        ({"vectors": "nothing.safetensors", "dose": 0.3}, WorkbenchError, "nothing.safetensors"),
    ],
)
def test_steering_that_cannot_be_read_is_refused_in_one_line(
    chat_model: Any, vector: tuple[Path, SteeringVector], options: dict[str, Any], error: type, said: str
) -> None:
    path = str(vector[0])
    if "vectors" in options:
        given = options["vectors"]
        files = [path] if given == ["FILE"] else path if given == "FILE" else given
        options = options | {"vectors": files}
    with pytest.raises(error, match=said):
        local_model(chat_model, **options)


def test_a_vector_of_another_model_is_refused(vector: tuple[Path, SteeringVector]) -> None:
    with pytest.raises(ArtifactError, match="another model"):
        local_model(tiny_model(seed=1), vectors=str(vector[0]), dose=0.3)


def test_a_strength_may_be_said_by_what_it_does(tmp_path: Path) -> None:
    from workbench.inspect_provider import steered_by

    model = tiny_model()
    vector = SteeringVector(2, torch.randn(32, generator=torch.Generator().manual_seed(3)), model.fingerprint)
    vector.save(tmp_path / "v.safetensors")
    [add] = steered_by(model, tmp_path / "v.safetensors", target_kl=0.05, layer=1)
    kl = damage(model, [Condition("vector", (add,))])["kl"].mean()
    assert add.site == Site(1) and kl == pytest.approx(0.05, rel=0.1)
    with pytest.raises(SpecError, match="one of the three"):
        steered_by(model, tmp_path / "v.safetensors", dose=0.1, target_kl=0.05)
    with pytest.raises(SpecError, match="target_kl is of one vector"):
        steered_by(model, [tmp_path / "v.safetensors"] * 2, target_kl=0.05)
