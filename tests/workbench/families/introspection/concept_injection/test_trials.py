"""Trials in one batch: the same as each alone through the public calls, and injected exactly where they say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from steering.interventions import Add
from steering.vectors import SteeringVector
from workbench.errors import ArtifactError, DataError, ModelError
from workbench.families.introspection.concept_injection import prompts, trials
from workbench.families.introspection.concept_injection.trials import RowWindows, Trial, run_trials
from workbench.models.interventions import Scope, Where, Window
from workbench.seeding import derive_seed
from workbench.sites import Site


def vector_of(model, layer: int, seed: int = 0, norm: float = 5.0) -> SteeringVector:
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(seed))
    return SteeringVector(Site(layer), norm * vector / vector.norm(), model.fingerprint, model.basis)


@pytest.fixture(scope="module")
def grid(chat_model) -> list[Trial]:
    """Layers x multipliers x questions with different windows, and rows without injection between them."""
    answers = tuple(tuple(chat_model.encode_continuation(text)) for text in ("Yes", "No", "Yes no"))
    asked = [prompts.detection(), prompts.naming(), prompts.kv_cache(), prompts.thought(2)]
    found = []
    for i, conversation in enumerate(asked):
        placed = prompts.place(chat_model, conversation)
        plain = Trial(placed.tokens, placed.start, placed.stop, seed=derive_seed(7, i), draws=2, answers=answers)
        found.append(plain)
        for layer in (0, 2):
            for multiplier in (1.0, -3.0):
                found.append(replace(plain, vector=vector_of(chat_model, layer, i), multiplier=multiplier))
    return found


def alone(model, trial: Trial) -> tuple[list[str], list[float]]:
    """One trial by ``generate`` and ``score``."""
    stop = len(trial.tokens) if trial.stop is None else trial.stop
    scope = Scope(Window(trial.start, stop), Window() if trial.stop is None else None)
    steer = [Add(trial.vector, trial.multiplier, scope=scope)] if trial.injected else []
    tokens = [list(trial.tokens)]
    (texts,) = model.generate(tokens, trial.draws, max_new_tokens=6, seeds=[trial.seed], interventions=steer)
    (scores,) = model.score(tokens, [[list(answer) for answer in trial.answers]], steer)
    return [completion.text for completion in texts], [score.logprob for score in scores]


def test_a_batch_of_many_cells_gives_what_each_trial_gives_alone(chat_model, grid) -> None:
    outcomes = run_trials(chat_model, grid, max_new_tokens=6)
    assert len(outcomes) == len(grid)
    for trial, outcome in zip(grid, outcomes, strict=True):
        texts, logprobs = alone(chat_model, trial)
        assert outcome.texts == texts
        assert outcome.logprobs == pytest.approx(logprobs, abs=1e-4)
    shifts = [abs(o.logprobs[0] - outcomes[0].logprobs[0]) for o in outcomes[1:5]]
    assert min(shifts) > 1e-3  # every injection did something


def test_multiplier_zero_equals_no_injection_bit_for_bit(chat_model, grid) -> None:
    plain = grid[0]
    zero = replace(plain, vector=vector_of(chat_model, 1), multiplier=0.0)
    first, second = run_trials(chat_model, [plain, zero], max_new_tokens=6)
    assert first.texts == second.texts and first.logprobs == second.logprobs


@pytest.mark.parametrize("conversation", [prompts.kv_cache(), prompts.thought(0), prompts.prefill("snow", 0)])
def test_an_injection_changes_its_own_site_within_its_window_and_nowhere_else(chat_model, conversation) -> None:
    placed = prompts.place(chat_model, conversation)
    trial = Trial(placed.tokens, placed.start, placed.stop, vector_of(chat_model, 1), 2.0)
    tokens = [list(trial.tokens)]
    plain = chat_model.forward(tokens, [1]).activations[Site(1)][0]
    changed = chat_model.forward(tokens, [1], trials.injections(chat_model, [trial])).activations[Site(1)][0]
    difference = changed - plain
    inside = torch.zeros(len(placed.tokens), dtype=torch.bool)
    inside[placed.start : placed.stop] = True
    assert inside.any() and not inside.all()
    assert torch.equal(difference[~inside], torch.zeros_like(difference[~inside]))
    expected = (2 * trial.vector.vector).expand_as(difference[inside])
    torch.testing.assert_close(difference[inside], expected, atol=1e-4, rtol=1e-4)


def test_row_windows_are_each_rows_own_and_never_padding() -> None:
    scope = RowWindows(starts=torch.tensor([0, 2]), stops=torch.tensor([1, 9]))
    where = Where(torch.tensor([[0, 1, -1], [1, 2, 3]]), torch.tensor([[0, 0, 0], [1, 1, 1]]), torch.full((2, 3), 3))
    assert scope.mask(where).tolist() == [[True, False, False], [False, True, True]]
    assert scope.first_position(5) == 0


def test_chunks_and_memory_running_out_leave_results_and_their_order_as_they_are(chat_model, grid, monkeypatch) -> None:
    whole = run_trials(chat_model, grid, max_new_tokens=4)
    genuine, sizes = chat_model.backend.forward, []

    def short_of_memory(tokens, **options):
        if len(tokens) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        sizes.append(len(tokens))
        return genuine(tokens, **options)

    monkeypatch.setattr(chat_model.backend, "forward", short_of_memory)
    halved = run_trials(chat_model, grid, max_new_tokens=4)
    assert max(sizes) > 1
    for a, b in zip(whole, halved, strict=True):
        assert a.texts == b.texts and a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_what_comes_before_the_injection_is_computed_once(chat_model, monkeypatch) -> None:
    placed = prompts.place(chat_model, prompts.detection())
    rows = [Trial(placed.tokens, placed.start, None, vector_of(chat_model, 0, k), 1.0, seed=k) for k in range(8)]
    genuine, tokens = chat_model.backend.forward, []
    monkeypatch.setattr(
        chat_model.backend, "forward", lambda t, **options: tokens.append(t.numel()) or genuine(t, **options)
    )
    run_trials(chat_model, rows, max_new_tokens=1)
    assert sum(tokens) == placed.start + 8 * (len(placed.tokens) - placed.start)


def test_what_cannot_be_injected_is_refused_in_one_line(chat_model, grid) -> None:
    stranger = replace(vector_of(chat_model, 0), fingerprint="another")
    with pytest.raises(ArtifactError, match="belongs to another model"):
        run_trials(chat_model, [replace(grid[0], vector=stranger, multiplier=1.0)])
    with pytest.raises(DataError, match="injects nowhere: positions 5 to 5"):
        run_trials(chat_model, [replace(grid[1], start=5, stop=5)])
    with pytest.raises(ModelError, match="exceed the 512 positions"):
        run_trials(chat_model, grid, max_new_tokens=500)
    assert run_trials(chat_model, []) == []
