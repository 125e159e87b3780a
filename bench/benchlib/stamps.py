"""The stamp program: building it, making an image of it, and reading what it wrote."""

import io
import subprocess
import tarfile
import time
from pathlib import Path

from .docker import Docker

SOURCE = Path(__file__).resolve().parent.parent / "stamp.rs"
PROGRAM = "wharf-stamp"  # at most 15 letters: the kernel's short name of the process
IMAGE = "wharf-bench-stamp:latest"


def build(folder: Path) -> Path:
    """Compiles the program, statically."""
    program = folder / PROGRAM
    subprocess.run(
        ["rustc", "--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols",
         "-o", program, SOURCE],
        check=True,
    )
    return program


def load(docker: Docker, program: Path) -> None:
    """Makes an image of one layer that holds nothing but the program."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, arcname=PROGRAM)
    docker.load_image(archive.getvalue(), IMAGE, f'ENTRYPOINT ["/{PROGRAM}"]')


class Stamps:
    """The file to which the programs of one folder append."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / "stamps"
        self.path.touch()

    def all(self) -> list[tuple[int, str]]:
        """Each `main()` so far: nanosecond and mark."""
        lines = self.path.read_text().splitlines(keepends=True)
        whole = [text.split() + [""] for text in lines if text.endswith("\n")]
        return [(int(words[1]), words[2]) for words in whole]

    def wait(self, count: int, seconds: float = 30) -> list[tuple[int, str]]:
        """Waits until there are `count` of them. The size of the file is looked at, which costs
        little: what is measured shares the machine with this program."""
        end = time.monotonic() + seconds
        size = -1
        while True:
            if (grown := self.path.stat().st_size) != size:
                size = grown
                if len(stamps := self.all()) >= count:
                    return stamps
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.all())} of {count} programs reached main() in {seconds} s")
            time.sleep(0.001)
