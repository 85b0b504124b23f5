"""The conversation as the model has to be shown it, rebuilt from the transcript and kept in step with it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aar_agent.claude.transcript import Record, Transcript

Block = dict[str, Any]
Message = dict[str, Any]
SENT = ("message", "answer", "result", "news")
"""Kinds of records that the provider is sent."""


@dataclass
class Conversation:
    """The history since the last summary, and what a restart has to know beside it."""

    transcript: Transcript
    messages: list[Message] = field(default_factory=list)
    open: dict[str, Block] = field(default_factory=dict)
    """Calls of the last answer that have no result yet, by id, in order."""
    weight: int = 0
    """Characters of the history as it is sent, about: results that the provider clears are sent all the same."""
    turns: int = 0
    finishes: int = 0
    """Times the researcher asked to be done."""
    accepted: str = ""
    """Why the researcher is done, once that was accepted."""
    ended: str = ""

    @classmethod
    def load(cls, transcript: Transcript) -> Conversation:
        """Follow every record."""
        made = cls(transcript)
        for record in transcript.records():
            made._follow(record)
        return made

    def begin(self, model: str, reason: str, text: str) -> None:
        """A new history, with the harness's first words."""
        self._keep("session", model=model, reason=reason)
        self._keep("message", text=text)

    def say(self, text: str) -> None:
        """The harness speaks."""
        self._keep("message", text=text)

    def answer(self, content: list[Block], stop: str | None, usage: dict[str, Any], name: str) -> None:
        """The model spoke."""
        self._keep("answer", content=content, stop=stop, usage=usage, id=name)

    def result(self, call: str, tool: str, text: str, *, error: bool) -> None:
        """A tool answered."""
        self._keep("result", call=call, tool=tool, text=text, error=error)

    def news(self, text: str) -> None:
        """What closes a turn."""
        self._keep("news", text=text)

    def summary(self, content: list[Block]) -> None:
        """From here on one block stands for all before."""
        self._keep("summary", content=content)

    def fault(self, text: str) -> None:
        """Something went wrong; no part of the history."""
        self._keep("fault", text=text)

    def end(self, reason: str) -> str:
        """The researcher is done; the reason."""
        if not self.ended:
            self._keep("end", reason=reason)
        return self.ended

    @property
    def begun(self) -> bool:
        """Whether there is a history to go on from; one without its first words is none."""
        return bool(self.messages)

    @property
    def results_open(self) -> bool:
        """Whether the last turn's results are still to be closed by news."""
        return bool(self.messages) and self.messages[-1]["role"] == "user" and _is_results(self.messages[-1])

    @property
    def answered(self) -> bool:
        """Whether the model had the last word, so that the harness has to say something first."""
        last = self.messages[-1]
        return bool(last["role"] == "assistant" and last["content"][0]["type"] != "compaction")

    def _keep(self, kind: str, **rest: Any) -> None:
        self._follow(self.transcript.append(kind, **rest))

    def _follow(self, record: Record) -> None:
        kind = record["kind"]
        if kind in SENT:
            self.weight += len(json.dumps(record, ensure_ascii=False))
        if kind == "session":
            self.messages, self.open, self.weight = [], {}, 0
        elif kind == "message":
            self.messages.append({"role": "user", "content": [text_block(record["text"])]})
        elif kind == "answer":
            self.turns += 1
            self.messages.append({"role": "assistant", "content": record["content"]})
            self.open = {one["id"]: one for one in record["content"] if one["type"] == "tool_use"}
        elif kind == "result":
            self._place(record)
        elif kind == "news":
            self.messages[-1]["content"].append(text_block(record["text"]))
        elif kind == "summary":
            self.messages, self.open, self.weight = [{"role": "assistant", "content": record["content"]}], {}, 0
        elif kind == "end":
            self.ended = record["reason"]

    def _place(self, record: Record) -> None:
        call = self.open.pop(record["call"], {"input": {}})
        if record["tool"] == "finish":
            self.finishes += 1
            self.accepted = "" if record["error"] else str(call["input"].get("reason", "")) or "done"
        if not self.results_open:
            self.messages.append({"role": "user", "content": []})
        self.messages[-1]["content"].append(result_block(record["call"], record["text"], error=record["error"]))


def text_block(text: str) -> Block:
    """Text."""
    return {"type": "text", "text": text}


def result_block(call: str, text: str, *, error: bool) -> Block:
    """A tool's answer as the protocol has it."""
    block: Block = {"type": "tool_result", "tool_use_id": call, "content": text}
    return {**block, "is_error": True} if error else block


def _is_results(message: Message) -> bool:
    return bool(message["content"]) and message["content"][-1]["type"] == "tool_result"
