"""The agent: runs one researcher in one sandbox.

Law: everything here is untrusted. It reaches the hub over HTTP with its own token and nothing else; it keeps its memory in its
workspace, so that a kill at any moment loses no experiment and submits none twice; scores, seeds and money are the hub's word.
Layers: main > researchers > explore, claude > notebook, desk > hub, bandit, arms > settings, errors.
"""
