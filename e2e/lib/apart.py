"""A network of a worker's own. Tests that run side by side have each their own server; whatever of the network
servers would share (ports, routes, packet filters, 169.254.170.2 for programs of the machine) is each
worker's own, as on machines of their own. Processes, cgroups and files carry their server's tag already."""

import ctypes
import os
import pathlib
import subprocess
import tempfile

from .kernel import tool

CLONE_NEWNS, CLONE_NEWNET = 0x0002_0000, 0x4000_0000
# A block for documentation, which nothing else uses: the machine's own address in there.
ADDRESS = "198.51.100.1/24"


def enter():
    """Moves this thread, and so all that it starts, into a network of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "a network of this worker's own")
    _own_sys()
    ip = tool("ip")
    _do(ip, "link", "set", "lo", "up")
    _do(ip, "link", "add", "outside", "type", "veth", "peer", "name", "beyond")
    _do(ip, "address", "add", ADDRESS, "dev", "outside")
    for end in ("outside", "beyond"):
        _do(ip, "link", "set", end, "up")
    # Nobody answers there; but what is led elsewhere on the way, such as 169.254.170.2, needs a way to be on.
    _do(ip, "route", "add", "default", "dev", "outside")


def _own_sys():
    """A /sys that shows this network's links, with the cgroups that were there."""
    _do("mount", "--make-rprivate", "/")
    below = [line.split()[1] for line in open("/proc/self/mounts")]
    kept = [path for path in ("/sys/fs/cgroup", "/sys/kernel/security") if path in below]
    with tempfile.TemporaryDirectory() as aside:
        places = {path: pathlib.Path(aside, str(number)) for number, path in enumerate(kept)}
        for path, place in places.items():
            place.mkdir()
            _do("mount", "--rbind", path, place)
        _do("umount", "--lazy", "/sys")
        _do("mount", "-t", "sysfs", "-o", "nosuid,nodev,noexec", "sysfs", "/sys")
        for path, place in places.items():
            _do("mount", "--move", place, path)


def _do(*words):
    done = subprocess.run(list(map(os.fspath, words)), capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stderr}"
