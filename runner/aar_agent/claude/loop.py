"""The loop itself: the SDK's streaming tool runner over the whole history, until something other than a tool call happens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import anthropic
from anthropic.types.beta import BetaMessage

from aar_agent.claude import brief as words
from aar_agent.claude.conversation import Conversation
from aar_agent.claude.copy import Copy
from aar_agent.claude.faults import Garbled
from aar_agent.claude.news import News
from aar_agent.claude.tools import Bench
from aar_agent.claude.turns import TOOLS, Runnable, Turn
from aar_agent.errors import Stopped

HEAVY = 6
"""A history of 100,000 characters, of the 600,000 that are allowed, makes a call hold two to three times what a new one does."""
MAX_TOKENS = 16_000
"""Of one answer. The hub reserves money for all of them before each call."""
BETAS = ["context-management-2025-06-27", "compact-2026-09-04"]
CACHE = {"type": "ephemeral", "ttl": "1h"}
"""Waits for experiments are longer than five minutes: one expired prefix costs more than an hour's premium on many writes."""
THINKING = {"type": "adaptive", "display": "summarized"}
"""Without a summary the transcript would lose what the model says between its calls."""
SPARED = [tool.name for tool in TOOLS if tool.name not in ("bash", "read_file", "write_file", "edit_file")]
"""Tools whose old results stay: they are what research is about, and short."""

Outcome = Literal["talked", "silent", "cut short", "refused", "too long", "no summary", "over"]


@dataclass(frozen=True)
class Sizes:
    """When a history is made smaller; in tokens of the prompt where nothing else is said."""

    compact: int = 150_000
    clear: int = 100_000
    clear_at_least: int = 40_000
    keep: int = 12
    weight: int = 600_000
    """Characters of a history, beyond which it is made smaller as well: `compact` tokens of four characters each. The provider counts no
    tokens of results that it cleared, but each call sends them and holds money for them, each record keeps them, and the call for a
    summary reads them all."""
    overdue: float = 1.25
    """Above this multiple of `compact` or `weight` one does not wait for a good moment."""


SMALL = Sizes(compact=80_000, clear=60_000, clear_at_least=20_000, weight=320_000)
"""For models whose prompts cost a multiple above 100,000 tokens."""
NARROW = Sizes(compact=120_000, clear=80_000, weight=400_000)
"""For models that take 200,000 tokens: with these the whole history fits into them, at three characters a token."""
IS_NARROW = re.compile(r"claude-(3-|\w+-4-([015]\b|\d{8}))")
"""Names of those models; later ones take a million."""


def sizes(model: str) -> Sizes:
    """What fits a model."""
    return SMALL if "haiku" in model else NARROW if IS_NARROW.match(model) else Sizes()


