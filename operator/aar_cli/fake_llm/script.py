r"""What a double plays: a YAML file of turns.

system: {researcher: 'You are researcher (\w+)'}    values read from the system prompt by pattern, one group each
tables: {share: {r0: 0.3, '*': 0.6}}                 '${share.researcher}' looks the value up; '*' is any other
turns:
  - say: I run it briefly first.
    think: A crash is cheapest now.
    calls:
      - tool: submit_experiment
        input: {name: 'mine-${researcher}', ...}
        keep: {first: '"experiment_id": "([^"]+)"'}  a value read from this call's result, for later turns
    again_while: '"state": "(submitted|waiting|admitted)"'
    needs: [first]                                   skipped if no such value was found
    fault: {kind: status, status: 529, times: 2}     shown that often before the turn is played
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from aar_cli.errors import BadFile

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"]
Category = Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"]
REFERENCE = re.compile(r"\$\{(\w+)(?:\.(\w+))?\}")


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(f"{pattern!r} has {groups} groups, but a value is read by exactly one: put it in parentheses.")
    return pattern


Pattern = Annotated[str, AfterValidator(_one_group)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fault(_Part):
    """Trouble that precedes a turn."""

    kind: Literal["status", "error", "cut", "short", "refusal", "empty"]
    """status: an HTTP error; error: an error event within the stream; cut: the connection ends within the stream; short: the
    stream ends in good order, but before the answer does."""
    times: int = Field(default=1, ge=1)
    status: int = Field(default=529, ge=400, le=599)
    after: int = Field(default=3, ge=1, description="Events of the stream before `error`, `cut` or `short`.")
    category: Category = "general_harms"
    retry_after_ms: int | None = Field(default=None, ge=0)


class Call(_Part):
    """One use of a tool."""

    tool: str
    input: dict[str, Any] = Field(default_factory=dict)
    keep: dict[str, Pattern] = Field(default_factory=dict)


class Turn(_Part):
    """One answer."""

    think: str = ""
    say: str = ""
    calls: tuple[Call, ...] = ()
    stop: StopReason | None = None
    needs: tuple[str, ...] = ()
    again_while: str | None = Field(default=None, description="Play it again while its results match.")
    most: int = Field(default=1000, ge=1, description="Times it is played at most.")
    fault: Fault | None = None
    input_tokens: int | None = Field(default=None, ge=0, description="Size to report for the request, if not its own.")


class Script(_Part):
    """A whole researcher."""

    about: str = ""
    system: dict[str, Pattern] = Field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = Field(default_factory=dict)
    turns: tuple[Turn, ...] = Field(min_length=1)
    repeat_from: int | None = Field(default=None, ge=0, description="Turn to go on with after the last one.")
    summary: str = "What was done is in the notebook."
    failing_compactions: int = Field(default=0, ge=0, description="Compactions that give no summary before one does.")


def names() -> list[str]:
    """Scripts that are shipped."""
    folder = resources.files(__package__).joinpath("scripts")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load(name: str) -> Script:
    """A shipped script by its name, or any other by its file.

    Raises:
        BadFile: there is no such script, or it breaks a rule.
    """
    if name in names():
        text = resources.files(__package__).joinpath("scripts", f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise BadFile(f"{name!r} is neither a file nor a script that is shipped: use one of {', '.join(names())}.")
    return parse(text, name)


def parse(text: str, name: str) -> Script:
    """Read a script.

    Raises:
        BadFile: it breaks a rule.
    """
    try:
        script = Script.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise BadFile(f"{name} is no YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise BadFile(f"{name}: {place}: {first['msg']}.") from None
    if script.repeat_from is not None and script.repeat_from >= len(script.turns):
        raise BadFile(
            f"{name}: repeat_from is {script.repeat_from}, but there are {len(script.turns)} turns: lower it."
        )
    return script


def fill(value: Any, values: Mapping[str, str], tables: Mapping[str, Mapping[str, Any]]) -> Any:
    """Put values in place of `${name}` and `${table.name}`; a string that is one reference keeps the table's type.

    Raises:
        KeyError: with the name of a value that is not there.
    """
    if isinstance(value, dict):
        return {name: fill(one, values, tables) for name, one in value.items()}
    if isinstance(value, list):
        return [fill(one, values, tables) for one in value]
    if not isinstance(value, str):
        return value
    if whole := REFERENCE.fullmatch(value):
        return _look_up(whole, values, tables)
    return REFERENCE.sub(lambda found: str(_look_up(found, values, tables)), value)


def _look_up(found: re.Match[str], values: Mapping[str, str], tables: Mapping[str, Mapping[str, Any]]) -> Any:
    if found[2] is None:
        return values[found[1]]
    table = tables[found[1]]
    key = values[found[2]]
    return table[key] if key in table else table["*"]
