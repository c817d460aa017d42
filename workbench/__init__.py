"""An interpretability and activation-steering workbench: read a model's activations, probe them, steer them.

The names of a first script are here; :mod:`workbench.models`, :mod:`workbench.activations`, :mod:`probes`,
:mod:`steering` and :mod:`workbench.runs` have the rest.  Importing this package is light: torch and everything else
that is heavy waits until a name that needs it is used.

>>> __version__.count(".")
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from probes import evaluate, make_probe
    from steering import Add, SteeringVector, mean_difference
    from workbench.activations import capture, replay
    from workbench.models import Scope, check_backend, load_model
    from workbench.runs import list_runs, load_run
    from workbench.sites import Site

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_exports(__name__, "__version__")
