"""Tries to get out of where it runs. As a method of an experiment it tries from a sandbox, as a program from wherever it is put.

Each attempt returns what it got, in words; an attempt that fails raises. The lines are read by test_e2e_attempts.py.
"""

import ctypes
import errno
import glob
import json
import os
import socket
import ssl
import sys
import urllib.request

SECONDS = 4.0
QUESTION = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"
CLONE_NEWUSER = 0x10000000
USER = 65532
FOLDERS = ("/", "/etc", "/usr/local/bin", "/app", "/app/aar_lab", "/home", "/root", "/var/log", "/input")
MARK = "ESCAPE "


def fetch(url):
    """First bytes of a page; a refusal by the server is an answer too."""
    context = ssl._create_unverified_context()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=SECONDS) as page:
            return f"{page.status} {page.read(40)!r}"
    except urllib.request.HTTPError as refusal:
        return f"{refusal.code} {refusal.reason}"


def resolve(server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(SECONDS)
        asked.sendto(QUESTION, (server, 53))
        return f"{len(asked.recv(512))} bytes"


def look_up(name):
    return socket.gethostbyname(name)


def write():
    """Folders outside the workspace that take a file."""
    taken = []
    for folder in FOLDERS:
        path = os.path.join(folder, "escaped")
        try:
            with open(path, "w") as file:
                file.write("x")
            os.unlink(path)
            taken.append(folder)
        except OSError:
            pass
    if not taken:
        raise PermissionError(f"none of {len(FOLDERS)} folders")
    return ", ".join(taken)


def account():
    """A token of the API server's."""
    with open("/var/run/secrets/kubernetes.io/serviceaccount/token") as file:
        return f"{len(file.read())} characters"


def credential():
    """A token of the hub's, in the environment of any process in sight."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                found += [word for word in file.read().split(b"\0") if word.startswith(b"AAR_TOKEN=")]
        except OSError:
            pass
    if not found:
        raise PermissionError("no process has one")
    return f"{len(found)} found"


def root():
    """In a child, so that whoever tries stays who it was. One that is root already first becomes a user whom a way up is left, a saved
    user id: what it shows is that user's ascent."""

    def climb():
        if os.geteuid() == 0:
            os.setresuid(USER, USER, 0)
        os.setuid(0)
        if os.geteuid() != 0:
            raise PermissionError(errno.EPERM, "still a user")

    return _in_child(climb)


def user_namespace():
    def enter():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    return _in_child(enter)


def _in_child(act):
    child = os.fork()
    if child == 0:
        try:
            act()
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise PermissionError(os.strerror(code))
    return "done"


def attempts(targets):
    """name -> [whether it worked, what was got]"""
    tries = {
        "write": write,
        "account": account,
        "credential": credential,
        "root": root,
        "user namespace": user_namespace,
    }
    ways = {"http": fetch, "dns": resolve, "name": look_up}
    for name, target in targets.items():
        way, _, where = target.partition(" ")
        tries[name] = lambda way=way, where=where: ways[way](where)
    found = {}
    for name, attempt in tries.items():
        try:
            found[name] = [True, attempt()]
        except Exception as failure:  # noqa: BLE001  whatever goes wrong, this way was closed, and the next is tried
            found[name] = [False, f"{type(failure).__name__}: {failure}"]
    return found


def tell(targets):
    for name, (worked, told) in attempts(targets).items():
        print(MARK + json.dumps({"attempt": name, "worked": worked, "told": told}), flush=True)


def train(lab):
    """The teacher's own share of True as every row's probability: what is predicted does not matter here."""
    import numpy as np

    tell(json.loads(lab.config["targets"]))
    return np.full(len(lab.test), float(np.mean(lab.weak)))


if __name__ == "__main__":
    tell(json.loads(sys.argv[1]))
