"""Agents that act in environments with a model: prompt, completion, parsed action, and batched rollouts of episodes.

An agent knows nothing of steering: an experiment rolls it out with interventions on.
"""
