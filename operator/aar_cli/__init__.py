"""The command line: what a person types.

Law: it imports `aar_api` alone and reaches every other part as a process or over HTTP. It decides nothing about research; it checks,
starts, shows and draws. Every mistake of a person ends in one sentence with the value, the rule and the way out, and exit code 2.
"""
