"""`aar`: run a campaign on this machine, check its file, draw its report, list methods and tasks, play a provider's double."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aar_api.errors import AarError
from aar_api.version import VERSION
from rich.console import Console
from rich.table import Column, Table

from aar_cli import checks, documents, page, parts, run
from aar_cli.errors import EXIT_COMPLETE, EXIT_ENVIRONMENT, CliError
from aar_cli.fake_llm import command, script, server
from aar_cli.fake_llm.server import FakeLLM


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; the exit code."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        return int(options.act(options, console))
    except CliError as error:
        return _fail(str(error), error.code)
    except (AarError, OSError) as error:
        return _fail(str(error), EXIT_ENVIRONMENT)


def _fail(text: str, code: int) -> int:
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aar", description=__doc__)
    parser.add_argument("--version", action="version", version=f"aar {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = _command(commands, "run", _run, "run a campaign, or go on with it, on this machine")
    start.add_argument("file", type=Path, help="file with a ResearchCampaign")
    start.add_argument("--dir", type=Path, help="directory that keeps everything; default runs/NAME")
    start.add_argument("--port", type=int, help="port of pages and metrics; default a free one")
    start.add_argument("--gpus", type=int, help="GPUs that experiments may use; default all")
    start.add_argument("--fake-llm", metavar="SCRIPT", help="play a script to LLM researchers in place of a provider")
    check = _command(commands, "validate", _validate, "check a campaign file")
    check.add_argument("file", type=Path, help="file with a ResearchCampaign")
    draw = _command(commands, "report", _report, "draw the report of a run again")
    draw.add_argument("dir", type=Path, help="directory of a run")
    double = _command(commands, "fake-llm", _fake_llm, "play a script to LLM researchers in place of a provider")
    command.add_arguments(double)
    _command(commands, "methods", _methods, "list the methods the lab ships")
    _command(commands, "tasks", _tasks, "list the tasks the hub ships")
    return parser


def _command(commands: Any, name: str, act: Any, text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    one.set_defaults(act=act)
    return one


def _run(options: argparse.Namespace, console: Console) -> int:
    with contextlib.ExitStack() as stack:
        url = None
        if options.fake_llm is not None:
            url = stack.enter_context(server.serving(FakeLLM(script.load(options.fake_llm))))
        return run.run(options.file, options.dir, options.port, options.gpus, console, provider=url)


def _validate(options: argparse.Namespace, console: Console) -> int:
    given = documents.read(options.file)
    checks.check(options.file, given)
    spec = given.campaign.spec
    console.print(
        f"{options.file} is valid: campaign {given.campaign.metadata.name}, task {spec.task.name}, {spec.researchers.count} x "
        f"{spec.researchers.kind}, at most {spec.experiments.max_count} experiments and {spec.budget.limit_usd} USD, "
        f"{len(given.experiments)} experiments of your own.",
        highlight=False,
        soft_wrap=True,
    )
    return EXIT_COMPLETE


def _report(options: argparse.Namespace, console: Console) -> int:
    page.read(options.dir)
    return run.finish(options.dir, console)


def _fake_llm(options: argparse.Namespace, console: Console) -> int:
    return command.serve(options, console)


def _methods(_: argparse.Namespace, console: Console) -> int:
    # A name is what a campaign file has to say, so that it is never cut.
    table = Table(Column("Method", no_wrap=True), "What it does", "Hyper-parameters (default)", "Paper")
    for card in parts.ask("aar_lab.catalogue"):
        space: Mapping[str, Any] = card.get("space", {})
        knobs = ", ".join(f"{name} ({knob['default']})" for name, knob in space.items())
        table.add_row(card["name"], card["summary"], knobs, card["citation"])
    console.print(table)
    return EXIT_COMPLETE


def _tasks(_: argparse.Namespace, console: Console) -> int:
    tasks = parts.ask("aar_hub.tasks", "list")
    for one in tasks:
        console.print(f"{one['name']:10} {one.get('summary', '')}", highlight=False, markup=False, soft_wrap=True)
    table = Table(
        Column("Parameter", no_wrap=True), *(one["name"] for one in tasks), title="spec.task.params, if not given"
    )
    for name in tasks[0]["params"]:
        defaults = ("" if one["params"][name] is None else str(one["params"][name]) for one in tasks)
        table.add_row(name, *defaults)
    console.print(table)
    return EXIT_COMPLETE


if __name__ == "__main__":
    sys.exit(main())
