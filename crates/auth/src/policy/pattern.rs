//! Patterns with `*` and `?`, and the policy variables in them.

use super::Context;

/// One piece of a pattern, variables replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// `*`: any letters, also none.
    Many,
    /// `?`: any one letter.
    One,
    /// Itself.
    Letter(char),
}

/// Whether `text` matches `pattern`, in which `*` and `?` stand for others.
pub(super) fn like(pattern: &str, text: &str, ignore_case: bool) -> bool {
    matches(&pieces(pattern), text, ignore_case)
}

/// Whether `text` matches `pattern` with its variables replaced by what the context has; what comes
/// from the context stands for itself. A variable that the context does not have matches nothing.
pub(super) fn like_with(pattern: &str, text: &str, context: &Context) -> bool {
    replaced(pattern, context).is_some_and(|pieces| matches(&pieces, text, false))
}

/// The value with its variables replaced, for operators that know no wildcards.
pub(super) fn plain(value: &str, context: &Context) -> Option<String> {
    let letters = replaced(value, context)?.into_iter().map(|piece| match piece {
        Piece::Many => '*',
        Piece::One => '?',
        Piece::Letter(letter) => letter,
    });
    Some(letters.collect())
}

fn piece(letter: char) -> Piece {
    match letter {
        '*' => Piece::Many,
        '?' => Piece::One,
        other => Piece::Letter(other),
    }
}

fn pieces(pattern: &str) -> Vec<Piece> {
    pattern.chars().map(piece).collect()
}

fn replaced(pattern: &str, context: &Context) -> Option<Vec<Piece>> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, inside)) = rest.split_once("${") {
        out.extend(before.chars().map(piece));
        let Some((variable, after)) = inside.split_once('}') else {
            // Not closed: it is no variable.
            out.extend("${".chars().map(piece));
            rest = inside;
            continue;
        };
        out.extend(value(variable, context)?.chars().map(Piece::Letter));
        rest = after;
    }
    out.extend(rest.chars().map(piece));
    Some(out)
}

/// What stands for a variable: `*`, `?` and `$` for themselves, else the context's one value, else
/// the default that is written behind a comma.
fn value(variable: &str, context: &Context) -> Option<String> {
    if matches!(variable, "*" | "?" | "$") {
        return Some(variable.to_owned());
    }
    let (key, default) = match variable.split_once(',') {
        Some((key, default)) => (key.trim(), Some(default.trim().trim_matches('\''))),
        None => (variable.trim(), None),
    };
    match context.get(key) {
        Some([one]) => Some(one.clone()),
        _ => default.map(str::to_owned),
    }
}

/// The usual walk: on a mismatch, the last `*` takes one letter more.
fn matches(pattern: &[Piece], text: &str, ignore_case: bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    let fits = |piece: Piece, letter: char| match piece {
        Piece::Many => false,
        Piece::One => true,
        Piece::Letter(wanted) if ignore_case => wanted.eq_ignore_ascii_case(&letter),
        Piece::Letter(wanted) => wanted == letter,
    };
    let (mut at, mut from) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(from) {
        match pattern.get(at) {
            Some(Piece::Many) => {
                last = Some((at, from));
                at += 1;
            }
            Some(piece) if fits(*piece, *letter) => {
                at += 1;
                from += 1;
            }
            _ => match last {
                Some((star, taken)) => {
                    last = Some((star, taken + 1));
                    at = star + 1;
                    from = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|piece| *piece == Piece::Many)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, letter by letter.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            Some(('?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
            Some((letter, rest)) => text.first() == Some(letter) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn the_walk_is_the_definition(pattern in "[ab*?]{0,8}", text in "[abc]{0,10}") {
            let p: Vec<char> = pattern.chars().collect();
            let t: Vec<char> = text.chars().collect();
            prop_assert_eq!(like(&pattern, &text, false), naive(&p, &t));
            prop_assert_eq!(like(&pattern.to_uppercase(), &text, true), naive(&p, &t));
        }

        #[test]
        fn what_comes_from_the_context_is_no_pattern(value in "[ab*?$]{0,6}", text in "[ab*?$]{0,6}") {
            let context = Context::default().with("aws:username", &value);
            prop_assert_eq!(like_with("${aws:username}", &text, &context), value == text);
        }
    }

    #[test]
    fn variables_stand_for_what_the_context_has() {
        let context = Context::default().with("aws:PrincipalTag/team", "red");
        let says = |pattern: &str, text: &str| like_with(pattern, text, &context);
        assert!(says("arn:aws:s3:::${aws:principaltag/TEAM}/*", "arn:aws:s3:::red/x/y"));
        assert!(!says("${aws:username}", "${aws:username}"), "not known: matches nothing");
        assert!(says("${aws:username, 'nobody'}", "nobody"));
        assert!(says("a${*}b", "a*b") && !says("a${*}b", "axb"));
        assert!(says("a${b", "a${b"), "not closed: letters");
    }
}
