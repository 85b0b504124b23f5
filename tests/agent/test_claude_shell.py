"""The shell that a model types into: it forks, floods, hangs, dies, and is there again."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from aar_agent import settings
from aar_agent.claude import shell as shell_module
from aar_agent.claude.shell import Output, Shell
from agent.claudeworld import until


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def shell(tmp_path, stop):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "work").mkdir()
    one = Shell(tmp_path / "work", tmp_path / "scratch", settings.shell_environment(tmp_path), stop)
    yield one
    one.close()


def alive(word):
    """Processes whose command line has a word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if word.encode() in (entry / "cmdline").read_bytes() and (entry / "stat").read_text().split()[2] != "Z":
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def gone(word, seconds=20):
    """Whether none is left; one that was killed may need a moment of the processor to be dead."""
    end = time.monotonic() + seconds
    while alive(word) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(word)


def test_a_command_that_wants_too_much_memory_fails_alone(shell, tmp_path, monkeypatch):
    """In a pod the kernel would end the harness with it."""
    limit = tmp_path / "memory.max"
    limit.write_text(f"{512 << 20}\n")
    monkeypatch.setattr(shell_module, "LIMIT", limit)
    ran = shell.run("x=1; python3 -c 'bytearray(300 << 20)'; echo ended $? $x", 20)
    assert "MemoryError" in ran.text
    assert ran.text.endswith("ended 1 1\n")
    assert shell.run("python3 -c 'bytearray(100 << 20)' && echo fits", 20).text == "fits\n"


@pytest.mark.parametrize("said", ["max\n", None])
def test_without_a_limit_of_memory_there_is_none(shell, tmp_path, monkeypatch, said):
    limit = tmp_path / "memory.max"
    if said is not None:
        limit.write_text(said)
    monkeypatch.setattr(shell_module, "LIMIT", limit)
    assert shell.run("ulimit -d", 20).text == "unlimited\n"


PLAIN = {
    "output": ("echo hello", "hello\n", 0),
    "both streams": ("echo out; echo err >&2", "out\nerr\n", 0),
    "exit code": ("false", "", 1),
    "no newline at the end": ("printf x", "x", 0),
    "syntax error": ("if true; then", "unexpected end of file", 2),
    "unclosed quote": ("echo 'a", "unexpected EOF", 2),
    "here-document": ("cat <<E\na\nb\nE", "a\nb\n", 0),
    "reads its input": ("cat; echo end", "end\n", 0),
    "bytes that are no text": (r"printf '\xff\xfe'", "\ufffd\ufffd", 0),
    "the mark of the end, imitated": (r"printf '\036abc 0\036'", "\x1eabc 0\x1e", 0),
    "several lines": ("a=1\nb=2\necho $((a+b))", "3\n", 0),
    "unicode": ("echo 'Grüße €'", "Grüße €\n", 0),
}


@pytest.mark.parametrize(("command", "text", "code"), PLAIN.values(), ids=PLAIN)
def test_command(shell, command, text, code):
    ran = shell.run(command, 20)
    assert ran.code == code
    assert text in ran.text
    assert ran.note == ""
    assert shell.run("echo again", 20).text == "again\n"


def test_keeps_directory_and_variables(shell):
    shell.run("mkdir d; cd d; x=5; f() { echo f$x; }", 20)
    assert shell.run("pwd; f", 20).text.endswith("/work/d\nf5\n")


ENDS = {
    "exit": ("exit 3", "ended the session"),
    "kill": ("kill -9 $$", "ended the session"),
    "hangs": ("sleep 300", "timed out after 3 s"),
    "hangs and ignores signals": ("trap '' TERM INT HUP; while true; do sleep 1; done", "timed out"),
    "takes the output away": ("exec >/dev/null 2>&1", "ended the session"),
}


@pytest.mark.parametrize(("command", "note"), ENDS.values(), ids=ENDS)
def test_session_ends_and_begins_anew(shell, command, note):
    shell.run("x=5", 20)
    ran = shell.run(f"echo before; {command}", 3 if "timed out" in note else 20)
    assert ran.code is None
    assert note in ran.note
    assert ran.text == "before\n"
    assert shell.run("echo [$x]", 20).text == "[]\n"


