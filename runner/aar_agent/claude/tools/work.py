"""Commands and files of the workspace."""

from __future__ import annotations

import stat
from pathlib import Path

from pydantic import Field

from aar_agent.claude.errors import ToolFailed
from aar_agent.claude.tools import Asked, Bench, Tool

LINES = 2_000
READ_CHARS = 60_000
WRITE_BYTES = 1 << 20


class Bash(Asked):
    """A command."""

    command: str = Field(description="What to run.")
    timeout_s: int = Field(default=120, ge=1, le=600, description="Seconds, 1 to 600; 120 if absent.")
    restart: bool = Field(default=False, description="Begin a new session first.")


class ReadFile(Asked):
    """A file to read."""

    path: str = Field(description="Relative to the workspace.")
    start_line: int = Field(default=1, ge=1, description="First line, from 1.")
    end_line: int = Field(default=0, ge=0, description=f"Last line; {LINES} lines in all if absent.")


class WriteFile(Asked):
    """A file to write."""

    path: str = Field(description="Relative to the workspace; folders are made.")
    content: str = Field(description="The whole file.")


class EditFile(Asked):
    """A change to a file."""

    path: str = Field(description="Relative to the workspace.")
    old_string: str = Field(min_length=1, description="Text to replace, exactly as it stands in the file.")
    new_string: str = Field(description="What takes its place.")
    replace_all: bool = Field(default=False, description="Replace every occurrence; else there must be just one.")


def bash(bench: Bench, _: str, asked: Bash) -> str:
    """Run a command."""
    if asked.restart:
        bench.shell.close()
    ran = bench.shell.run(asked.command, float(asked.timeout_s))
    status = "" if ran.code in (0, None) else f"[exit code {ran.code}]"
    return "\n".join(part for part in (ran.text.rstrip("\n"), status, ran.note) if part) or "[no output]"


def read_file(bench: Bench, _: str, asked: ReadFile) -> str:
    """Lines of a file."""
    path = bench.workspace.path(asked.path)
    if not path.exists():
        raise ToolFailed(f"There is no {asked.path!r}: list the folder with bash.")
    if not stat.S_ISREG(path.stat().st_mode):
        raise ToolFailed(f"{asked.path!r} is no plain file: list it with bash.")
    last = min(asked.end_line or asked.start_line + LINES - 1, asked.start_line + LINES - 1)
    shown, size, number = [], 0, 0
    with path.open(encoding="utf-8", errors="replace") as file:
        while line := file.readline(READ_CHARS):
            number += 1
            if number > last or size > READ_CHARS:
                shown.append(f"[... cut before line {number}; ask for it with start_line ...]")
                break
            if number >= asked.start_line:
                shown.append(line.rstrip("\n"))
                size += len(line)
    return "\n".join(shown) or f"[{asked.path} has {number} lines; none of those asked for]"


def write_file(bench: Bench, _: str, asked: WriteFile) -> str:
    """Write a whole file."""
    path = bench.workspace.writable(asked.path)
    _write(path, asked.content)
    return f"Written: {len(asked.content)} characters."


def edit_file(bench: Bench, _: str, asked: EditFile) -> str:
    """Replace text in a file."""
    path = bench.workspace.writable(asked.path)
    if not path.is_file():
        raise ToolFailed(f"There is no {asked.path!r}: write it first.")
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    count = text.count(asked.old_string)
    if count == 0 or (count > 1 and not asked.replace_all):
        raise ToolFailed(
            f"old_string occurs {count} times in {asked.path!r}, but must occur once: give more of its surroundings, or replace_all."
        )
    _write(path, text.replace(asked.old_string, asked.new_string))
    return f"Replaced {count} times."


def _write(path: Path, content: str) -> None:
    data = content.encode("utf-8", "surrogateescape")
    if len(data) > WRITE_BYTES:
        raise ToolFailed(f"The content has {len(data)} bytes, but a file may have {WRITE_BYTES}: write less.")
    if path.exists() and not path.is_file():
        raise ToolFailed(f"{path.name!r} is a folder: name a file in it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


TOOLS = (
    Tool(
        "bash",
        "Run a command in a bash session that keeps its directory and variables. No network, no GPU: "
        "experiments train elsewhere. Of a long output the beginning and the end are shown.",
        Bash,
        bash,
        repeatable=False,
    ),
    Tool("read_file", "Read lines of a text file in the workspace.", ReadFile, read_file),
    Tool("write_file", "Write a text file in the workspace, replacing what it held.", WriteFile, write_file),
    Tool("edit_file", "Replace text in a file of the workspace.", EditFile, edit_file, repeatable=False),
)
