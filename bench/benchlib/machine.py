"""The machine: what it is, how busy it is, and what its processes use."""

import os
import platform
import select
import time
from pathlib import Path

# Nanoseconds of the clock that the stamp program reads too.
now_ns = time.monotonic_ns


def line() -> str:
    """One line that says on what the figures were measured."""
    model = next((text.split(":", 1)[1].strip() for text in Path("/proc/cpuinfo").read_text().splitlines()
                  if text.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores ({model}), {memory} GiB, Linux {platform.release()}, {pressure()}"


def pressure() -> str:
    """How much of the last seconds something waited for a core."""
    try:
        first = Path("/proc/pressure/cpu").read_text().splitlines()[0].split()
    except OSError:
        return "cpu pressure unknown"
    return f"cpu pressure {first[1]} {first[2]}"


def processes() -> dict[int, tuple[int, str, str]]:
    """Every process: parent, short name, command line."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
            command = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        name, rest = stat[stat.index("(") + 1:].rsplit(")", 1)
        found[int(entry)] = (int(rest.split()[1]), name, command.strip())
    return found


def named(name: str) -> set[int]:
    """The processes of that short name."""
    return {pid for pid, (_, short, _) in processes().items() if short == name}


def memory_kib(pid: int) -> tuple[int, int, int]:
    """RSS, PSS and private memory of a process in KiB; zeros if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0, 0, 0
    fields = {words[0]: int(words[1]) for words in map(str.split, text.splitlines()) if len(words) == 3}
    return fields["Rss:"], fields["Pss:"], fields["Private_Clean:"] + fields["Private_Dirty:"]


class Ends:
    """Learns when a process ends, though it is not a child."""

    def __init__(self, pid: int) -> None:
        self.handle = os.pidfd_open(pid)

    def wait(self, seconds: float) -> int:
        """Waits and answers the nanosecond at which the end was seen."""
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        ready = poll.poll(seconds * 1000)
        seen = now_ns()
        os.close(self.handle)
        if not ready:
            raise TimeoutError(f"the process did not end in {seconds} s")
        return seen
