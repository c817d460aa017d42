"""What the server answers is what the model does here, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from steering import Add, Cosine, ProbeScore, SetProjection, conditional
from tests.apps.serve.conftest import MODEL
from tests.apps.serve.serving import Served
from workbench.models.continuations import as_generated
from workbench.models.interventions import Scope
from workbench.models.token_probabilities import token_probabilities

pytest.importorskip("openai", reason="the client openai is not installed")

CHAT = [{"role": "user", "content": "Button 1 paid 80 points. Button 2 paid 20 points."}]
EVERYWHERE = "prompt+generation"


def asked(server: Served, **fields: Any) -> Any:
    return server.client().chat.completions.create(model=MODEL, messages=CHAT, **fields)


def completed(server: Served, **fields: Any) -> Any:
    return server.client().completions.create(model=MODEL, **fields)


def texts(answer: Any) -> list[str]:
    return [getattr(each, "text", None) or each.message.content for each in answer.choices]


def test_a_chat_is_answered_as_generate_does_with_the_same_seed(server: Served, bandit_model: Any) -> None:
    answer = asked(server, n=3, max_tokens=12, seed=5)
    (expected,) = bandit_model.generate([CHAT], n=3, max_new_tokens=12, seeds=5)
    assert texts(answer) == [each.text for each in expected] and len(set(texts(answer))) > 1
    assert [each.finish_reason for each in answer.choices] == [
        {"eos": "stop", "length": "length"}[each.finish] for each in expected
    ]
    read, written = len(bandit_model.encode(CHAT)), sum(len(each.tokens) for each in expected)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (read, written)
    assert answer.model_extra["workbench"]["seed"] == 5


def test_many_prompts_and_token_ids_are_completed_as_generate_does(server: Served, bandit_model: Any) -> None:
    prompts = ["Button 1 paid", "Button 2 paid 30", "I choose"]
    expected = [c.text for row in bandit_model.generate(prompts, n=2, max_new_tokens=9, seeds=3) for c in row]
    assert texts(completed(server, prompt=prompts, n=2, max_tokens=9, seed=3)) == expected
    ids = [bandit_model.encode(prompt) for prompt in prompts]
    assert texts(completed(server, prompt=ids, n=2, max_tokens=9, seed=3)) == expected
    assert texts(completed(server, prompt=ids[0], max_tokens=9, seed=3)) == expected[:1]


@pytest.mark.parametrize(
    "how",
    [{"temperature": 0}, {"temperature": 0.7, "top_p": 0.8}, {"extra_body": {"top_k": 5, "repetition_penalty": 1.3}}],
)
def test_sampling_is_that_of_generate(server: Served, bandit_model: Any, how: dict[str, Any]) -> None:
    plain = {k: v for k, v in how.items() if k != "extra_body"} | how.get("extra_body", {})
    (expected,) = bandit_model.generate([CHAT], n=2, max_new_tokens=12, seeds=1, **plain)
    assert texts(asked(server, n=2, max_tokens=12, seed=1, **how)) == [each.text for each in expected]


def test_without_a_seed_answers_differ_and_say_theirs(server: Served) -> None:
    first, second = (asked(server, max_tokens=20) for _ in range(2))
    seeds = [each.model_extra["workbench"]["seed"] for each in (first, second)]
    assert seeds[0] != seeds[1] and texts(asked(server, max_tokens=20, seed=seeds[0])) == texts(first)


def steered_as(vectors: dict[str, Any], probe: Any) -> list[tuple[list[dict[str, Any]], list[Any]]]:
    """What a request says, and the interventions that it means."""
    a, b, d = (vectors[name] for name in "abd")
    return [
        ([{"vector": "a", "dose": 0.6}], [Add(a, dose=0.6)]),
        ([{"vector": "d", "multiplier": -2}], [Add(d, -2.0)]),
        ([{"vector": "a", "dose": 0.5, "layer": -1}], [Add(a, dose=0.5, site=-1)]),
        (
            [{"vector": "b", "dose": 0.4, "scope": EVERYWHERE}],
            [Add(b, dose=0.4, scope=Scope.everywhere())],
        ),
        ([{"vector": "a", "target": 6.0}], [SetProjection(a, 6.0, site=a.site)]),
        ([{"vector": "a", "dose": 0.3}, {"vector": "b", "dose": 0.3}], [Add(a, dose=0.3), Add(b, dose=0.3)]),
        (
            [{"vector": "b", "dose": 0.6, "gate": {"vector": "a", "above": 0.0}}],
            conditional(Add(b, dose=0.6), Cosine(a, above=0.0)),
        ),
        (
            [{"vector": "b", "dose": 0.6, "gate": {"probe": "two", "below": 0.0}}],
            conditional(Add(b, dose=0.6), ProbeScore(probe, below=0.0, site=2)),
        ),
    ]


@pytest.mark.parametrize("case", range(8))
def test_a_steered_answer_differs_and_is_that_of_generate_with_the_same_interventions(
    server: Served, bandit_model: Any, vectors: dict[str, Any], probes: dict[str, Any], case: int
) -> None:
    said, meant = steered_as(vectors, probes["two"])[case]
    plain = texts(asked(server, n=4, max_tokens=16, seed=2))
    found = texts(asked(server, n=4, max_tokens=16, seed=2, extra_body={"steering": said}))
    (expected,) = bandit_model.generate([CHAT], n=4, max_new_tokens=16, seeds=2, interventions=meant)
    assert found == [each.text for each in expected] and found != plain


def test_a_stream_comes_in_pieces_that_are_the_whole_answer(server: Served) -> None:
    whole = asked(server, n=2, max_tokens=16, seed=4, logprobs=True, top_logprobs=2)
    options = {"stream": True, "stream_options": {"include_usage": True}, "logprobs": True, "top_logprobs": 2}
    chunks = list(asked(server, n=2, max_tokens=16, seed=4, **options))
    for index, choice in enumerate(whole.choices):
        own = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == index]
        assert "".join(each.delta.content or "" for each in own) == choice.message.content
        assert own[0].delta.role == "assistant" and own[-1].finish_reason == choice.finish_reason
        assert sum(bool(each.delta.content) for each in own) > 1
        said = [token for each in own if each.logprobs for token in each.logprobs.content]
        assert [t.token for t in said] == [t.token for t in choice.logprobs.content]
        assert [t.logprob for t in said] == pytest.approx([t.logprob for t in choice.logprobs.content], abs=1e-4)
    assert chunks[-1].usage == whole.usage and chunks[0].model_extra["workbench"]["seed"] == 4


def test_a_completion_streams_its_echo_first(server: Served, bandit_model: Any) -> None:
    chunks = list(completed(server, prompt="Button 1", max_tokens=6, seed=0, echo=True, stream=True))
    ((expected,),) = bandit_model.generate(["Button 1"], max_new_tokens=6, seeds=0)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Button 1" + expected.text


def test_nothing_of_a_stop_string_is_shown(server: Served, bandit_model: Any) -> None:
    ((free,),) = bandit_model.generate([CHAT], max_new_tokens=16, seeds=2)
    stop = free.text[12:15]
    expected = free.text[: free.text.index(stop)]
    answer = asked(server, max_tokens=16, seed=2, stop=["never", stop])
    assert texts(answer) == [expected] and answer.choices[0].finish_reason == "stop"
    chunks = list(asked(server, max_tokens=16, seed=2, stop=stop, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected


def test_log_probabilities_are_those_of_score(server: Served, bandit_model: Any, vectors: dict[str, Any]) -> None:
    add = [Add(vectors["a"], dose=0.5)]
    steering = {"steering": [{"vector": "a", "dose": 0.5}]}
    answer = asked(server, max_tokens=10, seed=1, logprobs=True, top_logprobs=3, extra_body=steering)
    ((said,),) = bandit_model.generate([CHAT], max_new_tokens=10, seeds=1, interventions=add)
    table = token_probabilities(bandit_model, CHAT, said.tokens, add, top=3)
    rows = table[table["part"] == "completion"]
    content = answer.choices[0].logprobs.content
    assert [each.logprob for each in content] == pytest.approx(rows["logprob"].tolist(), abs=1e-4)
    assert [each.token for each in content] == rows["text"].tolist()
    for each, texts_, p in zip(content, rows["top_texts"], rows["top_probabilities"], strict=True):
        assert [top.token for top in each.top_logprobs] == texts_
        assert np.exp([top.logprob for top in each.top_logprobs]) == pytest.approx(p, abs=1e-4)


@pytest.mark.parametrize("scope", ["prompt", "prompt[-1:]+generation"])
def test_an_echo_scores_the_prompt_as_it_is_steered(
    server: Served, bandit_model: Any, vectors: dict[str, Any], scope: str
) -> None:
    prompts = ["Button 1 paid 80 points.", "Button 2"]
    steering = {"steering": [{"vector": "a", "dose": 0.5, "scope": scope}]}
    answer = completed(server, prompt=prompts, max_tokens=0, echo=True, logprobs=1, extra_body=steering)
    for prompt, choice in zip(prompts, answer.choices, strict=True):
        table = token_probabilities(bandit_model, prompt, (), [Add(vectors["a"], dose=0.5, scope=scope)], top=1)
        rows = table[table["part"] == "prompt"]
        assert choice.text == prompt and choice.logprobs.tokens == rows["text"].tolist()
        assert choice.logprobs.token_logprobs[0] is None
        assert choice.logprobs.token_logprobs[1:] == pytest.approx(rows["logprob"].tolist()[1:], abs=1e-4)
        likeliest = [next(iter(top)) for top in choice.logprobs.top_logprobs[1:]]
        assert likeliest == [top[0] for top in rows["top_texts"].tolist()[1:]]
    free = completed(server, prompt=prompts[0], max_tokens=0, echo=True, logprobs=1).choices[0].logprobs
    same = free.token_logprobs == pytest.approx(answer.choices[0].logprobs.token_logprobs, abs=1e-4)
    assert same == (scope != "prompt")  # what steers the last token alone changes nothing before it


def test_an_echo_goes_on_with_the_completion(server: Served, bandit_model: Any) -> None:
    answer = completed(server, prompt="Button 1", max_tokens=4, temperature=0, echo=True, logprobs=1)
    ((said,),) = bandit_model.generate(["Button 1"], max_new_tokens=4, temperature=0)
    found = answer.choices[0]
    assert found.text == "Button 1" + said.text
    assert len(found.logprobs.tokens) == len(bandit_model.encode("Button 1")) + len(said.tokens)
    assert len(found.logprobs.text_offset) == len(found.logprobs.tokens) == len(found.logprobs.top_logprobs)


@pytest.mark.parametrize("case", [0, 6])
def test_probes_read_every_token_of_the_steered_text(
    server: Served, bandit_model: Any, vectors: dict[str, Any], probes: dict[str, Any], case: int
) -> None:
    steering, add = steered_as(vectors, probes["two"])[case]
    body = {"steering": steering, "readouts": ["two", "three"]}
    answer = asked(server, n=2, max_tokens=8, seed=6, extra_body=body)
    (said,) = bandit_model.generate([CHAT], n=2, max_new_tokens=8, seeds=6, interventions=add)
    prompt = bandit_model.encode(CHAT)
    for name, probe in probes.items():
        found = answer.model_extra["workbench"]["readouts"][name]
        assert found["site"] == "blocks.2.hook_resid_post" and found["classes"] == probe.classes_.tolist()
        for choice, each in zip(found["choices"], said, strict=True):
            forward = bandit_model.forward(
                [prompt + each.tokens], sites=[2], interventions=as_generated(add, len(prompt))
            )
            scores = probe.decision_function(forward.activations["2.resid_post"][0].numpy())
            assert np.array(choice["scores"]) == pytest.approx(scores[len(prompt) :], abs=1e-4)
            assert len(choice["tokens"]) == len(each.tokens)
            assert np.array(found["prompts"][0]["scores"]) == pytest.approx(scores[: len(prompt)], abs=1e-4)


def test_a_stream_brings_readouts_last(server: Served) -> None:
    body = {"readouts": ["two"]}
    whole = asked(server, max_tokens=6, seed=6, extra_body=body).model_extra["workbench"]["readouts"]
    *_, last = asked(server, max_tokens=6, seed=6, stream=True, extra_body=body)
    found = last.model_extra["workbench"]["readouts"]
    assert found["two"]["choices"][0]["tokens"] == whole["two"]["choices"][0]["tokens"]
    assert found["two"]["choices"][0]["scores"] == pytest.approx(whole["two"]["choices"][0]["scores"], abs=1e-4)


def test_64_requests_at_once_with_vectors_of_their_own_are_each_answered_as_alone(
    server: Served, bandit_model: Any, vectors: dict[str, Any], probes: dict[str, Any]
) -> None:
    kinds = [([], []), *steered_as(vectors, probes["two"])]
    cases = []
    for number in range(64):
        chat = [{"role": "user", "content": f"Button 1 paid {number % 5} points. " * (1 + number % 3)}]
        how = {"max_tokens": 4 + number % 23, "seed": number, "temperature": (0.0, 0.8, 1.0)[number % 3]}
        cases.append((chat, how, *kinds[number % 9], number % 2 == 1))

    async def one(client: Any, case: Any) -> str:
        chat, how, said, _, stream = case
        answer = await client.chat.completions.create(
            model=MODEL, messages=chat, stream=stream, extra_body={"steering": said}, **how
        )
        if not stream:
            return str(answer.choices[0].message.content)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    async def all_at_once() -> list[str]:
        async with server.client("AsyncOpenAI") as client:
            return list(await asyncio.gather(*(one(client, case) for case in cases)))

    found = asyncio.run(all_at_once())
    for (chat, how, _, meant, _), text in zip(cases, found, strict=True):
        ((expected,),) = bandit_model.generate(
            [chat], max_new_tokens=how["max_tokens"], seeds=how["seed"], temperature=how["temperature"],
            interventions=meant,
        )  # fmt: skip
        assert text == expected.text


def test_the_models_say_what_requests_may_name(server: Served, bandit_model: Any, vectors: dict[str, Any]) -> None:
    (model,) = server.client().models.list().data
    shelf = model.model_extra["workbench"]
    assert model.id == MODEL and set(shelf["vectors"]) == set(vectors) and set(shelf["probes"]) == {"two", "three"}
    assert shelf["vectors"]["d"][0]["site"] == str(vectors["d"].site)
    assert server.client().models.retrieve(MODEL).id == MODEL
