"""`aar fake-llm`: a provider's double that speaks the Messages protocol and plays a script.

Law: an answer is a function of the request and the script. Where in the script a conversation stands is read from its history,
so a retry, a resume or another process gets the same turn. Faults alone are counted, or a retry would meet them for ever.
Layers: server > messages, counting > play > script; checks stand apart and know only the protocol.
"""
