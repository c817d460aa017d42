"""The experiment families, one module or folder each: the only place where probes and steering meet.

An experiment returns data (a tidy table, artifacts and the spec that made them) and draws nothing.
"""
