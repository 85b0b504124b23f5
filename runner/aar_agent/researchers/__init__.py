"""Researchers: each file is one kind, found by its name.

Law: a researcher defines SUMMARY and `run(desk, brief) -> str`, which works until there is nothing more to do and says why it ended.
It keeps what it must remember in `desk.work_dir`, and waits with `desk.pause`, so that a stop is heard.
"""
