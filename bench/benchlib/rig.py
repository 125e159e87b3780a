"""What a benchmark is handed: the peer, the image, folders, and how long it may take."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import stamps
from .cluster import Cluster
from .docker import Docker
from .stamps import Stamps


class Rig:
    """Makes things and, at its end, unmakes them."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.folder = Path(tempfile.mkdtemp(prefix="wharf-bench-"))
        self.docker = Docker()
        self.docker.clean()
        self.program = stamps.build(self.folder)
        stamps.load(self.docker, self.program)
        self.clusters: list[Cluster] = []

    def stamps(self, name: str) -> Stamps:
        return Stamps(self.folder / "stamps" / name)

    def rounds(self, count: int, seconds: float) -> Iterator[int]:
        """Numbers from 0, until there were enough or time is up."""
        end = time.monotonic() + seconds
        for number in range(max(3, int(count * self.scale))):
            if number >= 3 and time.monotonic() > end:
                print(f"  (time is up after {number} of {count} rounds)")
                return
            yield number

    @contextlib.contextmanager
    def cluster(self, *flags: str) -> Iterator[Cluster]:
        """A fresh cluster, gone afterwards; `flags` are for `wharf up`."""
        cluster = Cluster(self.folder / f"data-{len(self.clusters)}", *flags)
        self.clusters.append(cluster)
        try:
            yield cluster.up()
        finally:
            cluster.down()

    def close(self) -> None:
        self.docker.clean()
        shutil.rmtree(self.folder, ignore_errors=True)
