//! Uploads of parts, which become one object when they are completed.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>

use md5::{Digest, Md5};
use redb::ReadableTable;
use shell::OsEntropy;
use stdx::{Entropy, Timestamp};

use crate::checksum::Hasher;
use crate::objects::check_conditions;
use crate::tables::{decode, encode};
use crate::types::{ObjectRecord, PartRecord, Piece, UploadRecord};
use crate::{
    Algorithm, Checksum, ChecksumKind, Code, Conditions, Meta, Object, Objects, ObjectsError,
    Reader, Received, Span, name,
};

/// The highest number of a part.
pub const MOST_PARTS: u32 = 10_000;
/// The least bytes of a part that is not the last.
const LEAST_BYTES: u64 = 5 << 20;

/// An upload that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadInfo {
    /// Its id.
    pub id: String,
    /// The key of the object to be.
    pub key: String,
    /// When it was begun.
    pub begun: Timestamp,
    /// The checksum that it is to have.
    pub algorithm: Option<Algorithm>,
    /// Of what.
    pub kind: Option<ChecksumKind>,
}

/// A part that has been uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// 1 to 10,000.
    pub number: u32,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was uploaded.
    pub modified: Timestamp,
    /// Its checksum.
    pub checksum: Option<Checksum>,
}

/// A part as `CompleteMultipartUpload` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedPart {
    /// 1 to 10,000, ascending.
    pub number: u32,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// Its checksum, in base64, if it was said.
    pub checksum: Option<String>,
}

