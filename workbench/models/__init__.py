"""Language models behind one protocol, the interventions that act inside them, and the models shipped with the project.

Weights are Hugging Face weights, whichever back end runs them.
"""
