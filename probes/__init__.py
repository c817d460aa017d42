"""Probes: scikit-learn estimators that read properties off activations."""
