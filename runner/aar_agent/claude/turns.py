"""One turn's tool calls, run by the SDK's runner in order, each kept on disk before the next begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from anthropic.lib.tools import BetaBuiltinFunctionTool, ToolError
from anthropic.types.beta import BetaToolUnionParam

from aar_agent.claude.conversation import Conversation
from aar_agent.claude.errors import ToolFailed
from aar_agent.claude.tools import Bench, Tool, memory, science, team, work

TOOLS: tuple[Tool, ...] = (*work.TOOLS, *science.TOOLS, *team.TOOLS, *memory.TOOLS)
BY_NAME = {tool.name: tool for tool in TOOLS}
RESTARTED = (
    "The harness was started anew while this ran, which may be for want of memory: whether it had an effect is not known, and the "
    "shell's directory and variables are gone. Look before you repeat it."
)

CUT_OFF = "The answer was cut off before this call was whole; it was not run."


class Turn:
    """The calls of one answer. An error that is not the model's ends the turn: what is open then is taken up by the next start."""

    def __init__(self, bench: Bench, conversation: Conversation) -> None:
        self._bench, self._conversation = bench, conversation
        self._calls: deque[tuple[str, str]] = deque()
        self.broken: BaseException | None = None
        self.boundary = False

    def begin(self) -> None:
        """Take the calls of the answer that was just kept."""
        self._calls = deque((name, block["name"]) for name, block in self._conversation.open.items())
        self.boundary = False

    def call(self, tool: Tool, given: object) -> str:
        """Run the next call of this tool.

        Raises:
            ToolError: with what the model is told.
        """
        name = self._take(tool.name)
        if self.broken is not None:
            return ""
        text, error = self._run(tool, name, given)
        if self.broken is not None:
            return ""
        self._conversation.result(name, tool.name, text, error=error)
        if error:
            raise ToolError(text)
        self.boundary = self.boundary or tool.boundary
        return text

    def repair(self) -> None:
        """Answer the calls that a kill left open: repeated if that does no harm, else said to be unknown."""
        for name, block in list(self._conversation.open.items()):
            tool = BY_NAME.get(block["name"])
            text, error = RESTARTED, True
            if tool is not None and tool.repeatable:
                text, error = self._run(tool, name, block["input"])
            if self.broken is not None:
                raise self.broken
            self._conversation.result(name, block["name"], text, error=error)

    def drop(self) -> None:
        """Answer the calls of an answer that was cut off: their input may be half of what was meant."""
        for name, block in list(self._conversation.open.items()):
            self._conversation.result(name, block["name"], CUT_OFF, error=True)

    def settle(self, results: Sequence[Any]) -> None:
        """Keep what the runner itself answered, such as to a call of a tool that is not there.

        Raises:
            BaseException: what broke the turn.
        """
        if self.broken is not None:
            raise self.broken
        for block in results:
            if (call := block["tool_use_id"]) in self._conversation.open:
                tool = self._conversation.open[call]["name"]
                self._conversation.result(call, tool, str(block["content"]), error=bool(block.get("is_error")))

    def _take(self, tool: str) -> str:
        while self._calls:
            name, called = self._calls.popleft()
            if called == tool:
                return name
        raise ToolError(f"{tool} was not called.")

    def _run(self, tool: Tool, name: str, given: object) -> tuple[str, bool]:
        try:
            return tool.run(self._bench, name, given) or "[nothing]", False
        except ToolFailed as failed:
            return str(failed), True
        # The runner would tell the model of any error; one of the harness has to end the turn instead.
        except BaseException as broken:  # noqa: BLE001
            self.broken = broken
            return "", True


class Runnable(BetaBuiltinFunctionTool):
    """A tool as the SDK's runner wants it."""

    def __init__(self, tool: Tool, turn: Turn) -> None:
        self._tool, self._turn = tool, turn

    def to_dict(self) -> BetaToolUnionParam:
        """Its definition."""
        return self._tool.definition()  # type: ignore[return-value]

    def call(self, input: object) -> str:
        """Run it."""
        return self._turn.call(self._tool, input)
