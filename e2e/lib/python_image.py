"""An image with Python and boto3, made of the interpreter that runs these tests: no base image, no
internet. One layer, without what no test needs."""

import gzip
import hashlib
import io
import json
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile

HOME = "usr/local"
LIBRARIES = "usr/local/lib/wharf"
PACKAGES = ("boto3", "botocore", "s3transfer", "urllib3", "jmespath", "dateutil", "six.py")
SERVICES = {"ecs", "ecr", "logs", "sts", "iam", "s3", "ssm", "secretsmanager"}
LEFT_OUT = {
    "__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3",
    "site-packages", "pydoc_data", "distutils"}


def build(out):
    """Writes the image as an OCI layout named `python`; a version's image is made once."""
    import botocore

    mark = f"{sys.version} {botocore.__version__} {hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()}"
    made = out / "made-of"
    if made.exists() and made.read_text() == mark:
        return out
    (out / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    plain = _layer()
    packed = gzip.compress(plain, compresslevel=1, mtime=0)
    config = {
        "architecture": "amd64", "os": "linux",
        "config": {
            "Entrypoint": [f"/{HOME}/bin/python3"],
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", f"PYTHONHOME=/{HOME}", f"LD_LIBRARY_PATH=/{LIBRARIES}",
                    "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"],
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(plain)]},
    }
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
        "config": _blob(out, json.dumps(config).encode(), f"{kind}.config.v1+json"),
        "layers": [_blob(out, packed, f"{kind}.layer.v1.tar+gzip")],
    }
    described = _blob(out, json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    described["annotations"] = {"org.opencontainers.image.ref.name": "python"}
    (out / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (out / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    made.write_text(mark)
    return out


def _digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blob(out, data, kind):
    digest = _digest(data)
    (out / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(data)
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def _layer():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        interpreter = pathlib.Path(sys._base_executable).resolve()
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        standard = pathlib.Path(sysconfig.get_paths()["stdlib"])
        _add(tar, interpreter, f"{HOME}/bin/python3")
        modules = list(_files(standard))
        for file in modules:
            _add(tar, file, f"{HOME}/lib/{version}/{file.relative_to(standard)}")
        import boto3

        site = pathlib.Path(boto3.__file__).parents[1]
        for file in (f for package in PACKAGES for f in _files(site / package)):
            inside = file.relative_to(site)
            if inside.parts[:2] == ("botocore", "data") and len(inside.parts) > 3 and inside.parts[2] not in SERVICES:
                continue
            _add(tar, file, f"{HOME}/lib/{version}/site-packages/{inside}")
        native = [file for file in modules if file.suffix == ".so"]
        for name, file in sorted(_libraries([interpreter, *native]).items()):
            _add(tar, file, name.lstrip("/") if name.startswith("/") else f"{LIBRARIES}/{name}")
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    return buffer.getvalue()


def _files(path):
    if path.is_file():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.name in LEFT_OUT or entry.name.startswith("config-"):
            continue
        if entry.is_dir():
            yield from _files(entry)
        elif entry.suffix != ".a":
            yield entry


def _libraries(programs):
    """The shared libraries that programs need: by their bare names, the loader by its path."""
    found = {}
    for program in programs:
        listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for name, path in re.findall(r"(\S+) => (/\S+)", listed):
            found[pathlib.PurePath(name).name] = pathlib.Path(path)
        for path in re.findall(r"^\s+(/\S*ld-linux\S*)", listed, re.M):
            found[path] = pathlib.Path(path)
    return found


def _add(tar, file, name):
    data = file.read_bytes()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), file.stat().st_mode & 0o755 | 0o444
    tar.addfile(info, io.BytesIO(data))
