"""Images made from the sources in this repository, and pushed by a real client."""

import base64
import fcntl
import functools
import subprocess

from . import python_image
from .kernel import tool
from .server import ROOT

SOURCES = {"hello": ROOT / "examples/hello/main.rs", "probe": ROOT / "e2e/programs/probe.rs",
           "web": ROOT / "e2e/programs/web.rs"}


@functools.cache
def layout(name):
    """The folder of an image as an OCI layout; builds it when its source is newer."""
    out = ROOT / f"target/e2e/{name}-image"
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Another worker may want it at the same time.
        return _built(name, out)


def _built(name, out):
    if name == "python":
        return python_image.build(out)
    built = out / "index.json"
    if built.exists() and built.stat().st_mtime > SOURCES[name].stat().st_mtime:
        return out
    done = subprocess.run(
        ["cargo", "xtask", "image", "--source", SOURCES[name], "--name", name, "--out", out],
        cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def push(wharf, name, repository=None, tag="1", *, password=None, check=True):
    """Copies an image into a repository by skopeo, as user AWS with ECR's password."""
    password = password or wharf.aws("ecr", "get-login-password")
    repository = repository or name
    done = subprocess.run(
        [tool("skopeo"), "copy", "--quiet", "--dest-tls-verify=false", f"--dest-creds=AWS:{password}",
         f"oci:{layout(name)}:{name}", f"docker://127.0.0.1:{wharf.port}/{repository}:{tag}"],
        capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done


def provide(wharf, name):
    """Makes the repository and pushes the image; returns the reference for task definitions."""
    ecr = wharf.client("ecr")
    uri = ecr.create_repository(repositoryName=name)["repository"]["repositoryUri"]
    [given] = ecr.get_authorization_token()["authorizationData"]
    push(wharf, name, password=base64.b64decode(given["authorizationToken"]).decode().partition(":")[2])
    return f"{uri}:1"
