from __future__ import annotations

import copy
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from probes import make_probe
from probes.saving import load_probe, save_probe
from steering import Ablate, Add, Carried, Cosine, ProbeScore, SteeringVector, conditional
from steering.batching import side_by_side
from workbench.errors import ArtifactError, DataError, RunError, SiteError, SpecError
from workbench.models import LanguageModel, load_model
from workbench.models.continuations import as_generated
from workbench.models.tiny import tiny_model

D = 32
GENERATOR = torch.Generator().manual_seed(3)
READ, PUSH = torch.randn(D, generator=GENERATOR), 3 * torch.randn(D, generator=GENERATOR)
PROMPTS = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14], [15, 16, 17, 18]]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model()


@pytest.fixture(scope="module")
def middle(model) -> float:
    """A cosine that about half of the tokens exceed."""
    read = model.forward(PROMPTS, [1])
    z = torch.cat([row[:n] for row, n in zip(read.activations[1], read.lengths, strict=True)])
    return float(torch.nn.functional.cosine_similarity(z, READ, dim=-1).median()) + 1e-4


def test_it_acts_exactly_where_the_cosine_at_the_earlier_layer_is_above(model, middle):
    steer = conditional(Add(PUSH, site=2, scope="prompt"), Cosine(READ, above=middle, site=1))
    found = model.forward(PROMPTS, [1, 2], steer)
    plain = model.forward(PROMPTS, [2])
    for row, n in enumerate(found.lengths):
        fires = torch.nn.functional.cosine_similarity(found.activations[1][row, :n], READ, dim=-1) > middle
        change = found.activations[2][row, :n] - plain.activations[2][row, :n]
        torch.testing.assert_close(change, fires[:, None] * PUSH, atol=1e-5, rtol=1e-5)
        assert torch.equal(found.activations[2][row, :n][~fires], plain.activations[2][row, :n][~fires])
    assert bool(fires.any())


def test_at_one_site_it_reads_what_stands_there_before_it_acts(model):
    steer = conditional(2 * [Add(PUSH, site=1, scope="prompt")], Cosine(PUSH, below=0, site=1))
    plain = model.forward(PROMPTS, [1])
    found = model.forward(PROMPTS, [1], steer)
    fires = (plain.activations[1] @ PUSH < 0)[..., None]
    real = torch.arange(5) < torch.tensor(plain.lengths)[:, None]
    expected = plain.activations[1] + 2 * fires * PUSH
    torch.testing.assert_close(found.activations[1][real], expected[real])


@pytest.mark.parametrize("when", ["token", "prompt"])
def test_dose_zero_equals_unsteered_bit_for_bit(model, middle, when):
    plain = model.forward(PROMPTS, logits=True).logits
    steer = conditional(Add(PUSH, dose=0.0, site=2), Cosine(READ, above=middle, site=1), when)
    assert torch.equal(model.forward(PROMPTS, interventions=steer, logits=True).logits, plain)
    never = conditional(Add(PUSH, dose=0.5, site=2), Cosine(READ, above=1.1, site=1), when)
    assert torch.equal(model.forward(PROMPTS, interventions=never, logits=True).logits, plain)
    always = conditional(Add(PUSH, dose=0.5, site=2), Cosine(READ, above=-1.1, site=1), when)
    assert not torch.equal(model.forward(PROMPTS, interventions=always, logits=True).logits, plain)


