//! Texts with `*` in them, which stands for any number of any characters. `\*` is a star.

/// The parts between the stars: one part means that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard(Vec<String>);

impl Wildcard {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut chars = text.chars();
        let mut after_star = false;
        while let Some(c) = chars.next() {
            let plain = match c {
                '*' if after_star => {
                    return Err("Consecutive wildcard characters at pos ".to_owned()
                        + &(text.len() - chars.as_str().len() - 2).to_string());
                }
                '*' => {
                    parts.push(String::new());
                    after_star = true;
                    continue;
                }
                '\\' => match chars.next() {
                    Some(c @ ('*' | '\\')) => c,
                    _ => {
                        return Err("Invalid escape character at pos ".to_owned()
                            + &(text.len() - chars.as_str().len() - 1).to_string());
                    }
                },
                c => c,
            };
            after_star = false;
            if let Some(last) = parts.last_mut() {
                last.push(plain);
            }
        }
        Ok(Self(parts))
    }

    /// Whether a text is of this form. Each part is taken as early as it comes, which is enough.
    pub(super) fn fits(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(mut left) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some(at) = left.find(part.as_str()) else { return false };
            left = left.get(at + part.len()..).unwrap_or_default();
        }
        left.ends_with(last.as_str())
    }
}
