"""A judge: a model given by the user that grades replies, by the logits of yes and no.

The judge is asked three plain questions of each reply.  Where there is one, its grades are what a run reports; those of
the rules stand beside them (``rule_success``...), as a check of a judge that is only as good as its model.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from workbench.errors import ModelError
from workbench.families.introspection.concept_injection.prompts import need_chat, replies
from workbench.families.introspection.concept_injection.protocols import NO, YES, yes_minus_no
from workbench.families.introspection.concept_injection.scale import scale_of
from workbench.families.introspection.concept_injection.trials import Trial, run_trials
from workbench.models.language_model import LanguageModel
from workbench.models.loading import check_reads, tokenizer_of

JUDGED = {("detection", "standard"), ("detection", "neutral"), ("naming", "standard"), ("thought", "thought")}
KEYS = ["protocol", "arm", "vector", "layer", "concept", "trial"]  # and the scale
FRAME = (
    'A language model was asked whether it notices an injected thought, and what it is about. It replied:\n"{text}"\n'
    "{question} Answer yes or no."
)
QUESTIONS = {
    "judge_coherent": "Is the reply coherent and readable?",
    "judge_affirms": "Does the reply claim that it noticed an injected thought, before or as it first names a word?",
    "judge_names": "Does the reply say that the thought is about {word}, or something very close to it?",
}


def check_chat(name: str, why: str) -> None:
    """Raise :class:`ModelError` for a model that is not there or is no chat model, without loading its weights."""
    check_reads(name, "text")
    if not getattr(tokenizer_of(name), "chat_template", None):
        raise ModelError(f"{name} has no chat template: {why}, so it needs a chat model")


def judge_rows(judge: LanguageModel, rows: pd.DataFrame, progress: bool = False) -> pd.DataFrame:
    """Grades of the replies in ``rows`` (those of :func:`protocol_rows`) that have a question for the judge.

    Columns: the keys of a row, ``judge_coherent``, ``judge_affirms``, ``judge_names`` (0 or 1, by the larger of the
    probabilities of yes and no).  Raises :class:`ModelError` when the judge is no chat model.
    """
    need_chat(judge)
    judged = [pair in JUDGED for pair in zip(rows["protocol"], rows["arm"], strict=True)]
    keys = [*KEYS, scale_of(rows)]
    part = rows.loc[judged, [*keys, "text"]].reset_index(drop=True)
    found = part[keys].copy()
    for name, question in QUESTIONS.items():
        asked = [
            FRAME.format(text=text.strip(), question=question.format(word=word))
            for text, word in zip(part["text"], part["concept"], strict=True)
        ]
        found[name] = _says_yes(judge, asked, progress)
    return found


def _says_yes(judge: LanguageModel, asked: Sequence[str], progress: bool) -> list[float]:
    prompts = [judge.encode([{"role": "user", "content": text}]) for text in asked]
    trials = [Trial(prompt, draws=0, answers=replies(judge, (*YES, *NO), prompt)) for prompt in prompts]
    outcomes = run_trials(judge, trials, max_new_tokens=1, progress=progress)
    return [float(yes_minus_no(outcome.logprobs) > 0) for outcome in outcomes]