@pytest.mark.parametrize("when", ["token", "prompt"])
@pytest.mark.parametrize("scope", ["prompt[-1:]+generation", "prompt+generation"])
def test_under_a_cache_with_completions_side_by_side_it_equals_one_pass(model, middle, when, scope):
    if (when, scope) == ("prompt", "prompt+generation"):
        return
    rows = torch.tensor([1.0, -1.0, 0.0, 2.0])
    thresholds = torch.tensor([middle, middle, -1.0, middle])  # one a row
    steer = conditional(Add(PUSH, rows, site=2, scope=scope), Cosine(READ, above=thresholds, site=1), when)
    found = model.generate(PROMPTS, n=3, max_new_tokens=6, temperature=1.0, seeds=5, interventions=steer)
    plain = model.generate(PROMPTS, n=3, max_new_tokens=6, temperature=1.0, seeds=5)
    assert [[c.tokens for c in row] for row in found] != [[c.tokens for c in row] for row in plain]
    for row, (prompt, completions) in enumerate(zip(PROMPTS, found, strict=True)):
        for one in completions:
            whole = prompt + one.tokens
            own = Cosine(READ, above=float(thresholds[row]), site=1)
            again = conditional(Add(PUSH, float(rows[row]), site=2, scope=scope), own, when)
            logits = model.forward([whole], interventions=as_generated(again, len(prompt)), logits=True).logits[0]
            expected = logits.log_softmax(-1)[range(len(prompt) - 1, len(whole) - 1), one.tokens].sum()
            if one.finish == "length":  # else the end token's is in it, too
                assert one.logprob == pytest.approx(float(expected), abs=1e-3)


def test_scores_under_conditions_equal_one_pass(model, middle):
    steer = conditional(Add(PUSH, site=2), Cosine(READ, above=middle, site=1))
    continuations = [[[20, 21, 22], [23]], [[24, 25]], [[26, 27]], [[28, 29]]]
    for prompt, parts, scores in zip(PROMPTS, continuations, model.score(PROMPTS, continuations, steer), strict=True):
        for tokens, score in zip(parts, scores, strict=True):
            given = as_generated(steer, len(prompt))
            logits = model.forward([prompt + tokens], interventions=given, logits=True).logits[0].log_softmax(-1)
            own = logits[range(len(prompt) - 1, len(prompt) + len(tokens) - 1), tokens]
            torch.testing.assert_close(torch.tensor(score.token_logprobs), own, atol=1e-4, rtol=1e-4)


def test_on_the_prompt_it_steers_the_rows_whose_last_token_fires_and_no_others(model):
    last = torch.stack([model.forward([p], [1]).activations[1][0, -1] for p in PROMPTS])
    cosines = torch.nn.functional.cosine_similarity(last, READ, dim=-1)
    threshold = float(cosines.median()) + 1e-6  # the lower median: half of them are above
    add = Add(PUSH, site=2)
    steer = conditional(add, Cosine(READ, above=threshold, site=1), when="prompt")
    texts = [model.generate(PROMPTS, n=2, max_new_tokens=5, temperature=0, interventions=i) for i in ([], [add], steer)]
    plain, always, found = ([[c.tokens for c in row] for row in each] for each in texts)
    assert found == [a if fires else p for a, p, fires in zip(always, plain, cosines > threshold, strict=True)]
    assert plain != found != always


def test_on_the_prompt_a_scope_that_reaches_further_back_is_refused():
    with pytest.raises(SpecError, match=r"^Add at [^\n]* last prompt token only[^\n]*$"):
        conditional(Add(PUSH, site=2, scope="prompt"), Cosine(READ, above=0, site=1), when="prompt")
    with pytest.raises(SpecError, match="unknown when 'promt'; did you mean 'prompt'"):
        conditional(Add(PUSH, site=2), Cosine(READ, above=0, site=1), when="promt")


def test_conditions_nest_to_both(model):
    inner = Cosine(READ, above=0, site=0)
    outer = Cosine(PUSH, above=0, site=1)
    steer = conditional(conditional(Add(PUSH, site=2, scope="prompt"), inner), outer)
    found, plain = model.forward(PROMPTS, [0, 1, 2], steer), model.forward(PROMPTS, [2])
    both = (found.activations[0] @ READ > 0) & (found.activations[1] @ PUSH > 0)
    changed = (found.activations[2] != plain.activations[2]).any(-1)
    real = torch.arange(5) < torch.tensor(plain.lengths)[:, None]
    assert torch.equal(changed[real], both[real])
    assert 0 < int(both[real].sum()) < int(real.sum())


