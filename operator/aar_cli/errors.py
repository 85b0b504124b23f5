"""The command line's errors, each with its exit code."""

from __future__ import annotations

from aar_api.errors import AarError

EXIT_COMPLETE, EXIT_FAILED, EXIT_INPUT, EXIT_ENVIRONMENT, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


class CliError(AarError):
    """A command cannot be carried out."""

    code = EXIT_ENVIRONMENT


class BadFile(CliError):
    """A file breaks a rule."""

    code = EXIT_INPUT


class PartFailed(CliError):
    """Another part of aar did not do what it was asked."""
