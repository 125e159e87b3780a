"""EFS volumes, by NFS: over a real server where this machine has one, and what is told where it has none."""

import os
import pathlib

import pytest

from conftest import prepared
from lib import server
from lib.tasks import Tasks, fresh, one

#: An export that root may write, such as 127.0.0.1:/srv; the kernel needs its NFS client too.
EXPORT = os.environ.get("E2E_NFS")
KERNEL_HAS_NFS = "nfs4" in pathlib.Path("/proc/filesystems").read_text().split()


def tasks_with(tmp_path, export):
    wharf = server.Wharf(tmp_path / "data", "--efs", f"fs-12345678={export}")
    wharf.start()
    wharf.images = prepared(wharf)
    return Tasks(wharf, wharf.images)


def run(tasks, *command, root="/"):
    definition = tasks.define(
        tasks.container(*command, mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}]),
        volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-12345678", "rootDirectory": root}}])
    return tasks.stopped(tasks.run(definition=definition), within=120)


@pytest.mark.skipif(KERNEL_HAS_NFS, reason="this kernel has an NFS client")
def test_a_kernel_without_nfs_says_so(tmp_path):
    tasks = tasks_with(tmp_path, "127.0.0.1:/srv")
    try:
        task = run(tasks, "exit", 0)
        told = task.get("stoppedReason", "") + str(task["containers"])
        assert 'has no file system "nfs4"' in told, told
    finally:
        tasks.wharf.down()


@pytest.mark.skipif(
    not (EXPORT and KERNEL_HAS_NFS),
    reason="it takes a kernel with an NFS client (nfs4 in /proc/filesystems) and an export in E2E_NFS=HOST:/PATH")
def test_files_stay_on_the_server(tmp_path):
    tasks = tasks_with(tmp_path, EXPORT)
    name = fresh()
    try:
        assert one(run(tasks, "write", f"/v/{name}", "kept"))["exitCode"] == 0
        assert one(run(tasks, "read", f"/v/{name}"))["exitCode"] == 0
    finally:
        tasks.wharf.down()
