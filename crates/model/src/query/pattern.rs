//! Patterns of `matches`: Java's regular expressions, as far as they can be matched in linear time,
//! and a text has to match in whole.

use std::fmt;
use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};

/// The largest compiled pattern, in bytes.
const LARGEST: usize = 64 * 1024;

/// A compiled pattern.
#[derive(Clone)]
pub struct Pattern {
    source: Arc<str>,
    regex: Arc<Regex>,
}

/// What Java's patterns may have and these may not, by how it is spelled.
const NOT_HERE: &[(&str, &str)] = &[
    ("(?=", "look-ahead"),
    ("(?!", "negative look-ahead"),
    ("(?<=", "look-behind"),
    ("(?<!", "negative look-behind"),
    ("(?>", "atomic group"),
    ("*+", "possessive quantifier"),
    ("++", "possessive quantifier"),
    ("?+", "possessive quantifier"),
    ("}+", "possessive quantifier"),
    ("&&", "intersection of classes"),
];

impl Pattern {
    /// Compiles a pattern, or says in words what is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        if let Some(found) = unsupported(source) {
            return Err(format!("a pattern without {found}"));
        }
        let regex = RegexBuilder::new(&format!(r"\A(?:{source})\z"))
            .size_limit(LARGEST)
            .nest_limit(20)
            .build()
            .and_then(|whole| Regex::new(source).map(|_| whole))
            .map_err(|error| format!("a regular expression ({error})"))?;
        Ok(Self { source: source.into(), regex: Arc::new(regex) })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether all of a text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The construct of Java's that cannot be matched in linear time, or is not known here.
fn unsupported(source: &str) -> Option<String> {
    let bytes = source.as_bytes();
    let (mut at, mut class) = (0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => {
                match bytes.get(at + 1) {
                    Some(b'1'..=b'9' | b'k') => return Some("a back-reference".to_owned()),
                    Some(b'p' | b'P') => {
                        return Some(
                            "Unicode classes (\\p): write [A-Za-z] and the like".to_owned(),
                        );
                    }
                    Some(b'Q') => return Some("\\Q: escape each sign with \\".to_owned()),
                    Some(_) | None => {}
                }
                at += 1;
            }
            b'[' => class = true,
            b']' => class = false,
            _ if class && !source[at..].starts_with("&&") => {}
            _ => {
                let found = NOT_HERE.iter().find(|(spelled, _)| source[at..].starts_with(spelled));
                if let Some((spelled, name)) = found.filter(|(s, _)| class || *s != "&&") {
                    return Some(format!("{name} ({spelled})"));
                }
            }
        }
        at += 1;
        while !source.is_char_boundary(at) {
            at += 1;
        }
    }
    None
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}