def test_each_call_has_a_reading_of_its_own_in_whatever_order_threads_prepare_theirs(model, middle):
    reader, gate = conditional(Add(PUSH, site=2), Cosine(READ, above=middle, site=1))
    ours, theirs = reader.for_model(model), []
    other = threading.Thread(target=lambda: theirs.append(reader.for_model(model)))
    other.start()
    other.join()
    assert gate.for_model(model).reading is ours.reading is not theirs[0].reading
    assert reader.for_model(model).reading is not ours.reading


def test_threads_do_not_see_one_anothers_readings(model, middle):
    steer = conditional(Add(PUSH, site=2), Cosine(READ, above=middle, site=1), when="prompt")

    def run(prompts):
        return [[c.tokens for c in row] for row in model.generate(prompts, n=2, max_new_tokens=8, interventions=steer)]

    sets = [PROMPTS[k:] + PROMPTS[:k] for k in range(4)]
    alone = [run(each) for each in sets]
    together = [None] * 4

    def work(k):
        for _ in range(5):
            together[k] = run(sets[k])
            assert together[k] == alone[k]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_the_hugging_face_model_itself_is_steered_alike(model, middle):
    steer = conditional(Add(PUSH, site=2), Cosine(READ, above=middle, site=1), when="prompt")
    expected = [row[0].tokens for row in model.generate(PROMPTS, max_new_tokens=5, temperature=0, interventions=steer)]
    width = max(map(len, PROMPTS))
    tokens = torch.tensor([[0] * (width - len(p)) + p for p in PROMPTS])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in PROMPTS])
    with model.steered(steer) as hf_model:
        out = hf_model.generate(tokens, attention_mask=mask, max_new_tokens=5, do_sample=False, pad_token_id=0)
    assert [row[: len(e)] for row, e in zip(out[:, width:].tolist(), expected, strict=True)] == expected


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["transformer_lens", "nnsight"])
def test_every_back_end_gates_alike(backend, model, middle, tmp_path):
    model.backend.hf_model.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    other = load_model(tmp_path, backend=backend, dtype="float32")
    for when in ("token", "prompt"):
        steer = conditional(Add(PUSH, site=2), Cosine(READ, above=middle, site=1), when)
        options = {"n": 2, "max_new_tokens": 5, "temperature": 0, "interventions": steer}
        found, expected = (each.generate(PROMPTS, **options) for each in (other, model))
        assert [[c.tokens for c in row] for row in found] == [[c.tokens for c in row] for row in expected]


def test_gates_without_their_reader_are_refused(model):
    _, gate = conditional(Add(PUSH, site=2, scope="prompt"), Cosine(READ, above=0, site=1))
    with pytest.raises(RunError, match=r"^conditional Add at [^\n]* pass all that conditional"):
        model.forward(PROMPTS, interventions=[gate], logits=True)


def test_a_condition_behind_its_intervention_is_refused(model):
    for read, acts in ((2, 1), ("1.mlp_out", "1.attn_out"), (-1, -2)):
        with pytest.raises(SiteError, match=r"^the condition is read at [^\n]* which comes after"):
            conditional(Add(PUSH, site=acts), Cosine(READ, above=0, site=read))
    with pytest.raises(SiteError, match="which comes after"):  # known when there is a model
        model.forward(PROMPTS, [3], conditional(Add(PUSH, site=1), Cosine(READ, above=0, site=-1)))
    conditional(Add(PUSH, site="1.mlp_out"), Cosine(READ, above=0, site="1.attn_out"))


def test_stateful_controllers_and_other_things_are_refused():
    controller = SimpleNamespace(site=Add(PUSH, site=2).site, start=lambda rows: {"n": torch.zeros(rows)})
    with pytest.raises(DataError, match="carries a state"):
        conditional(Carried(controller, 2), Cosine(READ, above=0, site=1))
    with pytest.raises(DataError, match="condition must be a Gate"):
        conditional(Add(PUSH, site=2), READ)
    with pytest.raises(DataError, match="above=, below= or both"):
        Cosine(READ, site=1)


