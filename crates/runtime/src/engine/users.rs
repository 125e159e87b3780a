//! Who a container runs as: `user[:group]` by the image's own `/etc/passwd` and `/etc/group`, with
//! Docker's rules.

use std::io::Read;
use std::os::fd::AsFd;

use super::{Fault, root, user_map};

/// A resolved user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

impl User {
    /// Whether a user namespace has all its ids.
    pub(crate) fn check_range(&self) -> Result<(), Fault> {
        let ids = [self.uid, self.gid].into_iter().chain(self.groups.iter().copied());
        match ids.max().filter(|id| *id >= user_map::RANGE) {
            Some(id) => {
                let what = format!("become user {} of group {}", self.uid, self.gid);
                Err(Fault::refused(what, user_map::beyond(id)))
            }
            None => Ok(()),
        }
    }
}

/// Such files are small; a hostile image's is not read beyond this.
const MAX_FILE: u64 = 4 << 20;

/// Reads a file of the image without following links out of it; absent or odd is empty.
fn read(root: impl AsFd, path: &str) -> String {
    let Ok(fd) = root::open_file(root, path) else { return String::new() };
    let mut text = Vec::new();
    if std::fs::File::from(fd).take(MAX_FILE).read_to_end(&mut text).is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Resolves a user against the files under `root`.
pub(crate) fn resolve(root: impl AsFd, user: &str, extra_groups: &[String]) -> Result<User, Fault> {
    find(&read(&root, "etc/passwd"), &read(&root, "etc/group"), user, extra_groups)
        .map_err(|why| Fault::refused(format!("find user \"{user}\""), why))
}

struct Entry<'a> {
    name: &'a str,
    id: u32,
    rest: Vec<&'a str>,
}

/// Lines of `name:password:id:…`; broken ones are skipped, as the C library does.
fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id = fields.nth(1)?.parse().ok()?;
        Some(Entry { name, id, rest: fields.collect() })
    })
}

/// The rules: a name must be in the file, a number need not; without a group, the user's own and all
/// that list the user as a member; a group that is given stands alone.
fn find(passwd: &str, group: &str, user: &str, extra: &[String]) -> Result<User, String> {
    let (name, wanted_group) = user.split_once(':').map_or((user, None), |(u, g)| (u, Some(g)));
    let name = if name.is_empty() { "0" } else { name };
    let number = name.parse::<u32>().ok().filter(|id| *id <= i32::MAX.cast_unsigned());
    let entry = entries(passwd)
        .find(|entry| entry.name == name)
        .or_else(|| entries(passwd).find(|entry| Some(entry.id) == number));
    let uid = match (&entry, number) {
        (Some(entry), _) => entry.id,
        (None, Some(number)) => number,
        (None, None) => {
            return Err(format!("no user \"{name}\" in the image's /etc/passwd"));
        }
    };
    let own_gid = entry.as_ref().and_then(|entry| entry.rest.first()?.parse().ok()).unwrap_or(0);
    let home = entry.as_ref().and_then(|entry| entry.rest.get(2)).filter(|home| !home.is_empty());
    let mut found = User { uid, gid: own_gid, groups: Vec::new(), home: "/".into() };
    if let Some(home) = home {
        found.home = (*home).to_owned();
    }
    match wanted_group.filter(|group| !group.is_empty()) {
        Some(wanted) => found.gid = group_id(group, wanted)?,
        None => {
            let member = |entry: &Entry<'_>| {
                let members = entry.rest.first().copied().unwrap_or_default();
                found_name(passwd, uid, name)
                    .is_some_and(|name| members.split(',').any(|member| member == name))
            };
            found.groups = entries(group).filter(member).map(|entry| entry.id).collect();
        }
    }
    for wanted in extra {
        found.groups.push(group_id(group, wanted)?);
    }
    let mut seen = Vec::new();
    found.groups.retain(|id| {
        let new = !seen.contains(id);
        seen.push(*id);
        new
    });
    Ok(found)
}

fn found_name<'a>(passwd: &'a str, uid: u32, name: &'a str) -> Option<&'a str> {
    let by_name = entries(passwd).find(|entry| entry.name == name);
    by_name.or_else(|| entries(passwd).find(|entry| entry.id == uid)).map(|entry| entry.name)
}

fn group_id(group: &str, wanted: &str) -> Result<u32, String> {
    if let Some(entry) = entries(group).find(|entry| entry.name == wanted) {
        return Ok(entry.id);
    }
    wanted
        .parse::<u32>()
        .ok()
        .filter(|id| *id <= i32::MAX.cast_unsigned())
        .ok_or_else(|| format!("no group \"{wanted}\" in the image's /etc/group"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:44:Web:/srv:/bin/sh\n\
        1000:x:7:7::/seven:/bin/sh\nneg:x:-1:0::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:44:\nlog:x:50:web,other\nadm:x:4:other,web\n";

    fn ok(user: &str) -> (u32, u32, Vec<u32>, String) {
        let user = find(PASSWD, GROUP, user, &[]).unwrap();
        (user.uid, user.gid, user.groups, user.home)
    }

    #[test]
    fn dockers_rules() {
        assert_eq!(ok(""), (0, 0, vec![], "/root".into()));
        assert_eq!(ok("web"), (33, 44, vec![50, 4], "/srv".into()));
        assert_eq!(ok("33"), (33, 44, vec![50, 4], "/srv".into()));
        assert_eq!(ok("web:log"), (33, 50, vec![], "/srv".into()));
        assert_eq!(ok("web:7"), (33, 7, vec![], "/srv".into()));
        assert_eq!(ok("2000"), (2000, 0, vec![], "/".into()));
        assert_eq!(ok("2000:3000"), (2000, 3000, vec![], "/".into()));
        assert_eq!(ok("1000").0, 7, "a name wins over a number");
        assert_eq!(ok(":www"), (0, 44, vec![], "/root".into()));
    }

    #[test]
    fn weird_users_are_refused_by_name() {
        for user in ["nobody", "-1", "neg", "4294967295", "99999999999", "web:none", "../etc", " "]
        {
            let error = find(PASSWD, GROUP, user, &[]).unwrap_err();
            assert!(error.contains("no user") || error.contains("no group"), "{user}: {error}");
        }
        let extra = find(PASSWD, GROUP, "web:www", &["log".into(), "9".into(), "log".into()]);
        assert_eq!(extra.unwrap().groups, [50, 9]);
        assert!(find(PASSWD, GROUP, "web", &["nix".into()]).unwrap_err().contains("\"nix\""));
    }
}
