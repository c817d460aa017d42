"""Introspection: can a model say what it would do (self-prediction) or what was put into it (concept injection)?

Shared by both: the tasks and their items (data and generators), the response properties, readers of public data.
"""
