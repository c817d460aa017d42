"""Language models behind one protocol, the interventions that act inside them, and the models shipped with the project.

Weights are Hugging Face weights, whichever back end runs them.  Importing this package is light: a name imports what
stands behind it when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.models.cache import PromptCache
    from workbench.models.check import check_backend
    from workbench.models.decoding import Completion, Score
    from workbench.models.hooked_model import Forward, HookedModel
    from workbench.models.interventions import Intervention, Scope, Where, Window
    from workbench.models.language_model import LanguageModel, Prompt
    from workbench.models.loading import load_model, with_backend
    from workbench.models.names import fetched_models, model_names, shipped_models
    from workbench.models.report import Report
    from workbench.models.sequence import SequenceConfig, SequenceModelForActions
    from workbench.models.sequence_model import SequenceModel
    from workbench.models.sharing import DecodingPath, decoding_path

__getattr__, __dir__, __all__ = lazy_exports(__name__)
