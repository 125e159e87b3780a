//! Texts with wildcards, made ready for matching.

use crate::{Pattern, Transport};

/// How much of a regular expression is accepted, as ELBv2 does.
const REGEX_LIMIT: usize = 128;

/// A piece of a text with wildcards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Any,
}

/// A text with wildcards, made ready. Matching takes at most the product of both lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    tokens: Vec<Token>,
    fold: bool,
}

impl Glob {
    /// The pattern; `fold` makes case not matter, and with `escapes` a backslash takes the meaning of
    /// the wildcard after it.
    pub(crate) fn new(pattern: &str, fold: bool, escapes: bool) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut bytes = pattern.bytes().peekable();
        while let Some(byte) = bytes.next() {
            tokens.push(match byte {
                b'*' => Token::Any,
                b'?' => Token::One,
                b'\\' if escapes && matches!(bytes.peek(), Some(b'*' | b'?' | b'\\')) => {
                    Token::Byte(bytes.next().unwrap_or(b'\\'))
                }
                byte if fold => Token::Byte(byte.to_ascii_lowercase()),
                byte => Token::Byte(byte),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::Any && *b == Token::Any);
        Self { tokens, fold }
    }

    /// The bytes before the first wildcard, and whether there is none.
    pub(crate) fn literal_prefix(&self) -> (Vec<u8>, bool) {
        let prefix: Vec<u8> = self
            .tokens
            .iter()
            .map_while(|token| match token {
                Token::Byte(byte) => Some(*byte),
                Token::One | Token::Any => None,
            })
            .collect();
        let whole = prefix.len() == self.tokens.len();
        (prefix, whole)
    }

    /// Whether the whole text fits.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let same = |byte: u8, token: Token| match token {
            Token::Byte(wanted) => {
                wanted == if self.fold { byte.to_ascii_lowercase() } else { byte }
            }
            Token::One => true,
            Token::Any => false,
        };
        let (mut at, mut token) = (0, 0);
        // Where to go on when the text after the last `*` does not fit: `*` takes one byte more.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.tokens.get(token) {
                Some(Token::Any) => {
                    retry = Some((token + 1, at));
                    token += 1;
                }
                Some(wanted) if same(text[at], *wanted) => {
                    at += 1;
                    token += 1;
                }
                Some(_) | None => match retry {
                    Some((after, from)) => {
                        token = after;
                        at = from + 1;
                        retry = Some((after, at));
                    }
                    None => return false,
                },
            }
        }
        self.tokens[token..].iter().all(|token| *token == Token::Any)
    }
}

/// A value of a condition, made ready.
#[derive(Clone, Debug)]
pub(crate) enum Matchable {
    Glob(Glob),
    Regex(regex_lite::Regex),
    /// A regular expression that does not compile.
    Never,
}

impl Matchable {
    pub(crate) fn new(pattern: &Pattern, fold: bool, escapes: bool) -> Self {
        match pattern {
            Pattern::Wildcard(text) => Self::Glob(Glob::new(text, fold, escapes)),
            Pattern::Regex(text) => regex(text, fold).map_or(Self::Never, Self::Regex),
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(text),
            Self::Never => false,
        }
    }
}

fn regex(text: &str, fold: bool) -> Result<regex_lite::Regex, regex_lite::Error> {
    regex_lite::RegexBuilder::new(text).case_insensitive(fold).size_limit(1 << 18).build()
}

impl Pattern {
    /// Whether it can be matched at all; the text says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Wildcard(_) => Ok(()),
            Self::Regex(text) if text.len() > REGEX_LIMIT => {
                Err(format!("the regular expression is longer than {REGEX_LIMIT} characters"))
            }
            Self::Regex(text) => regex(text, false).map(drop).map_err(|error| error.to_string()),
        }
    }
}

impl Transport {
    /// How it is called in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_match_as_documented() {
        for (pattern, text, fold, matches) in [
            ("*.example.com", "a.b.Example.com", true, true),
            ("*.example.com", "example.com", true, false),
            ("/img/*", "/img/", false, true),
            ("/img/*", "/IMG/a", false, false),
            ("/img/*/pics", "/img/a/b/pics", false, true),
            ("/?/x", "/a/x", false, true),
            ("/?/x", "//x", false, false),
            ("*", "", false, true),
            ("?", "", false, false),
            ("", "", false, true),
            ("a*b*c", "aXbXbYc", false, true),
            ("a*b*c", "aXbXbY", false, false),
        ] {
            assert_eq!(
                Glob::new(pattern, fold, false).matches(text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
        assert!(Glob::new(r"a\*b", false, true).matches(b"a*b"));
        assert!(!Glob::new(r"a\*b", false, true).matches(b"axb"));
        assert!(Glob::new(r"a\*b", false, false).matches(br"a\xb"));
    }

    #[test]
    fn a_regex_that_does_not_compile_matches_nothing_and_is_told() {
        let wrong = Pattern::Regex("(".to_owned());
        assert!(wrong.check().is_err());
        assert!(!Matchable::new(&wrong, false, false).matches("("));
        assert!(Pattern::Regex("x".repeat(129)).check().is_err());
        let right = Pattern::Regex("^/v[0-9]+/".to_owned());
        assert_eq!(right.check(), Ok(()));
        assert!(Matchable::new(&right, false, false).matches("/v12/x"));
    }

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                naive(&pattern[1..], text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            (Some(b'?'), Some(_)) => naive(&pattern[1..], &text[1..]),
            (Some(a), Some(b)) if a == b => naive(&pattern[1..], &text[1..]),
            (None, Some(_)) | (Some(_), _) => false,
        }
    }

    proptest! {
        #[test]
        fn matching_equals_its_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let glob = Glob::new(&pattern, false, false);
            prop_assert_eq!(glob.matches(text.as_bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
