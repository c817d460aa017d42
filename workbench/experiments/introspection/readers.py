"""Readers of public data (:mod:`workbench.environments.questions.readers`, where task files name the data)."""

from workbench.environments.questions.readers import Asked, read_behaviour_set, read_paper_set

__all__ = ["Asked", "read_behaviour_set", "read_paper_set"]
