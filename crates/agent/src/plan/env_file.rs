//! Files of environment variables, as the ECS agent reads them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/use-environment-file.html>

/// The variables of a file: a line each, `NAME=value`; the value goes on to the line's end as it is,
/// with its quotes and its blanks. Lines that begin with `#`, that have no `=` or no name are left
/// out. The last of several lines with one name counts.
pub fn parse(text: &str) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            continue;
        };
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some(known) => value.clone_into(&mut known.1),
            None => variables.push((name.to_owned(), value.to_owned())),
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_as_they_are() {
        let text = "# comment\r\nA=1\r\nB=\"x # y\" \nnothing\n=none\n #C=2\nA=3=4\n\nE=";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parse(text),
            [pair("A", "3=4"), pair("B", "\"x # y\" "), pair(" #C", "2"), pair("E", "")]
        );
    }
}
