"""Turn the parameters of a manifest into Params, or into a sentence that says what to change."""

from __future__ import annotations

from collections.abc import Mapping

from aar_api.base import Scalar
from aar_api.errors import InvalidInput
from aar_api.files import Head, Optimiser
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from aar_hub.tasks._task import MINILM, Params, Spec

OPTIMISERS: Mapping[Head, Optimiser] = {
    "classifier": Optimiser(epochs=2, learning_rate=1e-4, weight_decay=0.01, batch_size=32),
    # The published recipe: facts of the reference system, LoRA rank 32.
    "causal-lm": Optimiser(epochs=5, learning_rate=1e-4, weight_decay=0.0, batch_size=32),
}
"""Defaults of the heads that train the model itself; the probe's belong to each task."""

FIELDS: Mapping[str, str] = {field.alias or name: name for name, field in Params.model_fields.items()}
"""Name in a manifest -> field of Params."""


def settle(task: str, spec: Spec, given: Mapping[str, Scalar]) -> Params:
    """The task's defaults, changed as given.

    Raises:
        InvalidInput: a parameter is unknown, of the wrong type or out of range.
    """
    unknown = sorted(set(given) - set(FIELDS))
    if unknown:
        raise InvalidInput(
            f"Task {task!r} has no parameter {', '.join(map(repr, unknown))}. Known: {', '.join(sorted(FIELDS))}."
        )
    chosen = {FIELDS[name]: value for name, value in given.items()}
    try:
        return Params.model_validate(_defaults(spec, chosen) | chosen, strict=True)
    except ValidationError as error:
        raise InvalidInput(" ".join(_sentence(task, detail) for detail in error.errors())) from None


def _defaults(spec: Spec, chosen: Mapping[str, Scalar]) -> dict[str, Scalar]:
    head = chosen.get("head", "probe")
    if head == "causal-lm" and not {"weak_model", "strong_model"} <= set(chosen):
        raise InvalidInput(
            f"head is 'causal-lm', but the default model {MINILM} is an encoder: name causal language models in "
            "weakModel and strongModel (a local folder or a hub id)."
        )
    optimiser = OPTIMISERS.get(head, spec.probe) if isinstance(head, str) else spec.probe  # type: ignore[call-overload]
    defaults = dict(spec.defaults) | optimiser.model_dump()
    if "weak_model" in chosen:
        # How many layers to keep is known only of the default models.
        defaults.pop("weak_layers", None)
    if "strong_model" in chosen:
        defaults.pop("strong_layers", None)
    return defaults


def _sentence(task: str, detail: ErrorDetails) -> str:
    name = str(detail["loc"][0])
    name = Params.model_fields[name].alias or name if name in Params.model_fields else name
    rule = detail["msg"].removeprefix("Input should be ")
    return f"Parameter {name} of task {task!r} is {detail['input']!r}, but it must be {rule}: change or remove it."
