"""Before a run: does the model answer in the form that its answers are read in?

An object-level answer that does not comply drops its item, and a prediction that does not comply is wrong, so a model
that explains where one word is asked for makes a long run of nothing.  A few questions show it.
"""

from __future__ import annotations

import pandas as pd

from workbench.errors import ModelError, warn
from workbench.families.introspection.self_prediction.protocol import Questions, behaviour, foreseen
from workbench.models.language_model import LanguageModel

ENOUGH = 0.5
_ASKED = 2  # questions a task; properties are asked about the first of them
_ADVICE = (
    "give its task worked examples (examples in the task's file, shots in the spec), word the prompts anew, or leave"
    " the task out with tasks"
)


def compliance(model: LanguageModel, questions: Questions, max_new_tokens: int) -> pd.DataFrame:
    """How many of a few answers and predictions comply: rows ``task, level, complies, n``."""
    found = []
    for task in questions.tasks:
        asked = [question for question in questions.role("test", _ASKED) if question.task.name == task]
        tables = {
            "answers": behaviour(model, asked).groupby("id")["value"].first(),
            "predictions": foreseen(model, asked[:1], max_new_tokens)["value"],
        }
        found += [
            {"task": task, "level": level, "complies": int(values.notna().sum()), "n": len(values)}
            for level, values in tables.items()
        ]
    return pd.DataFrame(found)


def check_compliance(model: LanguageModel, questions: Questions, max_new_tokens: int) -> None:
    """Raise :class:`ModelError` where no answer of the model complies, and warn where too few do, with advice."""
    rows = compliance(model, questions, max_new_tokens)
    for level, part in rows.groupby("level", sort=False):
        complies, n = int(part["complies"].sum()), int(part["n"].sum())
        poor = part[part["complies"] < ENOUGH * part["n"]]
        listed = ", ".join(f"{row.task} {row.complies} of {row.n}" for row in poor.itertuples())
        if level == "answers" and not complies:
            raise ModelError(
                f"{model.name}: none of {n} trial answers complies, so nothing can be predicted: {_ADVICE}"
            )
        if complies < ENOUGH * n:
            warn(f"{model.name}: only {complies} of {n} trial {level} comply ({listed}): {_ADVICE}")