LONG = f"sleep 4321.{os.getpid()}"
"""Nobody else's: other processes of the tests look for theirs at the same time."""
FOUND = LONG.replace(" ", "\000")
FORKS = {
    "children": f"{LONG} & {LONG} & wait",
    "own session": f"setsid {LONG} & sleep 100",
    "twice removed": f"(setsid bash -c '{LONG} & {LONG}' &) ; sleep 100",
    "nohup": f"nohup {LONG} >/dev/null 2>&1 & sleep 100",
}


@pytest.mark.parametrize("command", FORKS.values(), ids=FORKS)
def test_nothing_outlives_a_time_out(shell, command):
    ran = shell.run(command, 1.0)
    assert "timed out" in ran.note
    assert gone(FOUND)


def test_what_runs_in_the_background_goes_on_until_the_end(shell):
    assert shell.run(f"{LONG} & echo started", 20).text == "started\n"
    assert shell.run("jobs -r | wc -l", 20).text.strip() == "1"
    shell.close()
    assert gone(FOUND)


def test_long_output_is_shown_by_its_ends_and_kept_in_a_file(shell, tmp_path):
    ran = shell.run("seq 1 20000", 30)
    assert ran.text.startswith("1\n2\n")
    assert ran.text.endswith("19999\n20000\n")
    assert 16_000 <= len(ran.text) < 16_200
    named = ran.text.partition("are in ")[2].split()[0]
    assert (tmp_path / "work" / named).read_text().endswith("20000\n")


def test_a_flood_is_ended_and_held_in_little_memory(shell, monkeypatch, tmp_path):
    monkeypatch.setattr(shell_module, "FLOOD_BYTES", 5_000_000)
    ran = shell.run("yes", 60)
    assert "wrote more than" in ran.note
    assert len(ran.text) < 16_200
    assert sum(path.stat().st_size for path in (tmp_path / "work" / ".outputs").iterdir()) <= shell_module.FILE_BYTES


def test_files_of_outputs_do_not_grow_in_number(shell, tmp_path):
    for _ in range(shell_module.FILES + 5):
        shell.run("echo x", 20)
    assert len(list((tmp_path / "work" / ".outputs").iterdir())) == shell_module.FILES


def test_is_interrupted_when_the_sandbox_ends(shell, stop, monkeypatch, tmp_path):
    monkeypatch.setattr(shell_module, "STOP_GRACE_SECONDS", 0.3)
    begun = tmp_path / "work" / "begun"
    threading.Thread(target=lambda: (until(begun.exists, 60), stop.set())).start()
    began = time.monotonic()
    ran = shell.run(f"echo begun; touch begun; {LONG}", 600)
    assert "interrupted" in ran.note
    assert ran.text == "begun\n"
    assert time.monotonic() - began < 120
    assert gone(FOUND)


def test_a_short_command_is_let_end_when_the_sandbox_ends(shell, stop):
    stop.set()
    assert shell.run("sleep 0.3; echo done", 60).text == "done\n"


def test_knows_neither_token_nor_hub(shell, monkeypatch):
    monkeypatch.setenv("AAR_TOKEN", "secret-of-the-researcher")
    assert "secret-of-the-researcher" not in shell.run("env", 20).text
    assert "AAR_TOKEN" not in settings.shell_environment(Path("/"))


def test_a_killed_bash_is_noticed(shell):
    shell.run("true", 20)
    bash = int(shell.run("echo $$", 20).text)
    os.kill(bash, signal.SIGKILL)
    os.waitid(os.P_PID, bash, os.WEXITED | os.WNOWAIT)  # dead, and still to be noticed
    assert shell.run("echo here", 20).text == "here\n"


def test_head_and_tail_of_any_size():
    for size in (0, 1, 7_999, 8_000, 8_001, 15_999, 16_000, 16_001, 40_000, 100_000):
        for step in (1_000, 4_096, 100_000):
            data = bytes(ord("a") + i % 26 for i in range(size))
            out = Output()
            for start in range(0, size, step):
                out.add(data[start : start + step])
            shown = out.text("f").encode()
            assert shown[:8_000] == data[:8_000]
            assert shown.endswith(data[-8_000:] if size else b"")
            assert (shown == data) is (size <= 16_000)
