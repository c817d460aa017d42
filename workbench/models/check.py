"""``check_backend``: does a model, behind its back end, do what plain Hugging Face does with the same weights?

Like Gymnasium's ``check_env``, for anything that ``load_model`` returns.  The reference is a second tree of modules
over the same weights, run one prompt at a time without padding and without a cache, and steered by a plain hook
(:mod:`workbench.models.reference`).  Inputs are random tokens (or observations), so any vocabulary will do.

What is checked of every model is in :mod:`workbench.models.hooked_checks`, of those that read text beside that in
:mod:`workbench.models.text_checks`, of those that act in :mod:`workbench.models.sequence_checks`.
"""

from __future__ import annotations

from typing import Any

from workbench.models.hooked_checks import HookedChecks
from workbench.models.hooked_model import HookedModel
from workbench.models.language_model import LanguageModel
from workbench.models.report import Report, failed, run_all
from workbench.models.sequence_checks import SequenceChecks
from workbench.models.text_checks import TextChecks


def check_backend(model: HookedModel, reference: Any = None) -> Report:
    """Compare ``model`` with plain Hugging Face and with itself.

    Args:
        model: anything that ``load_model`` returns.
        reference: the Hugging Face model (or the workbench's) to compare with; by default the model's own weights in
            modules that no back end has touched.

    Returns:
        A report; ``report.ok`` says whether all differences are within 1e-5 in float32 (more in half precision), at
        every position relative to what is expected there.  Nothing is raised: a check that cannot run has failed.

    >>> from workbench.models.tiny import tiny_model
    >>> report = check_backend(tiny_model("llama"))
    >>> report.ok, report.rows[0].check
    (True, 'activations equal the reference')
    """
    title = f"{model.name} on {model.backend_name} ({str(model.dtype).removeprefix('torch.')}, {model.device})"
    reference = getattr(getattr(reference, "backend", None), "hf_model", reference)
    kind: type[HookedChecks] = TextChecks if isinstance(model, LanguageModel) else SequenceChecks
    try:
        checks = kind(model, reference)
    except Exception as error:  # whatever it is, there is nothing to compare with
        return Report(title, (failed("the reference runs", error),))
    return Report(title, run_all(checks.checks()))