impl Objects {
    /// `CreateMultipartUpload`: the upload's id.
    ///
    /// # Errors
    /// There is no such bucket, the key is not valid, or the checksum cannot be of that kind.
    pub async fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        meta: Meta,
        algorithm: Option<Algorithm>,
        kind: Option<ChecksumKind>,
    ) -> Result<String, ObjectsError> {
        name::check_key(key)?;
        let kind = algorithm.map(|algorithm| kind.unwrap_or(algorithm.usual_kind()));
        let impossible = matches!(
            (algorithm, kind),
            (Some(Algorithm::Sha1 | Algorithm::Sha256), Some(ChecksumKind::FullObject))
                | (Some(Algorithm::Crc64Nvme), Some(ChecksumKind::Composite))
        );
        if let (true, Some(algorithm), Some(kind)) = (impossible, algorithm, kind) {
            return Err(ObjectsError::refused(
                Code::InvalidRequest,
                format!(
                    "The {} checksum type cannot be used with the {} checksum algorithm.",
                    kind.as_str(),
                    algorithm.as_str()
                ),
            ));
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.write(move |tables, desk| {
            tables.bucket(&bucket)?;
            let id = OsEntropy.hex32();
            let record = UploadRecord { bucket, key, begun: desk.now, meta, algorithm, kind };
            tables.uploads.insert(id.as_str(), encode(&id, &record)?.as_slice())?;
            Ok(id)
        })
        .await
    }

    /// The upload of that id, for that key of that bucket.
    ///
    /// # Errors
    /// There is none.
    pub async fn upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<UploadInfo, ObjectsError> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.read(move |snapshot| {
            snapshot.check_bucket(&bucket)?;
            let record = belongs(snapshot.upload(&id)?, &bucket, &key)?;
            Ok(info(id, record))
        })
        .await
    }

    /// `ListMultipartUploads`, by key.
    ///
    /// # Errors
    /// There is no such bucket.
    pub async fn uploads(&self, bucket: &str) -> Result<Vec<UploadInfo>, ObjectsError> {
        let bucket = bucket.to_owned();
        self.read(move |snapshot| {
            snapshot.check_bucket(&bucket)?;
            let mut found = Vec::new();
            for entry in snapshot.uploads.iter()? {
                let (id, record) = entry?;
                let record: UploadRecord = decode(id.value(), record.value())?;
                if record.bucket == bucket {
                    found.push(info(id.value().to_owned(), record));
                }
            }
            found.sort_by(|a, b| (&a.key, a.begun, &a.id).cmp(&(&b.key, b.begun, &b.id)));
            Ok(found)
        })
        .await
    }

    /// `UploadPart`, of a body that has been received. A part of that number is replaced.
    ///
    /// # Errors
    /// There is no such upload, or the number is not 1 to 10,000.
    pub async fn put_part(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        number: u32,
        received: Received,
    ) -> Result<PartInfo, ObjectsError> {
        if !(1..=MOST_PARTS).contains(&number) {
            return Err(ObjectsError::refused(
                Code::InvalidArgument,
                format!("Part number must be an integer between 1 and {MOST_PARTS}, inclusive"),
            ));
        }
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.write(move |tables, desk| {
            tables.bucket(&bucket)?;
            belongs(tables.upload(&id)?, &bucket, &key)?;
            let part = PartRecord {
                piece: Piece { digest: received.digest.clone(), bytes: received.bytes },
                md5: hex::encode(received.md5),
                modified: desk.now,
                checksum: received.checksums.first().cloned(),
            };
            tables.hold(&part.piece)?;
            let place = (id.as_str(), number);
            let old = tables.parts.insert(place, encode(&id, &part)?.as_slice())?;
            let old = old.map(|old| decode::<PartRecord>(&id, old.value())).transpose()?;
            if let Some(old) = old {
                tables.let_go(&old.piece)?;
            }
            desk.content.adopt(received.temporary.path(), &received.digest)?;
            Ok(part_info(number, part))
        })
        .await
    }

    /// `ListParts`, by number.
    ///
    /// # Errors
    /// There is no such upload.
    pub async fn parts(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<Vec<PartInfo>, ObjectsError> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.read(move |snapshot| {
            belongs(snapshot.upload(&id)?, &bucket, &key)?;
            let parts = snapshot.parts(&id)?;
            Ok(parts.into_iter().map(|(number, part)| part_info(number, part)).collect())
        })
        .await
    }

    /// `AbortMultipartUpload`.
    ///
    /// # Errors
    /// There is no such upload.
    pub async fn abort_upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<(), ObjectsError> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.write(move |tables, _| {
            belongs(tables.upload(&id)?, &bucket, &key)?;
            tables.remove_upload(&id)
        })
        .await
    }

    /// `CompleteMultipartUpload`: the object that the parts make. `expected` is the checksum that
    /// the client computed of the whole, in base64.
    ///
    /// # Errors
    /// There is no such upload, a part is missing, another or too small, they are out of order, a
    /// condition does not hold, or the checksum is another.
    pub async fn complete_upload(
        &self,
        (bucket, key, id): (&str, &str, &str),
        wanted: Vec<CompletedPart>,
        conditions: Conditions,
        expected: Option<String>,
    ) -> Result<Object, ObjectsError> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        let place = (bucket.clone(), key.clone(), id.clone());
        let chosen = self.read(move |snapshot| {
            let upload = belongs(snapshot.upload(&place.2)?, &place.0, &place.1)?;
            let parts = choose(&snapshot.parts(&place.2)?, &wanted)?;
            Ok((upload, parts))
        });
        let (upload, parts) = chosen.await?;
        let checksum = self.checksum(&upload, &parts).await?;
        if let (Some(expected), Some(computed)) = (&expected, &checksum)
            && *expected != computed.value
        {
            return Err(ObjectsError::refused(
                Code::BadDigest,
                format!(
                    "The {} you specified did not match the calculated checksum.",
                    computed.algorithm.as_str()
                ),
            ));
        }
        self.write(move |tables, desk| {
            // What was read may have changed since: then the client has to begin again.
            belongs(tables.upload(&id)?, &bucket, &key)?;
            let now = tables.parts(&id)?;
            let same = |part: &(u32, PartRecord)| {
                now.iter().any(|(number, there)| *number == part.0 && there.md5 == part.1.md5)
            };
            if !parts.iter().all(same) {
                return Err(invalid_part());
            }
            tables.bucket(&bucket)?;
            check_conditions(tables, &bucket, &key, &conditions)?;
            let record = ObjectRecord {
                etag: etag(&parts),
                modified: desk.now,
                meta: upload.meta,
                checksum,
                parts: Some(parts.len()),
                pieces: parts.iter().map(|(_, part)| part.piece.clone()).collect(),
            };
            tables.put_object(&bucket, &key, &record)?;
            tables.remove_upload(&id)?;
            Ok(record.object(&key))
        })
        .await
    }

    /// The checksum of the object that parts make.
    async fn checksum(
        &self,
        upload: &UploadRecord,
        parts: &[(u32, PartRecord)],
    ) -> Result<Option<Checksum>, ObjectsError> {
        let (Some(algorithm), Some(kind)) = (upload.algorithm, upload.kind) else {
            return Ok(None);
        };
        if kind == ChecksumKind::Composite {
            let raw = parts.iter().map(|(_, part)| {
                part.checksum
                    .as_ref()
                    .filter(|checksum| checksum.algorithm == algorithm)
                    .and_then(Checksum::raw)
                    .ok_or_else(|| {
                        ObjectsError::refused(
                            Code::InvalidRequest,
                            format!(
                                "The upload was created using the {} checksum algorithm, and a part \
                                 has no such checksum.",
                                algorithm.as_str()
                            ),
                        )
                    })
            });
            let raw = raw.collect::<Result<Vec<_>, _>>()?;
            return Ok(Some(Checksum::composite(algorithm, &raw)));
        }
        let pieces: Vec<Piece> = parts.iter().map(|(_, part)| part.piece.clone()).collect();
        let length = pieces.iter().map(|piece| piece.bytes).sum();
        let mut reader = Reader::open(self.files(&pieces, Span { first: 0, length })).await?;
        let mut hasher = Hasher::new(algorithm);
        while let Some(piece) = reader.next().await? {
            hasher.update(&piece);
        }
        Ok(Some(Checksum::whole(algorithm, &hasher.finish())))
    }
}

