"""What the other parts know of a campaign file: whether its tasks can be built, and its methods and researchers are there."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from aar_api.campaign import TaskRef

from aar_cli import parts
from aar_cli.documents import Documents
from aar_cli.errors import BadFile, CliError


def check(path: Path, given: Documents) -> None:
    """Ask the parts; nothing is begun that they would refuse later.

    Raises:
        BadFile: a name or a parameter is wrong.
        CliError: a package has to be installed.
    """
    spec = given.campaign.spec
    _known(path, "spec.researchers.kind", spec.researchers.kind, parts.names("aar_agent.main", "--list"))
    asked = [one for one in given.experiments if one.spec.method.builtin is not None]
    shipped = [card["name"] for card in parts.ask("aar_lab.catalogue")] if asked else []
    for one in asked:
        where = f"spec.method.builtin of Experiment {one.metadata.name!r}"
        _known(path, where, one.spec.method.builtin or "", shipped)
    for task in (spec.task, *spec.evaluation.transfer_tasks):
        _task(path, task)


def _known(path: Path, field: str, name: str, known: list[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."
        raise BadFile(f"{path}: {field} is {name!r}, but there is none of that name: {hint}")


def _task(path: Path, task: TaskRef) -> None:
    try:
        parts.ask("aar_hub.tasks", "check", task.name, json.dumps(task.params))
    except CliError as error:
        raise type(error)(f"{path}: {error}") from None
