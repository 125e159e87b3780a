"""What the kernel has: processes, cgroups, mounts, links and packet filter rules, as seen from outside."""

import os
import pathlib
import shutil
import signal
import subprocess

SBIN = os.environ["PATH"] + ":/usr/local/sbin:/usr/sbin:/sbin"


def tool(name):
    """The path of a program that may be in a folder for root."""
    path = shutil.which(name, path=SBIN)
    assert path, f"{name} is not installed: run `make setup`"
    return path


def volatile():
    """Where Wharf keeps what a reboot may lose: in memory, if this machine has such a place."""
    systems = {words[1]: words[2] for words in (line.split() for line in open("/proc/self/mounts"))}
    parents = [path for path in ("/run", "/dev/shm") if systems.get(path) == "tmpfs"]
    return pathlib.Path(*(parents or ["/run"])[:1]) / "wharf"


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


class Process:
    """A process, told apart from a later one with the same number."""

    def __init__(self, pid):
        self.pid = pid
        self.began = began(pid)
        self.name = text(f"/proc/{pid}/comm").strip()
        self.command = text(f"/proc/{pid}/cmdline").replace("\0", " ").strip()

    def alive(self):
        return self.began is not None and began(self.pid) == self.began

    def kill(self, number=signal.SIGKILL):
        if self.alive():
            os.kill(self.pid, number)

    def __eq__(self, other):
        return (self.pid, self.began) == (other.pid, other.began)

    def __hash__(self):
        return hash((self.pid, self.began))

    def __repr__(self):
        return f"<{self.pid} {self.name}: {self.command[:120]}>"


def text(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


def began(pid):
    """The process's start in clock ticks; none if it is gone or a zombie."""
    stat = text(f"/proc/{pid}/stat")
    if not stat:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def parent(pid):
    fields = text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def descendants(pid):
    """Every process that a process started, and those started."""
    children = {}
    for other in pids():
        children.setdefault(parent(other), []).append(other)
    found, open_ = [], [pid]
    while open_:
        for child in children.get(open_.pop(), []):
            found.append(child)
            open_.append(child)
    return found


def in_cgroup(word):
    """The processes in any cgroup with `word` in its path."""
    return [pid for pid in pids() if word in text(f"/proc/{pid}/cgroup")]


def with_argument(word):
    """The processes with `word` in their command line, but for this one."""
    mine = os.getpid()
    return [p for p in pids() if p != mine and word in text(f"/proc/{p}/cmdline")]


def cgroups(word):
    """The cgroup folders with `word` in their path."""
    found = []
    for folder, below, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(folder, name) for name in below if word in name]
    return found


def mounts(word):
    return [line for line in text("/proc/self/mounts").splitlines() if word in line]


def links():
    return {line.split(": ")[1].split("@")[0] for line in output(tool("ip"), "-o", "link").splitlines()}


def tables():
    return set(output(tool("nft"), "list", "tables").splitlines())


def namespaces():
    """Named network namespaces."""
    return {line.split()[0] for line in output(tool("ip"), "netns", "list").splitlines() if line}
