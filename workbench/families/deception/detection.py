"""The probe of instructed lies: logistic regression on the mean activation over what the assistant said.

Trained on statements that were told under both instructions, tested on lies that nobody ordered.  Beside it stand the
words alone (what was said, in no order) and an untrained model of the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from probes import make_probe
from workbench.activations import ActivationSet, Role, capture
from workbench.families.deception.choice import is_chat
from workbench.families.deception.facts import Said
from workbench.models.language_model import LanguageModel

PROBE, WORDS, UNTRAINED = "probe", "bag of words", "untrained model"
OWN_WORDS = "bag of words, of the set itself"  # what the wording gives away, by a probe of other rows of the same set
INSTRUCTED = "instructed"  # the set that the probe is trained on


def read_said(
    model: LanguageModel, said: Sequence[Said], layers: Sequence[int], progress: bool = False
) -> ActivationSet:
    """The mean activation over what the assistant said of each, in order; label ``deceptive``, groups those of each."""
    chats = is_chat(model)
    inputs = [each.messages if chats else _as_text(each) for each in said]
    labels = pd.DataFrame({"deceptive": [each.deceptive for each in said]})
    groups = [each.group for each in said]
    where: Any = Role("assistant", -1, take="mean") if chats else "mean"
    return capture(model, inputs, list(layers), where, labels=labels, groups=groups, progress=progress)


def score_sets(
    features: Mapping[str, Float[np.ndarray, "rows features"]], sets: Mapping[str, Sequence[Said]], seed: int
) -> pd.DataFrame:
    """A row for each thing said: ``set, row, group, deceptive`` and ``score`` of a probe fitted to the instructed ones.

    Of the instructed set itself the scores are out of fold.  ``features``: of every set, by name.
    """
    fitted = _probe().fit(features[INSTRUCTED], [each.deceptive for each in sets[INSTRUCTED]])
    frames = [out_of_fold(features[INSTRUCTED], sets[INSTRUCTED], seed).assign(set=INSTRUCTED)]
    for name, said in sets.items():
        if name != INSTRUCTED:
            scores = fitted.decision_function(features[name])
            frames.append(_table(said, scores, np.zeros(len(said), dtype=np.int64)).assign(set=name))
    return pd.concat(frames, ignore_index=True)


def out_of_fold(features: Float[np.ndarray, "rows features"], said: Sequence[Said], seed: int) -> pd.DataFrame:
    """The same of one set, each row by a probe of rows of other groups."""
    from probes.folds import group_folds

    y, groups = np.array([each.deceptive for each in said]), np.array([each.group for each in said])
    fold_of = group_folds(groups, min(5, len(set(groups.tolist()))), seed, y)
    scores = np.zeros(len(said))
    for fold in np.unique(fold_of):
        fitted = _probe().fit(features[fold_of != fold], y[fold_of != fold])
        scores[fold_of == fold] = fitted.decision_function(features[fold_of == fold])
    return _table(said, scores, fold_of)


def _table(said: Sequence[Said], scores: np.ndarray, fold_of: np.ndarray) -> pd.DataFrame:
    columns = {"row": range(len(said)), "group": [each.group for each in said], "fold": fold_of}
    return pd.DataFrame({**columns, "deceptive": [each.deceptive for each in said], "score": scores})


def word_features(sets: Mapping[str, Sequence[Said]]) -> dict[str, Float[np.ndarray, "rows words"]]:
    """How often each word of all sets stands in what was said.

    >>> one = Said([{"role": "assistant", "content": "No, no."}], True, "a")
    >>> word_features({"instructed": [one]})["instructed"].tolist()
    [[2.0]]
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(token_pattern=r"(?u)\b\w+\b")
    counter.fit([each.words for said in sets.values() for each in said])
    return {
        name: counter.transform([each.words for each in said]).toarray().astype(np.float32)
        for name, said in sets.items()
    }


def _probe() -> Any:
    return make_probe("logistic", C=0.1)


def _as_text(said: Said) -> str:
    return " ".join(str(message["content"]) for message in said.messages)
