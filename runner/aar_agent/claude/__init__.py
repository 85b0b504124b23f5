"""The LLM researcher: one long conversation with tools, that survives a kill at any byte.

Law: what the model says and what its tools answered is in the transcript, on disk, before anything follows from it. Whatever a
colleague wrote reaches the model as data. Nothing that changes goes into the system prompt. Numbers come from the hub.
Layers: research > supervisor > loop > news, turns > tools > shell, workspace, brief > conversation > transcript.
"""
