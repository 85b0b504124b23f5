"""One cheap conversation with the provider itself; only where there is a key."""

import os

import pytest
from agent.claudeworld import world
from agent.smallhub import SmallHub

KEY = os.environ.get("ANTHROPIC_API_KEY", "")
MODEL = "claude-haiku-5-5"


@pytest.mark.skipif(not KEY, reason="ANTHROPIC_API_KEY is not set: the live API is not asked")
def test_the_provider_takes_our_requests(tmp_path):
    with world(tmp_path, "lazy", SmallHub(model=MODEL, max_turns=2)) as here:
        here.hub.provider, here.hub.provider_key = "https://api.anthropic.com", KEY
        assert here.run()
        assert [one["kind"] for one in here.records if one["kind"] in ("answer", "fault")] == ["answer", "answer"]
