//! Reading archives: what extension headers may say, and what is malformed.

use tar::{EntryType, Header};

use super::archive::Archive;

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn extended(records: &[u8], data: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_size(records.len() as u64);
    header.set_cksum();
    builder.append(&header, records).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(data.len() as u64);
    header.set_cksum();
    builder.append(&header, data).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn a_binary_attribute_neither_breaks_nor_poses_as_another_record() {
    let evil = b"\n\n17 path=../evil\n".as_slice();
    let records = [
        record("SCHILY.xattr.user.x", evil),
        record("path", "lo\u{e4}ng".as_bytes()),
        record("mtime", b"-1.25"),
        record("uid", b"4000000000"),
    ]
    .concat();
    let bytes = extended(&records, b"hello");
    let mut archive = Archive::new(bytes.as_slice());
    let entry = archive.next().unwrap().unwrap();
    assert_eq!(entry.path, "lo\u{e4}ng".as_bytes());
    assert_eq!(entry.xattrs, [(b"user.x".to_vec(), evil.to_vec())]);
    assert_eq!((entry.mtime, entry.uid), ((-2, 750_000_000), 4_000_000_000));
    let mut data = [0; 9];
    assert_eq!(archive.read_data(&mut data).unwrap(), 5);
    assert_eq!(archive.read_data(&mut data).unwrap(), 0);
    assert!(archive.next().unwrap().is_none());
    archive.finish().unwrap();
}

#[test]
fn long_names_and_links_of_gnu_are_read() {
    let long = "d/".repeat(150) + "end";
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, &long, format!("{long}/x")).unwrap();
    let bytes = builder.into_inner().unwrap();
    let entry = Archive::new(bytes.as_slice()).next().unwrap().unwrap();
    assert_eq!(entry.path, long.as_bytes());
    assert_eq!(entry.link, format!("{long}/x").as_bytes());
}

#[test]
fn malformed_archives_say_why() {
    let good = extended(&record("path", b"x"), b"data");
    let mut sum = good.clone();
    sum[0] ^= 1;
    for (bytes, word) in [
        (sum, "checksum"),
        (good[..700].to_vec(), "to its end"),
        (extended(b"x", b""), "PAX record"),
        (extended(b"999 path=x\n", b""), "PAX record"),
        (extended(b"0 a=b\n", b""), "PAX record"),
        (extended(&record("size", b"x"), b""), "not a number"),
        (extended(&record("mtime", b"1.x"), b""), "time"),
        (extended(&record("GNU.sparse.major", b"1"), b""), "sparse"),
    ] {
        let error = Archive::new(bytes.as_slice()).next().expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let error = Archive::new(header.as_bytes().as_slice()).next().expect_err("huge");
    assert!(error.to_string().contains("extension header"), "{error}");
    assert!(Archive::new(&b""[..]).next().unwrap().is_none());
}
