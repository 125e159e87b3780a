//! Which manifest of a multi-platform index fits this machine (OCI image-spec, `image-index.md`).

use serde::Deserialize;

/// An operating system and processor, in Go's words, as indexes have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    pub architecture: String,
    /// Such as `v7`; empty for the usual one.
    #[serde(deserialize_with = "super::document::or_default")]
    pub variant: String,
}

impl Platform {
    /// This machine's.
    pub(crate) fn of_this_machine() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "x86" => ("386", ""),
            "powerpc64" => ("ppc64le", ""),
            other => (other, ""),
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }

    /// How well what is `offered` runs here: higher is better, none is not at all.
    fn fit(&self, offered: &Self) -> Option<u8> {
        if offered.os != self.os || offered.architecture != self.architecture {
            return None;
        }
        match self.architecture.as_str() {
            // Every variant below one's own runs; an unnamed one is the oldest that is still built.
            "arm" => {
                let own = level(&self.variant)?;
                let theirs =
                    if offered.variant.is_empty() { Some(6) } else { level(&offered.variant) };
                theirs.filter(|theirs| *theirs <= own)
            }
            "arm64" if matches!(offered.variant.as_str(), "" | "v8") => Some(2),
            "arm64" => None,
            // The micro-architecture levels of amd64: only the baseline is known to run anywhere.
            "amd64" if matches!(offered.variant.as_str(), "" | "v1") => Some(2),
            _ if offered.variant == self.variant => Some(2),
            _ => None,
        }
    }

    /// The index of the best fit; the first of several that fit equally well.
    pub(crate) fn choose(&self, offered: &[Option<Self>]) -> Option<usize> {
        // A sole manifest that says nothing of its platform is taken at its word.
        if let [None] = offered {
            return Some(0);
        }
        let mut best: Option<(u8, usize)> = None;
        for (index, platform) in offered.iter().enumerate() {
            let Some(fit) = platform.as_ref().and_then(|platform| self.fit(platform)) else {
                continue;
            };
            if best.is_none_or(|(before, _)| fit > before) {
                best = Some((fit, index));
            }
        }
        best.map(|(_, index)| index)
    }
}

/// `v7` is 7.
fn level(variant: &str) -> Option<u8> {
    variant.strip_prefix('v')?.parse().ok()
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Platform { os: next(), architecture: next(), variant: next() }
    }

    #[test]
    fn the_best_that_runs_is_chosen() {
        for (machine, offered, chosen) in [
            ("linux/amd64", "linux/arm64 linux/amd64 windows/amd64", Some(1)),
            ("linux/amd64", "linux/amd64/v3 linux/amd64", Some(1)),
            ("linux/amd64", "linux/amd64/v3", None),
            ("linux/amd64", "linux/amd64 linux/amd64", Some(0)),
            ("linux/amd64", "unknown/unknown linux/amd64 unknown/unknown", Some(1)),
            ("linux/amd64", "windows/amd64", None),
            ("linux/arm64/v8", "linux/arm/v7 linux/arm64/v8", Some(1)),
            ("linux/arm64/v8", "linux/arm64", Some(0)),
            ("linux/arm64/v8", "linux/arm64/v9", None),
            ("linux/arm/v7", "linux/arm/v5 linux/arm/v7 linux/arm/v6", Some(1)),
            ("linux/arm/v6", "linux/arm/v5 linux/arm/v7", Some(0)),
            ("linux/arm/v7", "linux/arm", Some(0)),
            ("linux/s390x", "linux/s390x", Some(0)),
            ("linux/amd64", "", None),
        ] {
            let list: Vec<_> =
                offered.split_whitespace().map(|text| Some(platform(text))).collect();
            assert_eq!(platform(machine).choose(&list), chosen, "{machine} of {offered}");
        }
        assert_eq!(platform("linux/amd64").choose(&[None]), Some(0));
        assert_eq!(platform("linux/amd64").choose(&[None, None]), None);
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
    }
}
