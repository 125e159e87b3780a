//! Fuzzing without a compiler of its own: whatever reads what strangers wrote is given mutated input and
//! must neither panic nor hang nor touch what is not its own.
//!
//! `cargo test -p runtime fuzz` tries a few hundred inputs a target. `WHARF_FUZZ_SECONDS=600` goes on for
//! so long with each; `WHARF_FUZZ_CORPUS=DIR` takes further seeds from `DIR/<target>/` and leaves there
//! what failed, which then fails again first thing; `WHARF_FUZZ_SEED=N` draws as a run did that printed N.

use std::path::PathBuf;
use std::time::Duration;

use crate::LogMode;
use crate::engine::docker_profile;
use crate::engine::init::Order;
use crate::engine::overlay::Overlay;
use crate::image::fuzzed;
use crate::shim::clock::monotonic;
use crate::shim::proto::{self, Request, StartOrder};

/// Tried without a word about time.
const INPUTS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Words that mean something to one of the readers.
const WORDS: [&[u8]; 14] = [
    b"..",
    b"/",
    b"\0",
    b".wh.",
    b".wh..wh..opq",
    b"ustar",
    b"{",
    b"}",
    b"[",
    b"\"",
    b"-1",
    b"18446744073709551616",
    b"\xff\xff\xff\xff",
    b"null",
];

/// Numbers that follow from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        usize::try_from(mixed % limit as u64).unwrap()
    }
}

fn mutate(input: &mut Vec<u8>, other: &[u8], rng: &mut Numbers) {
    for _ in 0..=rng.below(6) {
        let at = rng.below(input.len() + 1);
        let long = rng.below(64);
        match rng.below(7) {
            0 if at < input.len() => input[at] = u8::try_from(rng.below(256)).unwrap(),
            1 if at < input.len() => input[at] ^= 1 << rng.below(8),
            2 => {
                let word = WORDS[rng.below(WORDS.len())];
                drop(input.splice(at..at, word.iter().copied()));
            }
            3 => {
                let word = WORDS[rng.below(WORDS.len())];
                let end = (at + word.len()).min(input.len());
                drop(input.splice(at..end, word.iter().copied()));
            }
            4 => drop(input.drain(at..(at + long).min(input.len()))),
            5 => {
                let piece = input[at..(at + long).min(input.len())].to_vec();
                drop(input.splice(at..at, piece));
            }
            _ if !other.is_empty() => {
                let from = rng.below(other.len());
                input.truncate(at);
                input.extend(&other[from..]);
            }
            _ => {}
        }
    }
}

fn fuzz(target: &str, mut seeds: Vec<Vec<u8>>, work: impl Fn(&[u8])) {
    let corpus = std::env::var_os("WHARF_FUZZ_CORPUS").map(|dir| PathBuf::from(dir).join(target));
    if let Some(folder) = &corpus {
        std::fs::create_dir_all(folder).unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            seeds.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
    let seed = number("WHARF_FUZZ_SEED").unwrap_or(0);
    let mut rng = Numbers(seed);
    let until = number("WHARF_FUZZ_SECONDS").map(|s| monotonic() + Duration::from_secs(s));
    let run = |input: &[u8], count: u64| {
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(input)));
        if let Err(panic) = tried {
            let kept = corpus.as_ref().map(|folder| folder.join(format!("failed-{seed}-{count}")));
            if let Some(path) = &kept {
                std::fs::write(path, input).unwrap();
            }
            println!(
                "{target}: WHARF_FUZZ_SEED={seed}, input {count}, kept as {kept:?}: {input:?}"
            );
            std::panic::resume_unwind(panic);
        }
    };
    for (count, seed) in (0..).zip(&seeds) {
        run(seed, count);
    }
    for count in 0.. {
        if until.map_or(count >= INPUTS, |until| monotonic() >= until) {
            return;
        }
        let mut input = seeds[rng.below(seeds.len())].clone();
        let other = &seeds[rng.below(seeds.len())];
        mutate(&mut input, other, &mut rng);
        run(&input, count);
    }
}

#[test]
fn fuzz_layers() {
    fuzz("layers", fuzzed::layers(), fuzzed::unpack);
}

#[test]
fn fuzz_image_documents() {
    fuzz("documents", fuzzed::documents(), fuzzed::read_documents);
}

#[test]
fn fuzz_requests() {
    let root = Overlay {
        lower: vec!["/l".into()],
        upper: "/u".into(),
        work: "/w".into(),
        at: "/m".into(),
    };
    let order = Order {
        spec: oci_spec::runtime::Spec::default(),
        root,
        user: "web".into(),
        groups: vec!["log".into()],
        init: false,
        output: true,
        open_stdin: false,
        own_network: false,
        oci: None,
        filled: Vec::new(),
        users: None,
    };
    let start = StartOrder {
        id: "a".into(),
        order,
        log: LogMode::None,
        log_folder: "/log".into(),
        folder: "/run".into(),
        health: None,
        stop_signal: 15,
    };
    let requests = [
        Request::Watch,
        Request::Signal { container: "a".into(), signal: 15 },
        Request::Stop { container: "a".into(), grace_ms: 1000 },
        Request::Start(Box::new(start)),
    ];
    let seeds = requests.iter().map(proto::encode).collect();
    // What is understood says the same when it is said again.
    fuzz("requests", seeds, |input| {
        let mut received = input.to_vec();
        while let Ok(Some(body)) = proto::take(&mut received) {
            if let Ok(request) = serde_json::from_slice::<Request>(&body) {
                let again = proto::encode(&request);
                let request = serde_json::from_slice::<Request>(&again[4..]).unwrap();
                assert_eq!(proto::encode(&request).len(), again.len());
            }
        }
    });
}

#[test]
fn fuzz_seccomp_profiles() {
    let seeds = vec![
        br#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "archMap": [{"architecture":
            "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}], "syscalls": [{"names":
            ["read", "clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288,
            "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}], "includes": {"caps": ["CAP_CHOWN"],
            "minKernel": "4.8"}, "excludes": {"arches": ["s390"]}}]}"#
            .to_vec(),
        br#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "sync", "action":
            "SCMP_ACT_KILL_PROCESS"}]}"#
            .to_vec(),
    ];
    let capabilities = crate::engine::caps::DEFAULT.into();
    fuzz("profiles", seeds, |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(profile) = docker_profile::read(&text, &capabilities, (6, 1)) {
            // Whether it can be compiled, or says why not.
            drop(crate::engine::seccomp::filter(&profile));
        }
    });
}
