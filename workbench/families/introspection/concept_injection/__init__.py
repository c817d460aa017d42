"""Concept injection (Lindsey 2025, arXiv 2601.01828): does a model notice a concept put into its residual stream?

``spec`` says what is run, ``words`` holds the concepts, ``vectors`` estimates their vectors, ``prompts`` is what is
said to the model, ``trials`` runs prompts with injections as one batch, ``protocols`` are the kinds of trial,
``scorers`` and ``judge`` grade replies, ``steps`` are those of a run, with what they share, ``summary`` makes the
tables, ``claims`` says what held; ``report``, ``figures`` and ``views`` show it.
"""
