"""Pulling and unpacking an image of eight layers, about 120 MiB gzip and 500 MiB unpacked, from Wharf's registry: by Wharf's
node, which forgot its images before, and by Docker.

The layers hold files of this machine, so contents differ between machines; both pull the same bytes.
"""

import base64
import datetime
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import time
import urllib.parse
from pathlib import Path

from benchlib.cluster import Cluster
from benchlib.rig import Rig
from benchlib.stamps import PROGRAM
from benchlib.tables import Times

LAYERS, LAYER_BYTES = 8, 15 << 20
SOURCES = ["/usr/lib", "/usr/share", "/usr/bin", "/usr/local", "/opt"]


def files():
    """Ordinary files of this machine that are neither tiny nor huge."""
    for source in SOURCES:
        for folder, folders, names in os.walk(source):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 4 << 20:
                    yield path


def blob(layout: Path, content: bytes, kind: str) -> dict:
    """Puts a blob into an OCI layout; answers its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}


def layer(layout: Path, source, first: list[Path]) -> tuple[dict, str, int]:
    """A layer filled until it is large enough: descriptor, digest of the tar, size of the tar."""
    packed = layout / "layer.tar.gz"
    with packed.open("wb") as out, gzip.GzipFile(fileobj=out, mode="wb", compresslevel=5, mtime=0) as zipped:
        digest = hashlib.sha256()
        counter = Counter(zipped, digest)
        with tarfile.open(fileobj=counter, mode="w|") as tar:
            for path in first:
                tar.add(path, arcname=path.name)
            for path in source:
                tar.add(path, arcname=str(path).lstrip("/"), recursive=False)
                if out.tell() > LAYER_BYTES:
                    break
    content = packed.read_bytes()
    packed.unlink()
    return blob(layout, content, "layer.v1.tar+gzip"), f"sha256:{digest.hexdigest()}", counter.size


class Counter:
    """A file that also digests and counts what is written."""

    def __init__(self, out, digest) -> None:
        self.out, self.digest, self.size = out, digest, 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self.out.write(data)


def image(rig: Rig) -> Path:
    """Writes the image as an OCI layout."""
    layout = rig.folder / "pull-image"
    (layout / "blobs/sha256").mkdir(parents=True)
    source, layers, diffs, size = files(), [], [], 0
    for number in range(LAYERS):
        descriptor, diff, plain = layer(layout, source, [rig.program] if number == 0 else [])
        layers.append(descriptor)
        diffs.append(diff)
        size += plain
    config = {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": [f"/{PROGRAM}"]},
              "rootfs": {"type": "layers", "diff_ids": diffs}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(layout, json.dumps(config).encode(), "config.v1+json"), "layers": layers}
    described = blob(layout, json.dumps(manifest).encode(), "manifest.v1+json")
    described["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    packed = sum(descriptor["size"] for descriptor in layers)
    print(f"\n  the image: {LAYERS} layers, {packed / 2**20:.0f} MiB gzip, {size / 2**20:.0f} MiB unpacked", flush=True)
    return layout


def forget(cluster: Cluster) -> None:
    """Starts the server anew without the node's images: only the registry still has them."""
    cluster.terminate()
    folder = cluster.data / "images"
    if not folder.is_dir():
        raise RuntimeError(f"{folder} is not there: the node keeps its images elsewhere, so this would measure nothing")
    shutil.rmtree(folder)
    cluster.up()


def settle() -> None:
    """Nothing that was written before is still to be written."""
    os.sync()
    time.sleep(1)


def wharf(rig: Rig, cluster: Cluster, definition: str, times: Times) -> None:
    forget(cluster)
    settle()
    stamps = rig.stamps("pull")
    count = len(stamps.all())
    begun = time.monotonic()
    tasks = cluster.tasks(cluster.api.call("RunTask", {"taskDefinition": definition}))
    (task,) = cluster.wait_status(tasks, "RUNNING", 110, every=0.02)
    times.add("Wharf: RunTask to RUNNING", time.monotonic() - begun)
    os.sync()
    times.add("Wharf: RunTask to RUNNING, and all on disk", time.monotonic() - begun)
    parsed = [datetime.datetime.fromtimestamp(task[name], datetime.UTC) for name in ("pullStartedAt", "pullStoppedAt")]
    times.add("Wharf: pullStartedAt to pullStoppedAt", (parsed[1] - parsed[0]).total_seconds())
    stamps.wait(count + 1)  # before main() a first process ignores SIGTERM
    cluster.stop(tasks)


def docker(rig: Rig, cluster: Cluster, name: str, times: Times) -> None:
    password = cluster.password()
    secret = json.dumps({"username": "AWS", "password": password, "serveraddress": name.split("/")[0]})
    query = urllib.parse.urlencode({"fromImage": name, "tag": "latest"})
    settle()
    begun = time.monotonic()
    told = rig.docker.call("POST", f"/images/create?{query}", headers={
        "X-Registry-Auth": base64.urlsafe_b64encode(secret.encode()).decode()})
    if b"errorDetail" in told:
        raise RuntimeError(f"docker pull: {told.decode()[-400:]}")
    times.add("docker pull", time.monotonic() - begun)
    os.sync()
    times.add("docker pull, and all on disk", time.monotonic() - begun)
    rig.docker.call("DELETE", f"/images/{name}:latest?force=true")


def run(rig: Rig) -> None:
    times = Times()
    layout = image(rig)
    with rig.cluster() as cluster:
        begun = time.monotonic()
        uri = cluster.push(f"oci:{layout}:latest", "pulled")
        times.add("skopeo copy into Wharf's registry", time.monotonic() - begun)
        shutil.rmtree(layout)
        definition = cluster.register("pull", uri, rig.stamps("pull").folder)
        for _ in rig.rounds(4, 60):
            wharf(rig, cluster, definition, times)
            docker(rig, cluster, f"127.0.0.1:{cluster.port}/pulled", times)
    times.show("Pull and unpack of an image", {
        "Wharf: pullStartedAt to pullStoppedAt": "docker pull",
        "Wharf: RunTask to RUNNING, and all on disk": "docker pull, and all on disk",
    })
