"""Activations of a model as data: which positions to read, capturing and replaying them, the labelled set, its store.

Rows keep the order of the input, and every set carries the fingerprint of the model that it was read from.
"""
