//! Patterns of the models: Java's regular expressions, matched in whole.

use std::sync::OnceLock;

use regex_lite::Regex;

/// A pattern, compiled when first used.
#[derive(Debug)]
pub struct Pattern {
    source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(crate) const fn new(source: &'static str) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// The pattern as the model has it.
    pub const fn source(&self) -> &'static str {
        self.source
    }

    /// Whether `text` matches in whole. A pattern that cannot be compiled matches everything (a test
    /// holds that there is none).
    pub(crate) fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(self.source));
        compiled.as_ref().is_none_or(|regex| {
            if self.unicode() { regex.is_match(&ascii_classes(text)) } else { regex.is_match(text) }
        })
    }

    /// Whether the pattern speaks of Unicode's classes.
    fn unicode(&self) -> bool {
        self.source.contains(r"\p{L}")
    }

    #[cfg(test)]
    pub(crate) fn compiles(&self) -> bool {
        compile(self.source).is_some()
    }
}

/// Patterns that look ahead, which `regex-lite` does not, and what says the same without.
const LOOKING_AHEAD: &[(&str, &str)] = &[
    (
        r"(\*\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])",
        r"(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]",
    ),
    (
        r"(?!((^[ ]+.*)|(.*([\u0000-\u001f]|[\u007f-\u009f]|[:/|])+.*)|(.*[ ]+$))).+",
        r"[^ \x00-\x1f\x7f-\x9f:/|]([^\x00-\x1f\x7f-\x9f:/|]*[^ \x00-\x1f\x7f-\x9f:/|])?",
    ),
    (r"^(?!\s*$).+", r".*\S.*"),
];

/// Spellings of Java's that `regex-lite` has not, and its own for them.
const SPELLINGS: &[(&str, &str)] = &[
    (r"\p{L}", "a-zA-Z"),
    (r"\p{N}", "0-9"),
    (r"\p{Z}", " "),
    (r"\p{Print}", "[ -~]"),
    (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U{10000}-\U{10FFFF}"),
];

/// Compiles a pattern. `regex-lite` has no Unicode classes, so `\p{L}`, `\p{N}` and `\p{Z}` become
/// their ASCII kernels and [`ascii_classes`] maps the text alike.
fn compile(source: &str) -> Option<Regex> {
    let found = LOOKING_AHEAD.iter().find(|(ahead, _)| *ahead == source);
    let source = found.map_or(source, |(_, without)| without);
    let source =
        SPELLINGS.iter().fold(source.to_owned(), |source, (java, ours)| source.replace(java, ours));
    Regex::new(&format!(r"\A(?s:{source})\z")).ok()
}

/// The text with each letter, number and space outside ASCII replaced by one inside.
fn ascii_classes(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            letter if letter.is_ascii() => letter,
            letter if letter.is_alphabetic() => 'a',
            letter if letter.is_numeric() => '0',
            letter if letter.is_whitespace() && !letter.is_control() => ' ',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let digits = Pattern::new("[0-9]{3}");
        assert!(digits.matches("123"));
        assert!(!digits.matches("1234"));
        assert!(!digits.matches("123\n"));
    }

    #[test]
    fn unicode_classes_are_understood() {
        let tag = Pattern::new(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)");
        for (text, fits) in
            [("größe 七 ٣", true), ("a/b=c", true), ("a;b", false), ("💥", false), ("", true)]
        {
            assert_eq!(tag.matches(text), fits, "{text}");
        }
    }

    #[test]
    fn names_are_held_to_what_java_looks_ahead_for() {
        let domain = Pattern::new(LOOKING_AHEAD[0].0);
        for (text, fits) in [
            ("example.com", true),
            ("*.a.example.com", true),
            ("a.co", true),
            ("a.c", false),
            ("-a.example.com", false),
            ("a-.example.com", false),
            ("a.-example.com", false),
            ("example", false),
            ("a b.com", false),
        ] {
            assert_eq!(domain.matches(text), fits, "{text}");
        }
        let action = Pattern::new(LOOKING_AHEAD[1].0);
        for (text, fits) in [
            ("every morning", true),
            ("a", true),
            (" a", false),
            ("a ", false),
            ("a:b", false),
            ("a|b", false),
            ("a\nb", false),
            ("", false),
        ] {
            assert_eq!(action.matches(text), fits, "{text:?}");
        }
    }

    #[test]
    fn what_may_not_be_blank_has_something_that_is_seen() {
        let seen = Pattern::new(LOOKING_AHEAD[2].0);
        for (text, fits) in [("a", true), (" a ", true), ("\n.", true), ("", false), (" \t", false)]
        {
            assert_eq!(seen.matches(text), fits, "{text:?}");
        }
    }

    #[test]
    fn alternatives_are_kept_together() {
        let either = Pattern::new("a|b");
        assert!(either.matches("a") && either.matches("b") && !either.matches("ab"));
    }
}
