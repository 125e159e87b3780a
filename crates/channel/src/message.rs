//! The bytes of a message: a header of fixed places, big-endian, and a payload.
//!
//! ```text
//!   0  header length (4): where the payload's length begins
//!   4  message type (32): text, padded with spaces
//!  36  schema version (4)
//!  40  created (8): milliseconds since the epoch
//!  48  sequence number (8)
//!  56  flags (8): SYN, FIN
//!  64  message id (16): a UUID, its second half first
//!  80  payload digest (32): SHA-256
//! 112  payload type (4)
//! 116  payload length (4)
//! 120  payload
//! ```

use sha2::{Digest, Sha256};
use stdx::{Entropy, Timestamp};

/// What the header's first field says: all before the payload's length.
pub const HEADER_LENGTH: usize = 116;
/// Flag: the sequence begins with this message.
pub const SYN: u64 = 1;
/// Flag: the sequence ends with this message.
pub const FIN: u64 = 2;

const SCHEMA_VERSION: u32 = 1;
const TYPE_LENGTH: usize = 32;

/// A message's identity: the 16 bytes of a UUID in their usual order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// A random one (version 4).
    pub fn random(chance: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        let (high, low) = bytes.split_at_mut(8);
        high.copy_from_slice(&chance.next_u64().to_be_bytes());
        low.copy_from_slice(&chance.next_u64().to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = hex::encode(self.0);
        write!(
            f,
            "{}-{}-{}-{}-{}",
            &text[..8],
            &text[8..12],
            &text[12..16],
            &text[16..20],
            &text[20..]
        )
    }
}

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// From the client to the agent.
    InputStreamData,
    /// From the agent to the client.
    OutputStreamData,
    /// A message has arrived.
    Acknowledge,
    /// The session is over.
    ChannelClosed,
    /// The other end is there: send.
    StartPublication,
    /// The other end is away: wait.
    PausePublication,
    /// A type that this build does not know: to be skipped.
    Unrecognized(String),
}

impl MessageType {
    /// As it stands in the header.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InputStreamData => "input_stream_data",
            Self::OutputStreamData => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::ChannelClosed => "channel_closed",
            Self::StartPublication => "start_publication",
            Self::PausePublication => "pause_publication",
            Self::Unrecognized(text) => text,
        }
    }

    fn from_text(text: &str) -> Self {
        match text {
            "input_stream_data" => Self::InputStreamData,
            "output_stream_data" => Self::OutputStreamData,
            "acknowledge" => Self::Acknowledge,
            "channel_closed" => Self::ChannelClosed,
            "start_publication" => Self::StartPublication,
            "pause_publication" => Self::PausePublication,
            other => Self::Unrecognized(other.to_owned()),
        }
    }
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadType {
    /// Bytes of the program's input or output.
    Output,
    /// An error in words.
    Error,
    /// The terminal's size: [`crate::Size`].
    Size,
    /// Parameters of the session.
    Parameter,
    /// [`crate::HandshakeRequest`].
    HandshakeRequest,
    /// [`crate::HandshakeResponse`].
    HandshakeResponse,
    /// [`crate::HandshakeComplete`].
    HandshakeComplete,
    /// A challenge to a client that encrypts.
    EncryptionChallengeRequest,
    /// Its answer.
    EncryptionChallengeResponse,
    /// A flag: four bytes, big-endian; 2 ends the session.
    Flag,
    /// Bytes of the program's error output, where it is kept apart.
    StdErr,
    /// The program's exit status, in decimal digits.
    ExitCode,
    /// One that this build does not know (0 in acknowledgements).
    Other(u32),
}

impl PayloadType {
    /// The number in the header.
    pub const fn number(self) -> u32 {
        match self {
            Self::Output => 1,
            Self::Error => 2,
            Self::Size => 3,
            Self::Parameter => 4,
            Self::HandshakeRequest => 5,
            Self::HandshakeResponse => 6,
            Self::HandshakeComplete => 7,
            Self::EncryptionChallengeRequest => 8,
            Self::EncryptionChallengeResponse => 9,
            Self::Flag => 10,
            Self::StdErr => 11,
            Self::ExitCode => 12,
            Self::Other(number) => number,
        }
    }

