//! Mount options as OCI writes them, sorted into the kernel's attributes and the file system's own.

use rustix::mount::MountAttrFlags;

/// Options, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// Attributes of the mount.
    pub(crate) attributes: MountAttrFlags,
    /// It is a bind mount.
    pub(crate) bind: bool,
    /// With everything mounted below.
    pub(crate) recursive: bool,
    /// `key`, or `key` and `value`, for the file system.
    pub(crate) data: Vec<(String, Option<String>)>,
}

/// Sorts options. Later ones win over earlier ones.
pub(crate) fn parse(options: &[String]) -> MountOptions {
    let mut sorted = MountOptions {
        attributes: MountAttrFlags::empty(),
        bind: false,
        recursive: false,
        data: Vec::new(),
    };
    for option in options {
        let atime = MountAttrFlags::MOUNT_ATTR__ATIME;
        let (set, clear) = match option.as_str() {
            "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, MountAttrFlags::empty()),
            "rw" => (MountAttrFlags::empty(), MountAttrFlags::MOUNT_ATTR_RDONLY),
            "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, MountAttrFlags::empty()),
            "suid" => (MountAttrFlags::empty(), MountAttrFlags::MOUNT_ATTR_NOSUID),
            "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, MountAttrFlags::empty()),
            "dev" => (MountAttrFlags::empty(), MountAttrFlags::MOUNT_ATTR_NODEV),
            "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, MountAttrFlags::empty()),
            "exec" => (MountAttrFlags::empty(), MountAttrFlags::MOUNT_ATTR_NOEXEC),
            "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, atime),
            "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, atime),
            "relatime" | "atime" => (MountAttrFlags::MOUNT_ATTR_RELATIME, atime),
            "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, MountAttrFlags::empty()),
            "diratime" => (MountAttrFlags::empty(), MountAttrFlags::MOUNT_ATTR_NODIRATIME),
            "bind" => {
                sorted.bind = true;
                continue;
            }
            "rbind" => {
                (sorted.bind, sorted.recursive) = (true, true);
                continue;
            }
            // Every mount of a container is private to it.
            "private" | "rprivate" | "defaults" => continue,
            other => {
                let (key, value) = other
                    .split_once('=')
                    .map_or((other, None), |(key, value)| (key, Some(value.to_owned())));
                sorted.data.push((key.to_owned(), value));
                continue;
            }
        };
        sorted.attributes = sorted.attributes.difference(clear).union(set);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_and_the_last_wins() {
        let options =
            ["ro", "nosuid", "size=64k", "rw", "mode=1777", "rbind", "newinstance", "dev"];
        let sorted = parse(&options.map(String::from));
        assert_eq!(sorted.attributes, MountAttrFlags::MOUNT_ATTR_NOSUID);
        assert!(sorted.bind && sorted.recursive);
        let data: Vec<_> = sorted.data.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        assert_eq!(data, [("size", Some("64k")), ("mode", Some("1777")), ("newinstance", None)]);
    }
}