fn belongs(
    upload: Option<UploadRecord>,
    bucket: &str,
    key: &str,
) -> Result<UploadRecord, ObjectsError> {
    upload
        .filter(|upload| upload.bucket == bucket && upload.key == key)
        .ok_or_else(ObjectsError::no_upload)
}

fn info(id: String, record: UploadRecord) -> UploadInfo {
    UploadInfo {
        id,
        key: record.key,
        begun: record.begun,
        algorithm: record.algorithm,
        kind: record.kind,
    }
}

fn part_info(number: u32, part: PartRecord) -> PartInfo {
    PartInfo {
        number,
        etag: part.md5,
        bytes: part.piece.bytes,
        modified: part.modified,
        checksum: part.checksum,
    }
}

fn invalid_part() -> ObjectsError {
    ObjectsError::refused(
        Code::InvalidPart,
        "One or more of the specified parts could not be found. The part may not have been uploaded, \
         or the specified entity tag may not match the part's entity tag.",
    )
}

/// The parts that are wanted, checked against those that are there.
fn choose(
    there: &[(u32, PartRecord)],
    wanted: &[CompletedPart],
) -> Result<Vec<(u32, PartRecord)>, ObjectsError> {
    if wanted.is_empty() {
        return Err(ObjectsError::refused(
            Code::MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published \
             schema: it names no part.",
        ));
    }
    if !wanted.is_sorted_by(|a, b| a.number < b.number) {
        return Err(ObjectsError::refused(
            Code::InvalidPartOrder,
            "The list of parts was not in ascending order. The parts list must be specified in order \
             by part number.",
        ));
    }
    let mut chosen = Vec::with_capacity(wanted.len());
    for (at, part) in wanted.iter().enumerate() {
        let found = there.iter().find(|(number, _)| *number == part.number);
        let (number, record) = found
            .filter(|(_, record)| record.md5 == part.etag)
            .filter(|(_, record)| match (&part.checksum, &record.checksum) {
                (Some(given), Some(stored)) => *given == stored.value,
                (Some(_), None) => false,
                (None, _) => true,
            })
            .ok_or_else(invalid_part)?;
        if record.piece.bytes < LEAST_BYTES && at + 1 < wanted.len() {
            return Err(ObjectsError::refused(
                Code::EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size: every part but the \
                 last has at least 5 MiB.",
            ));
        }
        chosen.push((*number, record.clone()));
    }
    Ok(chosen)
}

/// The MD5 of the parts' MD5, and how many they are.
fn etag(parts: &[(u32, PartRecord)]) -> String {
    let mut md5 = Md5::new();
    for (_, part) in parts {
        md5.update(hex::decode(&part.md5).unwrap_or_default());
    }
    format!("{}-{}", hex::encode(md5.finalize()), parts.len())
}
