"""The control ``bag_of_words``: the same probe on the words of each text alone, in no order and without a model.

What it reaches can be read off the wording; only what a probe of activations has beyond it is the model's doing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from workbench.runs import RunFolder, load_run

BAG_OF_WORDS = "bag_of_words"


def word_counts(texts: Sequence[str]) -> Float[np.ndarray, "texts words"]:
    """How often each word stands in each text; capital letters are small ones, signs are none.

    >>> word_counts(["The sea, the sky.", "the Sea"]).tolist()
    [[1.0, 1.0, 2.0], [1.0, 0.0, 1.0]]
    """
    from sklearn.feature_extraction.text import CountVectorizer

    found: np.ndarray = CountVectorizer(token_pattern=r"(?u)\b\w+\b").fit_transform(texts).toarray()
    return found.astype(np.float32)


def save_words(folder: RunFolder, texts: Sequence[str]) -> None:
    """Keep the counts of a sweep's texts in its run folder."""
    folder.save_tensors(BAG_OF_WORDS, {"counts": torch.from_numpy(word_counts(texts))}, {})


def load_words(run: Path, inputs: np.ndarray) -> Float[np.ndarray, "rows words"]:
    """The counts of the text that each row was read from; ``inputs``: numbers of the texts, [rows]."""
    counts: np.ndarray = load_run(run).load_tensors(BAG_OF_WORDS)[0]["counts"].numpy()
    return counts[inputs]
