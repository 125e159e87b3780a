//! A system-call profile in Docker's JSON, as `--security-opt seccomp=FILE` takes it, made into the
//! OCI form for one container: which rules count depends on its capabilities, the architecture and the
//! kernel. The format is described at <https://docs.docker.com/engine/security/seccomp/>.

use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscallBuilder,
};
use serde::Deserialize;

use super::{bpf, caps, seccomp};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    listener_path: Option<String>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: LinuxSeccompOperator,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// Docker's word for this machine in `arches`.
fn own_name() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Major and minor version of a kernel, as `4.8`.
fn version(text: &str) -> Result<(u32, u32), String> {
    let mut numbers = text.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(format!("\"{text}\" is not a kernel's version like 4.8")),
    }
}

impl Filter {
    fn has(capabilities: &Capabilities, name: &str) -> bool {
        caps::by_name(name).is_some_and(|capability| capabilities.contains(&capability))
    }

    /// Whether everything that is named is there; naming nothing is satisfied.
    fn includes(&self, given: &Capabilities, kernel: (u32, u32)) -> Result<bool, String> {
        let newer = match &self.min_kernel {
            Some(text) => kernel >= version(text)?,
            None => true,
        };
        let here = self.arches.is_empty() || self.arches.iter().any(|arch| arch == own_name());
        Ok(newer && here && self.caps.iter().all(|name| Self::has(given, name)))
    }

    /// Whether anything that is named is there.
    fn excludes(&self, given: &Capabilities, kernel: (u32, u32)) -> Result<bool, String> {
        let newer = match &self.min_kernel {
            Some(text) => kernel >= version(text)?,
            None => false,
        };
        let here = self.arches.iter().any(|arch| arch == own_name());
        Ok(newer || here || self.caps.iter().any(|name| Self::has(given, name)))
    }
}

fn architectures(profile: &Profile) -> Result<Vec<Arch>, String> {
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err("a profile has architectures or an archMap, not both".into());
    }
    let own = seccomp::architectures();
    let named = |arch: &Arch, name: &str| {
        serde_json::from_value::<Arch>(name.into()).is_ok_and(|known| known == *arch)
    };
    let wanted: Vec<&str> = if profile.architectures.is_empty() {
        let maps = profile.arch_map.iter();
        let fits = |map: &&ArchMap| own.first().is_some_and(|arch| named(arch, &map.architecture));
        let Some(map) = maps.into_iter().find(fits) else { return Ok(own) };
        let more = map.sub_architectures.iter().flatten().map(String::as_str);
        std::iter::once(map.architecture.as_str()).chain(more).collect()
    } else {
        profile.architectures.iter().map(String::as_str).collect()
    };
    Ok(own.into_iter().filter(|arch| wanted.iter().any(|name| named(arch, name))).collect())
}

/// The profile for a container with these capabilities on a kernel of this version.
pub(crate) fn read(
    json: &str,
    capabilities: &Capabilities,
    kernel: (u32, u32),
) -> Result<LinuxSeccomp, String> {
    let broken =
        |error: &dyn std::fmt::Display| format!("the seccomp profile cannot be read: {error}");
    let profile: Profile = serde_json::from_str(json).map_err(|error| broken(&error))?;
    if profile.listener_path.is_some() {
        return Err(
            "the seccomp profile asks for a listener, which this engine does not have".into()
        );
    }
    let mut rules = Vec::new();
    for rule in &profile.syscalls {
        if !rule.includes.includes(capabilities, kernel)?
            || rule.excludes.excludes(capabilities, kernel)?
        {
            continue;
        }
        let names: Vec<String> = rule.name.iter().chain(&rule.names).cloned().collect();
        let args = rule.args.iter().flatten().map(argument).collect::<Result<Vec<_>, _>>()?;
        let built = LinuxSyscallBuilder::default().names(names).action(rule.action);
        let built = if args.is_empty() { built } else { built.args(args) };
        let built = match rule.errno_ret {
            Some(errno) => built.errno_ret(errno),
            None => built,
        };
        rules.push(built.build().map_err(|error| broken(&error))?);
    }
    let built = LinuxSeccompBuilder::default()
        .default_action(profile.default_action)
        .architectures(architectures(&profile)?)
        .syscalls(rules);
    let built = match profile.default_errno_ret {
        Some(errno) => built.default_errno_ret(errno),
        None => built,
    };
    let built = built.build().map_err(|error| broken(&error))?;
    // What the engine could not load is said before anything is made.
    bpf::compile(&built).map_err(|error| broken(&error))?;
    Ok(built)
}

fn argument(argument: &Argument) -> Result<LinuxSeccompArg, String> {
    LinuxSeccompArgBuilder::default()
        .index(argument.index)
        .value(argument.value)
        .value_two(argument.value_two)
        .op(argument.op)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Capability;

    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
        ],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["futureproof"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.1"}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
             "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]}},
            {"name": "clone3", "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
        ]
    }"#;

    fn names(profile: &LinuxSeccomp) -> Vec<&str> {
        let rules = profile.syscalls().iter().flatten();
        rules.flat_map(|rule| rule.names().iter().map(String::as_str)).collect()
    }

    #[test]
    fn rules_count_by_capability_and_kernel() {
        let plain = read(PROFILE, &caps::DEFAULT.into(), (6, 1)).unwrap();
        assert_eq!(names(&plain), ["read", "write", "ptrace", "clone", "clone3"]);
        let old = read(PROFILE, &[Capability::SysAdmin].into(), (4, 7)).unwrap();
        assert_eq!(names(&old), ["read", "write", "mount", "clone3"]);
        assert_eq!(plain.architectures().as_ref().unwrap(), &seccomp::architectures());
        let rules = plain.syscalls().as_ref().unwrap();
        assert_eq!(rules.last().unwrap().errno_ret(), Some(38));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let why = |json: &str| read(json, &Capabilities::new(), (6, 1)).unwrap_err();
        assert!(why("{").contains("cannot be read"));
        assert!(why(r#"{"defaultAction": "SCMP_ACT_DANCE"}"#).contains("SCMP_ACT_DANCE"));
        assert!(why(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#).contains("SCMP_ACT_NOTIFY"));
        let listener = r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}"#;
        assert!(why(listener).contains("listener"));
        let foreign =
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"]}"#;
        assert!(why(foreign).contains("none of the architectures"));
    }
}
