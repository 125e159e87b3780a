//! Entries of a log as a message of the forward protocol (mode Forward), with the fields of Docker's
//! log driver `fluentd`.

use rmp::encode::{ValueWriteError, write_array_len, write_ext_meta, write_map_len, write_str};
use runtime::log::{LogEntry, Stream};

/// The extension type of an instant with nanoseconds.
const EVENT_TIME: i8 = 0;

/// What is told of the container with each line.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) tag: String,
    pub(super) id: String,
    pub(super) name: String,
    /// Further fields.
    pub(super) fields: Vec<(String, String)>,
}

/// Where the pieces of long lines stand, for each stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    output: Option<Piece>,
    error: Option<Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// The instant of the first one, which names the line.
    line: u64,
    next: u64,
}

/// One message with all of these entries.
pub(super) fn message(
    subject: &Subject,
    pieces: &mut Pieces,
    entries: &[LogEntry],
) -> Result<Vec<u8>, ValueWriteError> {
    let mut to = Vec::with_capacity(entries.iter().map(|entry| entry.bytes.len() + 160).sum());
    write_array_len(&mut to, 2)?;
    write_str(&mut to, &subject.tag)?;
    write_array_len(&mut to, u32::try_from(entries.len()).unwrap_or(u32::MAX))?;
    for entry in entries {
        write_array_len(&mut to, 2)?;
        instant(&mut to, entry.at_nanos)?;
        record(&mut to, subject, pieces, entry)?;
    }
    Ok(to)
}

/// Seconds and nanoseconds, 32 bits each.
fn instant(to: &mut Vec<u8>, nanos: u64) -> Result<(), ValueWriteError> {
    write_ext_meta(to, 8, EVENT_TIME)?;
    let part = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    to.extend(part(nanos / 1_000_000_000));
    to.extend(part(nanos % 1_000_000_000));
    Ok(())
}

fn record(
    to: &mut Vec<u8>,
    subject: &Subject,
    pieces: &mut Pieces,
    entry: &LogEntry,
) -> Result<(), ValueWriteError> {
    let (source, place) = match entry.stream {
        Stream::Output => ("stdout", &mut pieces.output),
        Stream::Error => ("stderr", &mut pieces.error),
    };
    // Of a line that was cut, Docker tells which piece of which line each one is.
    let piece = match (place.take(), entry.partial) {
        (None, false) => None,
        (before, goes_on) => {
            let piece = before.unwrap_or(Piece { line: entry.at_nanos, next: 1 });
            *place = goes_on.then_some(Piece { next: piece.next + 1, ..piece });
            Some(piece)
        }
    };
    let text = String::from_utf8_lossy(&entry.bytes);
    let mut fields = vec![
        ("container_id", subject.id.clone()),
        ("container_name", subject.name.clone()),
        ("source", source.to_owned()),
        ("log", text.into_owned()),
    ];
    fields.extend(subject.fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
    if let Some(piece) = piece {
        fields.push(("partial_message", "true".to_owned()));
        fields.push(("partial_id", format!("{}-{source}-{:016x}", subject.id, piece.line)));
        fields.push(("partial_ordinal", piece.next.to_string()));
        fields.push(("partial_last", (!entry.partial).to_string()));
    }
    write_map_len(to, u32::try_from(fields.len()).unwrap_or(u32::MAX))?;
    for (name, value) in &fields {
        write_str(to, name)?;
        write_str(to, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stream: Stream, text: &str, partial: bool) -> LogEntry {
        LogEntry {
            at_nanos: 1_700_000_000_000_000_007,
            stream,
            bytes: text.as_bytes().to_vec(),
            partial,
        }
    }

    fn subject() -> Subject {
        Subject {
            tag: "web-firelens-t".into(),
            id: "t-0".into(),
            name: "/web".into(),
            fields: vec![],
        }
    }

    /// `name=value` of a record's map of short strings.
    fn texts(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn a_message_is_a_tag_and_records_with_instants() {
        let entries = [entry(Stream::Output, "hello", false), entry(Stream::Error, "oh", false)];
        let bytes = message(&subject(), &mut Pieces::default(), &entries).unwrap();
        // [tag, [[EventTime, …
        let mut head = vec![0x92, 0xa0 | 14];
        head.extend(b"web-firelens-t");
        head.extend([0x92, 0x92, 0xd7, 0x00]);
        head.extend(1_700_000_000_u32.to_be_bytes());
        head.extend(7_u32.to_be_bytes());
        head.push(0x84);
        assert_eq!(bytes[..head.len()], head);
        let text = texts(&bytes);
        for word in
            ["container_id\u{fffd}t-0", "source\u{fffd}stdout", "log\u{fffd}hello", "stderr"]
        {
            assert!(text.contains(word), "{word} in {text:?}");
        }
        assert!(!text.contains("partial"), "{text:?}");
    }

    #[test]
    fn pieces_of_a_long_line_are_numbered_by_stream() {
        let mut pieces = Pieces::default();
        let mut said =
            |entry: LogEntry| texts(&message(&subject(), &mut pieces, &[entry]).unwrap());
        assert!(said(entry(Stream::Output, "a", true)).contains("partial_ordinal\u{fffd}1"));
        assert!(!said(entry(Stream::Error, "whole", false)).contains("partial"));
        let last = said(entry(Stream::Output, "b", false));
        assert!(last.contains("partial_ordinal\u{fffd}2"), "{last:?}");
        assert!(last.contains("partial_last\u{fffd}true"), "{last:?}");
        assert!(!said(entry(Stream::Output, "c", false)).contains("partial"));
    }
}
