//! Capabilities: their numbers, and setting all five sets in the order that keeps the rights which the
//! next step needs (bounding set while CAP_SETPCAP is there, then the user, then the rest).

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use super::{Attempt, Fault, sys};

/// The kernel's numbering (`linux/capability.h`): the place in this list is the number.
pub(crate) const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// What Docker gives a container that asks for nothing.
pub(crate) const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::SysChroot,
    Capability::Mknod,
    Capability::AuditWrite,
    Capability::Setfcap,
];

/// A capability by the name that users write, with or without `CAP_`, in any case.
pub(crate) fn by_name(name: &str) -> Option<Capability> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    ALL.into_iter().find(|capability| capability.to_string() == name)
}

/// The sets as the kernel takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

fn mask(set: Option<&Capabilities>, known: u64) -> u64 {
    let bits = ALL.iter().enumerate().filter(|(_, c)| set.is_some_and(|set| set.contains(c)));
    bits.fold(0, |mask, (number, _)| mask | 1 << number) & known
}

impl Sets {
    /// The sets of a specification, without what this kernel does not know.
    pub(crate) fn of(wanted: &LinuxCapabilities) -> Self {
        let known = known();
        Self {
            bounding: mask(wanted.bounding().as_ref(), known),
            effective: mask(wanted.effective().as_ref(), known),
            permitted: mask(wanted.permitted().as_ref(), known),
            inheritable: mask(wanted.inheritable().as_ref(), known),
            ambient: mask(wanted.ambient().as_ref(), known),
        }
    }

    /// Step one: what can never be gained again.
    pub(crate) fn drop_bounding(self) -> Result<(), Fault> {
        let known = known();
        for number in 0..64_u32 {
            if known & 1 << number != 0 && self.bounding & 1 << number == 0 {
                sys::prctl(libc::PR_CAPBSET_DROP, u64::from(number), 0)
                    .attempt(|| format!("drop capability {number} for good"))?;
            }
        }
        Ok(())
    }

    /// Step two, after the user has been set with capabilities kept: the other four.
    pub(crate) fn apply(self) -> Result<(), Fault> {
        sys::capset(self.effective, self.permitted, self.inheritable)
            .attempt(|| "set the capabilities".into())?;
        let clear = u64::from(libc::PR_CAP_AMBIENT_CLEAR_ALL.cast_unsigned());
        sys::prctl(libc::PR_CAP_AMBIENT, clear, 0)
            .attempt(|| "clear the ambient capabilities".into())?;
        let raise = u64::from(libc::PR_CAP_AMBIENT_RAISE.cast_unsigned());
        for number in (0..64_u64).filter(|number| self.ambient & 1 << number != 0) {
            sys::prctl(libc::PR_CAP_AMBIENT, raise, number)
                .attempt(|| format!("raise ambient capability {number}"))?;
        }
        Ok(())
    }
}

/// The sets of a specification without what cannot be given here: other engines fail for it.
pub(crate) fn within_reach(wanted: &LinuxCapabilities) -> LinuxCapabilities {
    let known = known();
    let reach = |set: &Option<Capabilities>| {
        let has =
            |capability: &Capability| set.as_ref().is_some_and(|set| set.contains(capability));
        let kept =
            ALL.iter().enumerate().filter(|(number, one)| known & 1 << number != 0 && has(one));
        kept.map(|(_, capability)| *capability).collect::<Capabilities>()
    };
    let mut sets = wanted.clone();
    sets.set_bounding(Some(reach(wanted.bounding())));
    sets.set_effective(Some(reach(wanted.effective())));
    sets.set_permitted(Some(reach(wanted.permitted())));
    sets.set_inheritable(Some(reach(wanted.inheritable())));
    sets.set_ambient(Some(reach(wanted.ambient())));
    sets
}

/// The capabilities that this kernel knows and this process may still give: its own bounding set,
/// which never grows.
fn known() -> u64 {
    (0..ALL.len() as u64)
        .filter(|number| sys::is_in_bounding_set(*number))
        .fold(0, |mask, number| mask | 1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_users_write_them() {
        assert_eq!(by_name("NET_ADMIN"), Some(Capability::NetAdmin));
        assert_eq!(by_name("cap_net_admin"), Some(Capability::NetAdmin));
        assert_eq!(by_name("CHECKPOINT_RESTORE"), Some(Capability::CheckpointRestore));
        assert_eq!(by_name("NET"), None);
        for capability in ALL {
            assert_eq!(by_name(&capability.to_string()), Some(capability));
        }
    }

    #[test]
    fn the_numbers_are_the_kernels() {
        let set: Capabilities = [Capability::Chown, Capability::SysAdmin].into();
        assert_eq!(mask(Some(&set), u64::MAX), 1 | 1 << 21);
        assert_eq!(mask(Some(&DEFAULT.into()), u64::MAX), 0xa804_25fb, "Docker's CapEff");
    }
}