    /// The type of a number in the header.
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Output,
            2 => Self::Error,
            3 => Self::Size,
            4 => Self::Parameter,
            5 => Self::HandshakeRequest,
            6 => Self::HandshakeResponse,
            7 => Self::HandshakeComplete,
            8 => Self::EncryptionChallengeRequest,
            9 => Self::EncryptionChallengeResponse,
            10 => Self::Flag,
            11 => Self::StdErr,
            12 => Self::ExitCode,
            other => Self::Other(other),
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub message_type: MessageType,
    /// When it was made.
    pub created: Timestamp,
    /// Its place in its stream, from 0.
    pub sequence: i64,
    /// [`SYN`], [`FIN`].
    pub flags: u64,
    /// Its identity.
    pub id: MessageId,
    /// What its payload is.
    pub payload_type: PayloadType,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It ends within its header.
    #[error("a message has at least {least} bytes, this one has {given}", least = HEADER_LENGTH + 4)]
    Short {
        /// So many bytes came.
        given: usize,
    },
    /// The header's own length points outside the message or into the header.
    #[error("the header says that it is {0} bytes long")]
    HeaderLength(u32),
    /// The payload is longer or shorter than the header says.
    #[error("the payload has {given} bytes, and the header says {told}")]
    PayloadLength {
        /// As the header has it.
        told: u32,
        /// What is there.
        given: usize,
    },
    /// The message's type is no text.
    #[error("the message type is not UTF-8")]
    Type,
    /// The payload is not what its digest says.
    #[error("the payload does not match its SHA-256 digest")]
    Digest,
}

impl Message {
    /// The bytes of a frame. A type of more than 32 bytes is cut.
    pub fn encode(&self) -> Vec<u8> {
        let header = u32::try_from(HEADER_LENGTH).unwrap_or(u32::MAX);
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut name = [b' '; TYPE_LENGTH];
        for (place, byte) in name.iter_mut().zip(self.message_type.as_str().bytes()) {
            *place = byte;
        }
        let (first, second) = self.id.0.split_at(8);
        let mut bytes = Vec::with_capacity(HEADER_LENGTH + 4 + self.payload.len());
        bytes.extend_from_slice(&header.to_be_bytes());
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&SCHEMA_VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.created.as_millis().to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        bytes.extend_from_slice(second);
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(&Sha256::digest(&self.payload));
        bytes.extend_from_slice(&self.payload_type.number().to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Reads a frame. A longer header than ours is taken: what it has more is skipped.
    ///
    /// # Errors
    /// The bytes are no message, or the payload is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let short = || DecodeError::Short { given: bytes.len() };
        let header = u32::from_be_bytes(reader.take().ok_or_else(short)?);
        let name: [u8; TYPE_LENGTH] = reader.take().ok_or_else(short)?;
        let _schema: [u8; 4] = reader.take().ok_or_else(short)?;
        let created = i64::from_be_bytes(reader.take().ok_or_else(short)?);
        let sequence = i64::from_be_bytes(reader.take().ok_or_else(short)?);
        let flags = u64::from_be_bytes(reader.take().ok_or_else(short)?);
        let second: [u8; 8] = reader.take().ok_or_else(short)?;
        let first: [u8; 8] = reader.take().ok_or_else(short)?;
        let digest: [u8; 32] = reader.take().ok_or_else(short)?;
        let payload_type = u32::from_be_bytes(reader.take().ok_or_else(short)?);
        let told = usize::try_from(header).unwrap_or(usize::MAX);
        if told < HEADER_LENGTH {
            return Err(DecodeError::HeaderLength(header));
        }
        let mut rest = Reader(bytes.get(told..).ok_or(DecodeError::HeaderLength(header))?);
        let length = u32::from_be_bytes(rest.take().ok_or(DecodeError::HeaderLength(header))?);
        let payload = rest.0;
        if usize::try_from(length).ok() != Some(payload.len()) {
            return Err(DecodeError::PayloadLength { told: length, given: payload.len() });
        }
        // An empty payload comes with a digest of zeros from some.
        if !payload.is_empty() && Sha256::digest(payload)[..] != digest {
            return Err(DecodeError::Digest);
        }
        let name = std::str::from_utf8(&name).map_err(|_| DecodeError::Type)?;
        let name = name.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&first);
        id[8..].copy_from_slice(&second);
        Ok(Self {
            message_type: MessageType::from_text(name),
            created: Timestamp::from_millis(created),
            sequence,
            flags,
            id: MessageId(id),
            payload_type: PayloadType::from_number(payload_type),
            payload: payload.to_vec(),
        })
    }
}