@dataclass
class Loop:
    """One researcher's conversation with its model."""

    client: anthropic.Anthropic
    model: str
    system: str
    bench: Bench
    conversation: Conversation
    news: News
    copy: Copy
    max_turns: int | None = None
    failed_summaries: int = 0
    turn: Turn = field(init=False)

    def __post_init__(self) -> None:
        self.turn = Turn(self.bench, self.conversation)
        self.take(self.model)
        self._runnables = [Runnable(tool, self.turn) for tool in TOOLS]

    def take(self, model: str) -> None:
        """Go on with this model."""
        self.model, self._sizes = model, sizes(model)

    @property
    def heavy(self) -> bool:
        """Whether a new conversation would hold much less money a call than this one."""
        return self.conversation.weight > self._sizes.weight / HEAVY

    def converse(self) -> Iterator[Outcome | None]:
        """Go on from the history; none after each turn with tools, at the end what happened instead.

        Raises:
            Stopped: the sandbox is asked to end.
            AgentError: the hub is away or said no for good.
            faults.ERRORS: the call failed.
        """
        runner = self.client.beta.messages.tool_runner(**self._request())
        try:
            for stream in runner:
                message = self._listen(stream)
                if message.stop_reason == "compaction":
                    yield self._compacted(message)
                    continue
                outcome = self._heard(message)
                if outcome is not None:
                    yield outcome
                    return
                if message.stop_reason == "tool_use":
                    self._act(runner)
                    if self._due(message):
                        runner.compact_before_next_turn({"type": "summarize", "instructions": words.COMPACTION})
                yield None
        finally:
            runner.close()

    def close_turn(self) -> None:
        """Tell the news at the end of results that have none yet."""
        if self.conversation.results_open and not self.conversation.open:
            self.news.look()
            self.conversation.news(self.news.status(self.conversation.turns))

    def _listen(self, stream: Any) -> BetaMessage:
        try:
            for _ in stream:
                if self.bench.stop.is_set():
                    raise Stopped("Asked to stop while the model spoke; it will be asked again.")
            message: BetaMessage = stream.get_final_message()
        except (ValueError, AssertionError, RuntimeError) as error:
            raise Garbled(f"the SDK cannot read the stream: {error}") from error
        if message.stop_reason is None:
            raise Garbled("the stream ended before the answer did")
        return message

    def _heard(self, message: BetaMessage) -> Outcome | None:
        """Keep an answer that is one; what it was instead."""
        if message.stop_reason == "refusal":
            about = message.stop_details.category if message.stop_details else None
            self.conversation.fault(f"refusal: {about}")
            return "refused"
        if message.stop_reason == "model_context_window_exceeded":
            return "too long"
        content = _content(message)
        if not content:
            self.conversation.fault(f"empty answer: {message.stop_reason}")
            return "silent"
        self.conversation.answer(content, message.stop_reason, message.usage.to_dict(mode="json"), message.id)
        if message.stop_reason == "max_tokens":
            self.turn.begin()
            return "cut short"
        return None if message.stop_reason in ("tool_use", "pause_turn") else "talked"

    def _act(self, runner: Any) -> None:
        self.turn.begin()
        response = runner.generate_tool_call_response()
        if response is None:
            return
        self.turn.settle(response["content"])
        self.close_turn()
        # The runner sends this very object with the next request: it becomes what the transcript has.
        response["content"] = self.conversation.messages[-1]["content"]
        self.copy.push()
        if self.bench.stop.is_set():
            raise Stopped("Asked to stop; the turn is kept, and the next start goes on from it.")

    def _due(self, message: BetaMessage) -> bool:
        full = max(prompt_tokens(message) / self._sizes.compact, self.conversation.weight / self._sizes.weight)
        return full >= (1 if self.turn.boundary else self._sizes.overdue)

    def _compacted(self, message: BetaMessage) -> Outcome | None:
        content = _content(message)
        if any(block["type"] == "compaction" and block.get("content") for block in content):
            self.failed_summaries = 0
            self.conversation.summary(content)
            self.copy.push()
            return None
        self.failed_summaries += 1
        self.conversation.fault(f"no summary, for the {self.failed_summaries}. time")
        return "no summary" if self.failed_summaries > 1 else None

    def _request(self) -> dict[str, Any]:
        clear = {
            "type": "clear_tool_uses_20250919",
            "trigger": {"type": "input_tokens", "value": self._sizes.clear},
            "keep": {"type": "tool_uses", "value": self._sizes.keep},
            "clear_at_least": {"type": "input_tokens", "value": self._sizes.clear_at_least},
            "exclude_tools": SPARED,
        }
        return {
            "model": self.model,
            "max_tokens": MAX_TOKENS,
            "system": self.system,
            "messages": self.conversation.messages,
            "tools": self._runnables,
            "thinking": THINKING,
            "cache_control": CACHE,
            "context_management": {"edits": [clear]},
            "betas": BETAS,
            "stream": True,
            # Every request then holds the whole history: it can be audited and replayed, and no thread of the provider's expires
            # while an experiment runs.
            "thread": False,
        }


def prompt_tokens(message: BetaMessage) -> int:
    """Tokens of the prompt that an answer was given to."""
    usage = message.usage
    return usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)


def _content(message: BetaMessage) -> list[dict[str, Any]]:
    return [block.to_dict(mode="json") for block in message.content]
