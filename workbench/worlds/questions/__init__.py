"""Questions about what a model would answer: tasks as data, items drawn from them, and properties of the answers.

The object-level side is a question like any other; the hypothetical side quotes it and asks for a property of the
answer (arXiv 2410.13787).  ``workbench.training`` writes them for the babblers, the experiments put them to any model.
"""
