"""The researcher's folder: its notebook, the hub's ledger, published methods to read, its own code under git.

NOTEBOOK.md     the researcher's memory
ledger.jsonl    every experiment of this researcher as the hub has it; written by the harness alone
reference/      source of the lab's methods
.outputs/       long outputs of commands
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from aar_api.files import METHOD_FILE
from aar_api.wire import Brief, ExperimentView, MethodCard

from aar_agent.claude.errors import ToolFailed

NOTEBOOK, LEDGER, REFERENCE, ORIGIN = "NOTEBOOK.md", "ledger.jsonl", "reference", ".snapshot"
Section = Literal["Direction", "Beliefs", "Results table", "Open questions", "Dead ends", "Next"]
SECTIONS: tuple[str, ...] = get_args(Section)
SNAPSHOT_FILES, SNAPSHOT_BYTES = 64, 1 << 20
"""What the hub takes."""
GIT_SECONDS = 30.0
# Whatever the researcher has configured must not run in the harness's name, nor git itself in the background, where nobody waits for its end.
GIT = (
    "git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgsign=false",
    "-c", "maintenance.auto=false", "-c", "gc.auto=0",
)  # fmt: skip
NAMED = ("-c", "user.name=researcher", "-c", "user.email=researcher@localhost")


class Workspace:
    """Paths in the folder, and what the harness keeps there."""

    def __init__(self, root: Path, environment: Mapping[str, str], log: logging.Logger) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._environment, self._log = dict(environment), log

    def prepare(self, brief: Brief, cards: Sequence[MethodCard]) -> None:
        """Make what is not there yet; the researcher's own files stay. What stands in the way stops no research: the model can clear it."""
        try:
            self._make(brief, cards)
        except OSError as error:
            self._log.warning("the workspace is not all it should be: %s", error)

    def _make(self, brief: Brief, cards: Sequence[MethodCard]) -> None:
        notebook = self.root / NOTEBOOK
        if not notebook.exists():
            head = f"# Notebook of {brief.researcher}\n\n## Direction\n\n{brief.direction or 'Of your own choice.'}\n"
            notebook.write_text(head + "".join(f"\n## {name}\n" for name in SECTIONS[1:]), encoding="utf-8")
        folder = self.root / REFERENCE
        folder.mkdir(exist_ok=True)
        for card in cards:
            file = folder / f"{card.name.replace('-', '_')}.py"
            source = card.source.encode()
            if not file.is_file() or file.read_bytes() != source:  # a full disk would leave it empty
                file.write_bytes(source)
        if not (self.root / ".git").exists():
            self._git("init", "--quiet")

    def path(self, name: str) -> Path:
        """A path of the researcher's, inside the folder after every link is followed.

        Raises:
            ToolFailed: it leads outside, or nowhere.
        """
        try:
            found = (self.root / name).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a byte of zeros, half a character
            raise ToolFailed(f"{name!r:.200} is no path ({error}): name another.") from None
        if found != self.root and self.root not in found.parents:
            raise ToolFailed(f"{name!r} leads out of the workspace: name a path inside {self.root}.")
        return found

    def writable(self, name: str) -> Path:
        """A path that may be written.

        Raises:
            ToolFailed: it leads outside, or is the hub's.
        """
        found = self.path(name)
        if found == self.root / LEDGER:
            raise ToolFailed(f"{LEDGER} is written by the hub alone: write your thoughts to {NOTEBOOK}.")
        return found

    def method(self, name: str) -> tuple[dict[str, str], list[str]]:
        """Files of a method, by path in its folder, and the snapshots that they come from.

        Raises:
            ToolFailed: there is no method, or it is too large.
        """
        place = self.path(name)
        if place.is_file():
            return {METHOD_FILE: _text(place, name)}, _origins(place.parent)
        if not (place / METHOD_FILE).is_file():
            raise ToolFailed(f"{name!r} is neither a file nor a folder with {METHOD_FILE}: write the method first.")
        files: dict[str, str] = {}
        for folder, folders, found in os.walk(place):
            folders[:] = sorted(one for one in folders if not one.startswith((".", "__")))
            for one in sorted(found):
                path = Path(folder, one)
                if one.startswith(".") or path.is_symlink() or not path.is_file():
                    continue
                files[path.relative_to(place).as_posix()] = _text(path, name)
                if len(files) > SNAPSHOT_FILES or sum(map(len, files.values())) > SNAPSHOT_BYTES:
                    raise ToolFailed(
                        f"{name!r} has more than {SNAPSHOT_FILES} files or {SNAPSHOT_BYTES} bytes: keep only code in it."
                    )
        return files, _origins(place)

    def unpack(self, digest: str, files: Mapping[str, str], target: str) -> Path:
        """Write a snapshot into a new folder, with a note of where it comes from.

        Raises:
            ToolFailed: the folder is outside or in use, or a file would land outside it.
        """
        place = self.writable(target)
        if place == self.root or (place.exists() and (not place.is_dir() or any(place.iterdir()))):
            raise ToolFailed(f"{target!r} is in use: name a new folder.")
        for name, text in files.items():
            path = (place / name).resolve()
            if place not in path.parents:
                raise ToolFailed(f"The snapshot has a file {name!r}, which would lie outside {target!r}: leave it.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (place / ORIGIN).write_text(digest + "\n", encoding="utf-8")
        return place

    @staticmethod
    def holds(place: Path, digest: str) -> bool:
        """Whether a folder was filled from a snapshot, to the end."""
        return _origins(place) == [digest]

    def ledger(self, views: Sequence[ExperimentView]) -> None:
        """Write the hub's account down, whole, as a file that is not to be changed."""
        lines = [json.dumps(view.dump(), ensure_ascii=False) for view in views]
        draft = self.root / f".{LEDGER}"
        try:
            draft.unlink(missing_ok=True)  # a kill may have left it, closed to writing
            draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            draft.chmod(0o444)
            draft.replace(self.root / LEDGER)
        except OSError as error:
            self._log.warning("%s is not brought up to date: %s", LEDGER, error)

    def commit(self, name: str, message: str) -> None:
        """Keep the state of a method and of the notebook; a history that fails stops no research."""
        self._git("add", "--force", "--", name, NOTEBOOK)
        self._git(*NAMED, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message)

    def _git(self, *arguments: str) -> None:
        try:
            done = subprocess.run(
                [*GIT, *arguments],
                cwd=self.root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=GIT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self._log.warning("git %s: %s", arguments[0], error)
            return
        if done.returncode:
            self._log.warning("git %s: %s", arguments[0], done.stderr.decode(errors="replace").strip()[-300:])


def _text(path: Path, name: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(SNAPSHOT_BYTES + 1)
    except UnicodeDecodeError:
        raise ToolFailed(f"{name!r} holds {path.name}, which is no text: keep only code in it.") from None


def _origins(folder: Path) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (folder / ORIGIN).read_text(encoding="utf-8").split()[:1]
    return []
