//! XML out and in.

use quick_xml::escape::escape;
use serde::de::DeserializeOwned;

use objects::Code;

use super::error::S3Error;
use super::refused;

/// The namespace of S3's answers.
pub(super) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Writes elements.
#[derive(Debug, Default)]
pub(super) struct Writer(String);

impl Writer {
    /// A document with one element.
    pub(super) fn document(
        root: &str,
        namespace: Option<&str>,
        inside: impl FnOnce(&mut Self),
    ) -> String {
        let mut writer = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        match namespace {
            Some(namespace) => writer.0.push_str(&format!("<{root} xmlns=\"{namespace}\">")),
            None => writer.0.push_str(&format!("<{root}>")),
        }
        inside(&mut writer);
        writer.0.push_str(&format!("</{root}>"));
        writer.0
    }

    /// An element with text.
    pub(super) fn leaf(&mut self, name: &str, text: &str) {
        // What XML has no character for is told as a replacement; `encoding-type=url` avoids it.
        let text: String = text
            .chars()
            .map(|c| if c < ' ' && !matches!(c, '\t' | '\n' | '\r') { '\u{fffd}' } else { c })
            .collect();
        self.0.push_str(&format!("<{name}>{}</{name}>", escape(text.as_str())));
    }

    /// The same, if there is any.
    pub(super) fn maybe(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    /// An element with elements.
    pub(super) fn node(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name}>"));
        inside(self);
        self.0.push_str(&format!("</{name}>"));
    }
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, S3Error> {
    let malformed = |why: &str| {
        refused(
            Code::MalformedXML,
            format!(
                "The XML you provided was not well-formed or did not validate against our published \
                 schema: {why}"
            ),
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
    quick_xml::de::from_str(text).map_err(|error| malformed(&error.to_string()))
}
