//! Reading a layer's tar archive from a stream: ustar, GNU and PAX headers (POSIX.1-2008, `pax`).
//!
//! `tar::Header` reads the 512 bytes of a header; the rest is done here and not by `tar::Archive`,
//! because that one splits PAX records at line feeds, which breaks binary attributes and lets the
//! value of one record pose as another, and because the memory for extension headers must be
//! bounded. Where readers differ, this one does as Go's, with which images are made and which
//! other engines use.

use std::io::{self, Read};

use tar::{EntryType, Header};

/// The size of a header, and of the units in which data is padded.
const BLOCK: u64 = 512;

/// The most bytes of an extension header (long name, PAX records with extended attributes).
const MAX_EXTENSION: u64 = 1 << 20;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The stream below failed or ended too early.
    #[error("the layer's archive could not be read to its end")]
    Read(#[source] io::Error),
    /// The bytes are no archive, or one with parts that are not supported.
    #[error("the layer's archive is malformed: {0}")]
    Malformed(String),
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file; its data can be read next.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of an earlier file.
    Hardlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

/// One entry, as the archive has it: nothing of it is trusted yet.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its name.
    pub path: Vec<u8>,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Bytes of data that follow.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Modification time: seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Device numbers.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What extension headers say of the entry that follows them.
#[derive(Default)]
struct Extensions {
    /// There was one: an entry must follow.
    seen: bool,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    linkpath: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An archive that is read from front to back.
pub(crate) struct Archive<R> {
    reader: R,
    /// Data of the current entry that has not been read.
    data: u64,
    /// Padding after that data.
    padding: u64,
}

impl<R: Read> Archive<R> {
    /// An archive from its first byte.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, data: 0, padding: 0 }
    }

    /// The next entry, or none at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return if extensions.seen { Err(cut_off()) } else { Ok(None) };
            };
            let size = size(&header)?;
            extensions.seen = true;
            match header.entry_type() {
                EntryType::GNULongName => extensions.long_name = Some(self.extension_name(size)?),
                EntryType::GNULongLink => extensions.long_link = Some(self.extension_name(size)?),
                EntryType::XHeader => extensions.records(&self.extension(size)?)?,
                // Defaults for the whole archive; Go's reader, and so every other engine, ignores them.
                EntryType::XGlobalHeader => drop(self.extension(size)?),
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    /// Reads on in the current entry's data; 0 at its end.
    pub(crate) fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let most = usize::try_from(self.data).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(cut_off());
        }
        self.data -= read as u64;
        Ok(read)
    }

    /// Reads what follows the end of the archive, so that all of the stream has been seen.
    pub(crate) fn finish(mut self) -> Result<(), ArchiveError> {
        io::copy(&mut self.reader, &mut io::sink())?;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), ArchiveError> {
        let left = self.data.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.reader).take(left), &mut io::sink())?;
        (self.data, self.padding) = (0, 0);
        // Some writers leave out the padding at the very end.
        if skipped < left && left - skipped >= BLOCK {
            return Err(cut_off());
        }
        Ok(())
    }

    fn expect(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    /// The next header; none at the end: a block of zeroes or the stream's end.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < block.len() {
            match self.reader.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(cut_off()),
                read => filled += read,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum counts its own eight bytes as blanks.
        let sum =
            block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>()
                + 8 * 32;
        if header.cksum().ok() != Some(sum) {
            return Err(malformed("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > MAX_EXTENSION {
            return Err(malformed(&format!(
                "an extension header has {size} bytes; at most {MAX_EXTENSION} are read"
            )));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(size).read_to_end(&mut bytes)?;
        self.data = 0;
        if (read as u64) < size {
            return Err(cut_off());
        }
        Ok(bytes)
    }

    fn extension_name(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut name = self.extension(size)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry, ArchiveError> {
        let path = extensions
            .long_name
            .or(extensions.path)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extensions.long_link.or(extensions.linkpath).unwrap_or_else(|| {
            header.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default()
        });
        let kind = kind(header, &path)?;
        // Whatever their size says, no data follows links, devices and folders; but in old archives
        // folders are files.
        let is_regular = matches!(header.entry_type(), EntryType::Regular | EntryType::Continuous);
        let data = if is_regular { extensions.size.map_or_else(|| size(header), Ok)? } else { 0 };
        let size = if kind == Kind::File { data } else { 0 };
        let device = match kind {
            Kind::Character | Kind::Block => {
                let part = |value: io::Result<Option<u32>>| {
                    value
                        .map(Option::unwrap_or_default)
                        .map_err(|_| malformed("a device number is no number"))
                };
                (part(header.device_major())?, part(header.device_minor())?)
            }
            _ => (0, 0),
        };
        self.expect(data);
        let fields = header.as_old();
        let mode = number(header.mode().map(u64::from), &fields.mode, "mode")? & 0o7777;
        let mode = u32::try_from(mode).expect("twelve bits fit");
        Ok(Entry {
            link,
            kind,
            size,
            mode,
            uid: extensions.uid.map_or_else(|| number(header.uid(), &fields.uid, "owner"), Ok)?,
            gid: extensions.gid.map_or_else(|| number(header.gid(), &fields.gid, "group"), Ok)?,
            mtime: match extensions.mtime {
                Some(mtime) => mtime,
                None => {
                    (i64::try_from(number(header.mtime(), &fields.mtime, "time")?).unwrap_or(0), 0)
                }
            },
            device,
            xattrs: extensions.xattrs,
            path,
        })
    }
}

impl Extensions {
    /// Takes in PAX records: `length key=value\n`, where the length counts the whole record.
    fn records(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        let bad = || malformed("a PAX record is not of the form \"length key=value\"");
        while !bytes.is_empty() {
            let blank = bytes.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length =
                decimal(&bytes[..blank]).and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)?;
            if length <= blank + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
                return Err(bad());
            }
            let record = &bytes[blank + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            self.record(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        let number = || {
            decimal(value).ok_or_else(|| {
                malformed(&format!(
                    "the PAX record \"{}\" is not a number",
                    String::from_utf8_lossy(key)
                ))
            })
        };
        let text = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.linkpath = text(),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => {
                self.mtime = Some(instant(value).ok_or_else(|| malformed("a PAX time is no time"))?)
            }
            _ if key.starts_with(b"GNU.sparse.") => return Err(sparse()),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn size(header: &Header) -> Result<u64, ArchiveError> {
    header.entry_size().map_err(|_| malformed("a size is not a number"))
}

/// A number of a header; one that was left blank is zero.
fn number(value: io::Result<u64>, field: &[u8], what: &str) -> Result<u64, ArchiveError> {
    let blank = field.iter().all(|byte| matches!(byte, 0 | b' '));
    match value {
        Err(_) if !blank => Err(malformed(&format!("the {what} of an entry is not a number"))),
        other => Ok(other.unwrap_or_default()),
    }
}

fn kind(header: &Header, path: &[u8]) -> Result<Kind, ArchiveError> {
    // Before there were types (the 157th byte), folders were files whose names end in a slash.
    let untyped = header.as_bytes()[156] == 0;
    Ok(match header.entry_type() {
        EntryType::Regular if untyped && path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::Hardlink,
        EntryType::Char => Kind::Character,
        EntryType::Block => Kind::Block,
        EntryType::Fifo => Kind::Fifo,
        EntryType::GNUSparse => return Err(sparse()),
        other => {
            return Err(malformed(&format!(
                "\"{}\" has the unknown type {:?}",
                String::from_utf8_lossy(path),
                char::from(other.as_byte())
            )));
        }
    })
}

fn cut_off() -> ArchiveError {
    ArchiveError::Read(io::ErrorKind::UnexpectedEof.into())
}

fn sparse() -> ArchiveError {
    malformed("sparse files are not supported; build the layer without tar's --sparse")
}

fn malformed(why: &str) -> ArchiveError {
    ArchiveError::Malformed(why.to_owned())
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.iter().all(u8::is_ascii_digit) {
        std::str::from_utf8(digits).ok()?.parse().ok()
    } else {
        None
    }
}

/// `-12.345` as whole seconds, rounded down, and nanoseconds.
fn instant(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}
