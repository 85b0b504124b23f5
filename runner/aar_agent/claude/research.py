"""A researcher with everything in its place: workspace, shell, transcript, line to the provider, loop, supervisor."""

from __future__ import annotations

import anthropic
import httpx2
from aar_api.wire import Brief

from aar_agent import settings
from aar_agent.claude import brief as words
from aar_agent.claude.ballast import Ballast
from aar_agent.claude.conversation import Conversation
from aar_agent.claude.copy import Copy
from aar_agent.claude.errors import ProviderRefused
from aar_agent.claude.loop import Loop
from aar_agent.claude.news import News
from aar_agent.claude.shell import Shell, hide
from aar_agent.claude.supervisor import Supervisor
from aar_agent.claude.tools import Bench
from aar_agent.claude.transcript import Transcript
from aar_agent.claude.workspace import Workspace
from aar_agent.desk import Desk

READ_SECONDS = 900.0
"""The longest silence within an answer; pings come far more often."""
RETRIES = 4
"""Of one call, by the SDK, before the first byte; faults after it are the supervisor's."""
POLL_SECONDS = 2.0


def work(desk: Desk, brief: Brief) -> str:
    """Research until a stop condition holds; why it ended.

    Raises:
        ProviderRefused: the campaign names no model.
    """
    model = brief.model
    if model is None:
        raise ProviderRefused("The campaign names no model, but `claude` needs one: set spec.researchers.model.")
    while brief.stage == "preparing":
        desk.pause(POLL_SECONDS)
        brief = desk.hub.brief()
    hide()
    harness = desk.work_dir / "harness"
    harness.mkdir(parents=True, exist_ok=True)
    environment = settings.shell_environment(desk.work_dir / "workspace")
    workspace = Workspace(desk.work_dir / "workspace", environment, desk.log)
    workspace.prepare(brief, desk.hub.methods())
    shell = Shell(workspace.root, harness, environment, desk.stop)
    ballast = Ballast(harness / "ballast")
    transcript = Transcript(harness / "transcript.jsonl", ballast)
    conversation = Conversation.load(transcript)
    bench = Bench(desk, brief, workspace, shell, ballast, finishes=conversation.finishes)
    copy = Copy(desk.hub, transcript.path, desk.log)
    client = anthropic.Anthropic(
        api_key=desk.hub.token,
        base_url=desk.hub.url,
        max_retries=RETRIES,
        timeout=httpx2.Timeout(READ_SECONDS, connect=10.0),
        http_client=httpx2.Client(trust_env=False),
    )
    loop = Loop(client, model, words.system(brief), bench, conversation, News(bench, brief), copy, brief.max_turns)
    try:
        reason = Supervisor(loop).run()
        copy.push()
        return reason
    finally:
        shell.close()
        client.close()
        transcript.close()
