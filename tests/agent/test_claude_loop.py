"""The claude researcher from its first word to its last, against a hub and a provider's double that speak real HTTP."""

from agent.claudeworld import world


def test_goes_the_whole_way(tmp_path):
    with world(tmp_path, "competent") as here:
        assert here.run().startswith("Nothing of my direction")
