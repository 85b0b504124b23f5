"""`python -m aar_cli.fake_llm`: the double where the command line is not installed, as in the operator's image."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from aar_cli.errors import CliError
from aar_cli.fake_llm import command


def main() -> int:
    """Play a script until it is stopped; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aar_cli.fake_llm", description=command.__doc__)
    command.add_arguments(parser)
    try:
        return command.serve(parser.parse_args(), Console())
    except CliError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.code


if __name__ == "__main__":
    sys.exit(main())
