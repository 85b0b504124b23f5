"""`python -m aar_hub.tasks list | check NAME [JSON]`: what tasks there are, and whether parameters give one."""

from __future__ import annotations

import argparse
import json
import sys

from aar_api.errors import AarError

from aar_hub import tasks
from aar_hub.tasks._sources import DataMissing

EXIT_INVALID, EXIT_MISSING = 2, 3


def main(argv: list[str] | None = None) -> int:
    """Print one JSON document; one sentence on stderr and exit 2 if there is no such task, 3 if its data is not installed."""
    parser = argparse.ArgumentParser(prog="python -m aar_hub.tasks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every task with its parameters' defaults")
    check = commands.add_parser("check", help="build a task and count its rows")
    check.add_argument("name")
    check.add_argument("params", nargs="?", default="{}", help="parameters as a JSON object")
    given = parser.parse_args(argv)
    try:
        answer = _list() if given.command == "list" else _check(given.name, given.params)
    except DataMissing as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_MISSING
    except AarError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_INVALID
    except json.JSONDecodeError as error:
        sys.stderr.write(f"The parameters are {given.params!r}, but they must be a JSON object ({error}).\n")
        return EXIT_INVALID
    json.dump(answer, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


def _list() -> list[dict[str, object]]:
    return [_describe(tasks.resolve(name, {})) for name in tasks.names()]


def _check(name: str, text: str) -> dict[str, object]:
    params = json.loads(text)
    if not isinstance(params, dict):
        raise json.JSONDecodeError("not an object", text, 0)
    task = tasks.resolve(name, params)
    items = task.build()
    counts = {split: len(rows) for split, rows in zip(items._fields, items, strict=True)}
    return _describe(task) | {"rows": counts, "problems": len({item.group for split in items for item in split})}


def _describe(task: tasks.Task) -> dict[str, object]:
    return {
        "name": task.name,
        "summary": task.summary,
        "licence": task.licence,
        "package": task.package,
        "pairing": task.pairing,
        "params": task.params.model_dump(by_alias=True, mode="json"),
    }


if __name__ == "__main__":
    sys.exit(main())