/// Takes fields from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::SeededEntropy;

    fn sample() -> Message {
        Message {
            message_type: MessageType::InputStreamData,
            created: Timestamp::from_millis(0x0102_0304_0506_0708),
            sequence: 9,
            flags: FIN,
            id: MessageId(std::array::from_fn(|i| u8::try_from(i).unwrap())),
            payload_type: PayloadType::Size,
            payload: b"hi".to_vec(),
        }
    }

    /// Built field by field from the layout, not by the code under test.
    fn golden() -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 116];
        bytes.extend_from_slice(b"input_stream_data               ");
        bytes.extend_from_slice(&[0, 0, 0, 1]);
        bytes.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2]);
        bytes.extend_from_slice(&[8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]);
        // echo -n hi | sha256sum
        let digest = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
        bytes.extend_from_slice(&hex::decode(digest).unwrap());
        bytes.extend_from_slice(&[0, 0, 0, 3]);
        bytes.extend_from_slice(&[0, 0, 0, 2]);
        bytes.extend_from_slice(b"hi");
        bytes
    }

    #[test]
    fn the_bytes_stand_where_the_layout_has_them() {
        assert_eq!(sample().encode(), golden());
        assert_eq!(Message::decode(&golden()).unwrap(), sample());
        assert_eq!(golden().len(), HEADER_LENGTH + 4 + 2);
        assert_eq!(golden()[80], 0x8f);
    }

    #[test]
    fn nulls_pad_a_type_too_and_a_longer_header_is_skipped() {
        let mut bytes = golden();
        bytes[21..36].fill(0);
        assert_eq!(Message::decode(&bytes).unwrap(), sample());
        let mut longer = golden();
        longer[3] = 120;
        longer.splice(HEADER_LENGTH..HEADER_LENGTH, [0xff; 4]);
        assert_eq!(Message::decode(&longer).unwrap(), sample());
    }

    #[test]
    fn damage_is_named() {
        let short = Message::decode(&golden()[..80]);
        assert_eq!(short, Err(DecodeError::Short { given: 80 }));
        let mut bytes = golden();
        *bytes.last_mut().unwrap() = b'o';
        assert_eq!(Message::decode(&bytes), Err(DecodeError::Digest));
        bytes.push(0);
        let told = Err(DecodeError::PayloadLength { told: 2, given: 3 });
        assert_eq!(Message::decode(&bytes), told);
        for header in [0, 115, 119, u32::MAX] {
            let mut bytes = golden();
            bytes[..4].copy_from_slice(&header.to_be_bytes());
            assert!(Message::decode(&bytes).is_err(), "{header}");
        }
    }

    #[test]
    fn ids_are_uuids_in_text() {
        let id = MessageId::random(&mut SeededEntropy::new(3)).to_string();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert_eq!(sample().id.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    #[test]
    fn payload_types_are_read_back() {
        assert!((0..20).all(|n| PayloadType::from_number(n).number() == n));
    }
}
