//! Tags as requests carry them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html>

use aws::Error;
use aws::ecs::Tag;
use model::Tags;

use crate::errors::invalid;

const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// Reads tags; none is the same as an empty list.
pub(crate) fn read(tags: Option<&Vec<Tag>>) -> Result<Tags, Error> {
    let tags = tags.map(Vec::as_slice).unwrap_or_default();
    if tags.len() > Tags::MOST {
        return Err(invalid(format!(
            "There are {} tags; a resource can have at most {}.",
            tags.len(),
            Tags::MOST
        )));
    }
    let mut read = Tags::default();
    for tag in tags {
        let key = tag.key.as_deref().unwrap_or_default();
        let value = tag.value.as_deref().unwrap_or_default();
        check_key(key)?;
        if value.chars().count() > LONGEST_VALUE {
            return Err(invalid(format!(
                "The value of tag \"{key}\" is longer than {LONGEST_VALUE} characters."
            )));
        }
        if read.0.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(invalid(format!("Duplicate tag keys found: \"{key}\" is given twice.")));
        }
    }
    Ok(read)
}

/// Checks a key that is to be added or removed.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(invalid("A tag key can not be blank."));
    }
    if key.chars().count() > LONGEST_KEY {
        return Err(invalid(format!("A tag key is longer than {LONGEST_KEY} characters.")));
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(invalid(format!(
            "Tag key \"{key}\" begins with \"aws:\", which is reserved for AWS's own tags."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) }
    }

    #[test]
    fn tags_are_read_and_bad_ones_are_refused() {
        assert_eq!(read(None), Ok(Tags::default()));
        let read_tags = read(Some(&vec![tag("b", ""), tag("a", "1")])).unwrap();
        assert_eq!(crate::view::tags(&read_tags), vec![tag("a", "1"), tag("b", "")]);
        for tags in [
            vec![tag("", "x")],
            vec![tag("aws:x", "x")],
            vec![tag("AWS:x", "x")],
            vec![tag(&"k".repeat(129), "x")],
            vec![tag("k", &"v".repeat(257))],
            vec![tag("k", "1"), tag("k", "2")],
            (0..51).map(|n| tag(&n.to_string(), "")).collect(),
        ] {
            assert!(read(Some(&tags)).is_err(), "{tags:?}");
        }
        assert!(read(Some(&vec![tag("käse", "é")])).is_ok());
    }
}
