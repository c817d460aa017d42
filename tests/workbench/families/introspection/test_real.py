"""Both protocols on a real chat model: its answers are read, and gibberish is told from what it would write."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.families.introspection.concept_injection import prompts
from workbench.families.introspection.concept_injection.coherence import QUANTILE, reply_logprobs
from workbench.families.introspection.concept_injection.trials import Outcome, Trial, run_trials
from workbench.families.introspection.self_prediction.compliance import ENOUGH
from workbench.families.introspection.self_prediction.protocol import Question, behaviour, foreseen
from workbench.worlds.questions.items import items_of
from workbench.worlds.questions.tasks import CHAT, load_tasks

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_a_chat_model_complies_with_the_tasks_behind_their_examples_and_not_without(smollm2) -> None:
    tasks = load_tasks(["animals", "gifts", "numbers"], CHAT).values()
    rates = {}
    for shots in (0, 2):
        asked = [Question(item, task, "test", shots) for task in tasks for item in items_of(task, 2)]
        rates[shots] = behaviour(smollm2, asked)["value"].notna().mean()
    assert rates[2] >= ENOUGH and rates[2] > rates[0] + 0.2
    assert foreseen(smollm2, asked[-1:], 8)["value"].notna().mean() >= ENOUGH


def test_gibberish_is_not_coherent_and_the_models_own_words_are(smollm2) -> None:
    prompt = tuple(smollm2.encode(prompts.detection().chat))
    own = Trial(prompt, seed=0, draws=8)
    (found,) = reply_logprobs(smollm2, [own], run_trials(smollm2, [own], max_new_tokens=8, temperature=1.0))
    floor = np.quantile(found, QUANTILE)
    told = {"Aundhaya.": False, "of the of lamp seven under blue was": False, "Yes.": True, "No, I do not.": True}
    replies = [tuple(smollm2.encode_continuation(text, after=list(prompt))) for text in told]
    outcome = Outcome(list(told), [], replies)
    (likely,) = reply_logprobs(smollm2, [Trial(prompt, draws=len(told))], [outcome])
    assert [logprob >= floor for logprob in likely] == list(told.values())
