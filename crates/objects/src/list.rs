//! Listing objects: prefix, delimiter, pages.

use std::ops::Bound;

use crate::tables::decode;
use crate::types::ObjectRecord;
use crate::{ListQuery, Listing, Objects, ObjectsError};

impl Objects {
    /// `ListObjects` and `ListObjectsV2`, in the order of the bytes of keys.
    ///
    /// # Errors
    /// There is no such bucket.
    pub async fn list_objects(
        &self,
        bucket: &str,
        query: ListQuery,
    ) -> Result<Listing, ObjectsError> {
        let bucket = bucket.to_owned();
        self.read(move |snapshot| {
            snapshot.check_bucket(&bucket)?;
            let mut listing = Listing::default();
            if query.most == 0 {
                return Ok(listing);
            }
            let after = query.after.as_deref().unwrap_or_default();
            let begin = query.prefix.as_str().max(after);
            let range = (Bound::Included((bucket.as_str(), begin)), Bound::Unbounded);
            let mut last = None;
            for entry in snapshot.objects.range::<(&str, &str)>(range)? {
                let (place, record) = entry?;
                let (owner, key) = place.value();
                if owner != bucket || !key.starts_with(&query.prefix) {
                    break;
                }
                let common = common(key, &query.prefix, query.delimiter.as_deref());
                let told = common.unwrap_or(key);
                // Told already, on this page or before it.
                let before = query.after.is_some() && (key <= after || told == after);
                if before || last.as_deref() == Some(told) {
                    continue;
                }
                if listing.objects.len() + listing.prefixes.len() == query.most {
                    listing.next = last;
                    return Ok(listing);
                }
                last = Some(told.to_owned());
                match common {
                    Some(prefix) => listing.prefixes.push(prefix.to_owned()),
                    None => {
                        let record: ObjectRecord = decode(key, record.value())?;
                        listing.objects.push(record.object(key));
                    }
                }
            }
            Ok(listing)
        })
        .await
    }
}

/// What of a key comes before and with the first delimiter after the prefix.
fn common<'k>(key: &'k str, prefix: &str, delimiter: Option<&str>) -> Option<&'k str> {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.strip_prefix(prefix)?;
    let at = rest.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}
