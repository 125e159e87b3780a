//! Specifications that ask for nothing, for the tests of this crate.

use std::collections::BTreeMap;

use crate::{
    ContainerNetwork, ContainerSpec, IpcMode, Limits, LogMode, NetworkMode, PidMode, SandboxSpec,
    Seccomp,
};

/// A sandbox with a network of its own.
pub(crate) fn sandbox(id: &str) -> SandboxSpec {
    SandboxSpec {
        id: id.into(),
        labels: BTreeMap::new(),
        network: NetworkMode::Private,
        limits: Limits::default(),
        pid: PidMode::default(),
        ipc: IpcMode::default(),
        hardened: false,
    }
}

/// A container that runs `/probe`.
pub(crate) fn container(id: &str, sandbox: &str) -> ContainerSpec {
    ContainerSpec {
        id: id.into(),
        sandbox: sandbox.into(),
        image: "sha256:probe".into(),
        args: vec!["/probe".into()],
        env: Vec::new(),
        cwd: String::new(),
        user: String::new(),
        groups: Vec::new(),
        hostname: String::new(),
        mounts: Vec::new(),
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        privileged: false,
        readonly_root: false,
        no_new_privileges: false,
        init: false,
        tty: false,
        open_stdin: false,
        limits: Limits::default(),
        ulimits: Vec::new(),
        sysctls: BTreeMap::new(),
        shm_bytes: None,
        devices: Vec::new(),
        gpus: Vec::new(),
        hosts: Vec::new(),
        dns_servers: Vec::new(),
        dns_search: Vec::new(),
        address: None,
        health: None,
        log: LogMode::Files { max_bytes: 1 << 20, max_files: 2, non_blocking_bytes: None },
        stop_signal: String::new(),
        network: ContainerNetwork::default(),
        ports: Vec::new(),
        swappiness: None,
        seccomp: Seccomp::default(),
        apparmor: None,
        labels: BTreeMap::new(),
    }
}
