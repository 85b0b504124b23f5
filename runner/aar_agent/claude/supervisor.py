"""What happens when the loop ends: go on, wait, begin anew, or be done. The stop conditions of a researcher, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from aar_agent.claude import brief as words
from aar_agent.claude import faults
from aar_agent.claude.errors import ProviderRefused
from aar_agent.claude.faults import Fault
from aar_agent.claude.loop import Loop, Outcome
from aar_agent.errors import HubRefused

IDLE_TURNS = 5
"""Answers in a row without a tool call, each of them met with a nudge."""
REFUSALS = 3
SILENCES = 5
CUTS = 3
"""Answers cut at their maximal length without a whole one between them, the dearest that there are; then the conversation begins anew."""
FRESH_STARTS = 2
"""Histories in a row that are not taken."""
FIRST_WAIT_SECONDS = 1.0
DOUBLINGS = 16
LONGEST_WAIT_SECONDS = 60.0
"""Between two calls while the provider is away or the money is held: a minute of a researcher's day, whenever it comes back."""
LONGEST_WAIT_AFTER_BREAK_SECONDS = 600.0
"""An answer that broke off is paid for: if each of them does, a call a minute would spend the purse on nothing."""
LAST_TURNS = 10
"""Turns to write down and to share, once nothing more can be submitted and nothing runs."""


@dataclass
class Supervisor:
    """One researcher from start to end."""

    loop: Loop
    idle: int = 0
    refusals: int = 0
    silences: int = 0
    cuts: int = 0
    faults: int = 0
    fresh: int = 0
    last_turns: int = 0

    def run(self) -> str:
        """Work until a stop condition holds; the reason.

        Raises:
            Stopped: the sandbox is asked to end.
            AgentError: this start can do no more; another may.
        """
        talk = self.loop.conversation
        if talk.ended:
            return talk.ended
        try:
            if not talk.begun:
                self._begin("first start")
            while not (reason := self._over()):
                self._take_up()
                if reason := self._go_on():
                    break
        except HubRefused as refusal:
            if refusal.reason != "CampaignFinished":
                raise
            reason = str(refusal)
        talk.end(reason)
        return reason

    def _take_up(self) -> None:
        """Mend what a kill left half done, and keep the repair, before anything follows from it; nothing to do otherwise."""
        loop = self.loop
        loop.turn.repair()
        loop.close_turn()
        if loop.conversation.answered:
            loop.conversation.say(words.go_on(loop.news.status(loop.conversation.turns)))

    def _go_on(self) -> str:
        """Converse until something happens; the reason to be done, if there is one."""
        try:
            for outcome in self.loop.converse():
                if outcome is not None:
                    return self._after(outcome)
                self._progress()
                if reason := self._over():
                    return reason
        except faults.ERRORS as error:
            return self._fault(faults.judge(error))
        return ""

    def _progress(self) -> None:
        self.idle = self.refusals = self.silences = self.cuts = self.faults = self.fresh = 0
        self.last_turns = self.last_turns + 1 if self.loop.news.idle() else 0

    def _over(self) -> str:
        loop, brief = self.loop, self.loop.news.brief
        if loop.conversation.accepted:
            return loop.conversation.accepted
        if brief.stage != "researching":
            return f"The campaign is at stage {brief.stage}."
        if brief.purse.seconds_left is not None and brief.purse.seconds_left <= 0:
            return "The time of the campaign is over."
        if loop.max_turns is not None and loop.conversation.turns >= loop.max_turns:
            return f"All {loop.max_turns} turns are used."
        if self.last_turns > LAST_TURNS:
            return "Nothing more can be submitted, and nothing runs."
        return ""

    def _after(self, outcome: Outcome) -> str:
        """Answer an outcome; the reason to be done, if there is one."""
        self.faults = 0
        if outcome == "talked":
            self.idle += 1
            self.refusals = self.silences = 0
            if self.idle >= IDLE_TURNS:
                return f"{IDLE_TURNS} answers in a row without a tool call."
            self.loop.news.look(now=True)
            self.loop.conversation.say(words.go_on(self.loop.news.status(self.loop.conversation.turns)))
        elif outcome == "refused":
            self.refusals += 1
            if self.refusals >= REFUSALS:
                return f"{REFUSALS} answers in a row were withheld by the provider's safety filter."
            self.loop.conversation.say(words.REFUSED)
        elif outcome == "silent":
            self.silences += 1
            if self.silences >= SILENCES:
                return f"{SILENCES} answers in a row were empty."
            self.loop.conversation.say(words.SILENT)
        elif outcome == "cut short":
            self.loop.turn.drop()
            self.cuts += 1
            if self.cuts < CUTS:
                self.loop.conversation.say(words.CUT_SHORT)
            else:
                self.cuts = 0
                self._fresh(f"{CUTS} answers in a row were cut off at their maximal length")
        else:
            self._fresh(outcome)
        return ""

    def _fault(self, fault: Fault) -> str:
        """Deal with an error of the provider; the reason to be done, if there is one.

        Raises:
            ProviderRefused: it would be met again.
        """
        self.loop.conversation.fault(fault.message)
        if fault.kind == "spent":
            return self._spent(fault)
        if fault.kind == "refused":
            self.loop.news.look(now=True)  # the hub says so itself if it is the campaign that is over
            if (model := self.loop.news.brief.model) not in (None, self.loop.model):
                self.loop.take(model)
                return ""
            raise ProviderRefused(
                f"The provider refuses {self.loop.model}: {fault.message}. Check the model's name and the key."
            )
        if fault.kind == "history":
            self._fresh(fault.message)
            return ""
        self._wait(fault)
        return ""

    def _spent(self, fault: Fault) -> str:
        """Begin anew if the history is what makes a call too dear: each holds money for every byte of it."""
        if not self.loop.heavy:
            return f"The money for LLM calls is spent: {fault.message}"
        self._begin("with this history a call may cost more than what is left")
        return ""

    def _wait(self, fault: Fault) -> None:
        """Wait as long as it takes, and say so: whether there is still something to wait for is the campaign's to say, not a count's."""
        self.faults += 1
        longest = LONGEST_WAIT_AFTER_BREAK_SECONDS if fault.kind == "broken" else LONGEST_WAIT_SECONDS
        seconds = min(FIRST_WAIT_SECONDS * 2 ** min(self.faults - 1, DOUBLINGS), longest)
        self.loop.copy.push()
        self.loop.news.look(now=True)
        if self._over():
            return
        self.loop.bench.desk.log.warning(
            "call %d in a row without an answer (%s): the next is in %g s.", self.faults, fault.message, seconds
        )
        self.loop.bench.desk.pause(seconds)

    def _fresh(self, why: str) -> None:
        """Begin anew from the notebook and the ledger.

        Raises:
            ProviderRefused: even that is not taken.
        """
        self.fresh += 1
        if self.fresh > FRESH_STARTS:
            raise ProviderRefused(f"{self.fresh} conversations in a row were not taken (last: {why}).")
        self._begin(why)

    def _begin(self, why: str) -> None:
        self.loop.news.look(now=True)
        self.loop.failed_summaries = 0
        status = self.loop.news.status(self.loop.conversation.turns)
        self.loop.conversation.begin(self.loop.model, why[:300], words.opening(status))