def test_a_fitted_probe_gates_where_it_predicts_its_second_class(model, tmp_path):
    z = model.forward(PROMPTS, [1]).activations[1].reshape(-1, D)
    labels = np.where((z @ READ).numpy() > 0, "yes", "no")
    probe = make_probe("logistic").fit(z.numpy(), labels)
    save_probe(probe, tmp_path / "p.safetensors", site=1, basis="raw", fingerprint=model.fingerprint)
    loaded = load_probe(tmp_path / "p.safetensors")
    condition = ProbeScore(loaded)
    assert (condition.site.layer, condition.fingerprint) == (1, model.fingerprint)
    seen = model.forward(PROMPTS, [1], conditional(Add(PUSH, site=1, scope="prompt"), condition))
    plain = model.forward(PROMPTS, [1])
    changed = (seen.activations[1] != plain.activations[1]).any(-1)
    predicted = probe.predict(plain.activations[1].reshape(-1, D).numpy()).reshape(changed.shape) == "yes"
    real = (torch.arange(5) < torch.tensor(plain.lengths)[:, None]).numpy()
    assert (changed.numpy() == predicted)[real].all()
    against = ProbeScore(loaded, target="no")
    torch.testing.assert_close(against.weights, -condition.weights)
    assert against.bias == -condition.bias
    with pytest.raises(DataError, match="unknown class of the probe 'maybe'"):
        ProbeScore(loaded, target="maybe")


def test_a_condition_of_another_model_is_refused(model):
    steer = conditional(Add(PUSH, site=2), Cosine(SteeringVector(1, READ, fingerprint="model-b"), above=0))
    with pytest.raises(ArtifactError, match=r"_Reader at [^\n]* belongs to another model"):
        model.forward(PROMPTS, interventions=steer, logits=True)


def test_copies_of_a_list_keep_reader_and_gates_together(model, middle):
    steer = conditional([Add(PUSH, site=2), Ablate(PUSH, site=3)], Cosine(READ, above=middle, site=1))
    again = copy.deepcopy(steer)
    texts = [model.generate(PROMPTS, max_new_tokens=5, temperature=0, interventions=each) for each in (steer, again)]
    assert texts[0] == texts[1]
    assert len(steer) == 3  # one reader for one scope
    assert len(conditional([steer[1], Add(PUSH, site=3, scope="generation")], Cosine(READ, above=0, site=1))) == 4


def test_the_same_condition_in_many_blocks_of_a_batch_is_read_for_each(model, middle):
    sets = [[], conditional(Add(PUSH, site=2), Cosine(READ, above=middle, site=1), when="prompt")]
    sets += [conditional(Add(PUSH, k, site=2), Cosine(READ, below=middle, site=1)) for k in (1.0, -2.0)] + [sets[1]]
    alone = [model.generate(PROMPTS, max_new_tokens=5, temperature=0, interventions=each) for each in sets]
    steer = side_by_side(sets, model, counts=len(PROMPTS))
    together = model.generate(PROMPTS * len(sets), max_new_tokens=5, temperature=0, interventions=steer)
    assert [row[0].tokens for row in together] == [row[0].tokens for rows in alone for row in rows]


@pytest.mark.parametrize("when", ["token", "prompt"])
def test_rows_with_equal_tokens_that_others_steer_between_reader_and_gate_are_told_apart(model, middle, when):
    gated = conditional(Add(PUSH, site=3), Cosine(READ, above=middle, site=1), when)
    sets = [[], [Add(PUSH, site=2)], gated, [Add(PUSH, -1.0, site=0)], gated]
    alone = [model.forward(PROMPTS, interventions=each, logits=True).logits for each in sets]
    steer = side_by_side(sets, model, counts=len(PROMPTS))
    found = model.forward(PROMPTS * len(sets), interventions=steer, logits=True)
    for row, (logits, n) in enumerate(zip(found.logits, found.lengths, strict=True)):
        expected = alone[row // len(PROMPTS)][row % len(PROMPTS)]
        torch.testing.assert_close(logits[:n], expected[:n], atol=1e-4, rtol=1e-4)
    assert not torch.equal(alone[0], alone[2])
