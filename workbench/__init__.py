"""An interpretability and activation-steering workbench: read a model's activations, probe them, steer them.

Importing this package is light: torch and everything else that is heavy waits until a module that needs it is imported.

>>> __version__.count(".")
2
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
