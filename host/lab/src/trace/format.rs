//! The frame of a trace file: header, blocks, end. `docs/trace-format.md` has the tables.
//!
//! ```text
//!  header   "GCTRACE\n" | version | text with one `key value` per line | CRC
//!  block    "BLCK" | kind | stream, number | times | counts | lengths | CRC | events
//!  …
//!  block    kind 1, the end: how many blocks there were, a CRC of their CRCs, and why the recording ended
//! ```
//!
//! 1. Every byte is under a checksum, and the end counts what is before it. So a file that is called complete is what was written.
//! 2. A block can be told good or bad without what follows it, and its events can be read with what precedes it. So a file is good up to
//!    the first damage.
//!
//! CRC-32 finds accidents. It does not protect against forgery.

use gc_heap::tape::{self, BLOCK_BYTES_MAX};

/// The version that is written, and the only one that is read.
pub const VERSION: u16 = 2;

pub(crate) const MAGIC: &[u8; 8] = b"GCTRACE\n";
const BLOCK_MAGIC: &[u8; 4] = b"BLCK";

/// Before the text of a header: magic, version, two bytes of zero, length of the text.
pub(crate) const HEADER_BYTES: usize = 16;
/// Longest text of a header or an end.
pub(crate) const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Length of the head of a block.
pub(crate) const BLOCK_HEAD_BYTES: usize = 52;

pub(crate) const CRC_BYTES: usize = 4;

/// What a block holds.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Events,
    End,
}

/// The head of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) stream: u32,
    pub(crate) number: u32,
    pub(crate) begun_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) events: u32,
    pub(crate) operations: u32,
    /// Bytes of events.
    pub(crate) raw_bytes: u32,
    /// Bytes that they take in the file.
    pub(crate) stored_bytes: u32,
    pub(crate) crc: u32,
}

impl Head {
    pub(crate) fn of(block: &tape::Block) -> Head {
        Head {
            kind: Kind::Events,
            stream: block.stream,
            number: block.number,
            begun_ns: block.begun_ns,
            ended_ns: block.ended_ns,
            events: block.events,
            operations: block.operations,
            raw_bytes: block.bytes.len() as u32,
            stored_bytes: block.bytes.len() as u32,
            crc: 0,
        }
    }

    /// The head of the end, whose text is so long.
    pub(crate) fn end(text_bytes: usize, at_ns: u64) -> Head {
        Head {
            kind: Kind::End,
            stream: 0,
            number: 0,
            begun_ns: at_ns,
            ended_ns: at_ns,
            events: 0,
            operations: 0,
            raw_bytes: text_bytes as u32,
            stored_bytes: text_bytes as u32,
            crc: 0,
        }
    }

    /// The head as bytes, with the checksum of itself and of what is stored behind it.
    pub(crate) fn seal(&mut self, stored: &[u8]) -> [u8; BLOCK_HEAD_BYTES] {
        let mut bytes = [0; BLOCK_HEAD_BYTES];
        bytes[..4].copy_from_slice(BLOCK_MAGIC);
        bytes[4] = match self.kind {
            Kind::Events => 0,
            Kind::End => 1,
        };
        bytes[8..12].copy_from_slice(&self.stream.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.begun_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.ended_ns.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.events.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.operations.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.stored_bytes.to_le_bytes());
        self.crc = checksum(&bytes[..BLOCK_HEAD_BYTES - CRC_BYTES], stored);
        bytes[BLOCK_HEAD_BYTES - CRC_BYTES..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// Reads a head. What is wrong is a sentence for people. The checksum is not checked: that takes what is stored.
    pub(crate) fn read(bytes: &[u8; BLOCK_HEAD_BYTES]) -> Result<Head, String> {
        if &bytes[..4] != BLOCK_MAGIC {
            return Err("no block begins here".into());
        }
        let kind = match bytes[4] {
            0 => Kind::Events,
            1 => Kind::End,
            other => return Err(format!("a block of the unknown kind {other}")),
        };
        // Room for packed blocks.
        if bytes[5..8] != [0; 3] {
            return Err("a block of an unknown packing".into());
        }
        let head = Head {
            kind,
            stream: word(bytes, 8),
            number: word(bytes, 12),
            begun_ns: long(bytes, 16),
            ended_ns: long(bytes, 24),
            events: word(bytes, 32),
            operations: word(bytes, 36),
            raw_bytes: word(bytes, 40),
            stored_bytes: word(bytes, 44),
            crc: word(bytes, 48),
        };
        let longest = if kind == Kind::End { TEXT_BYTES_MAX } else { BLOCK_BYTES_MAX };
        if head.raw_bytes as usize > longest || head.stored_bytes as usize > longest {
            return Err(format!("a block of {} bytes, and {longest} is the most", head.raw_bytes));
        }
        Ok(head)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

/// CRC-32 of two pieces, one behind the other.
pub(crate) fn checksum(first: &[u8], second: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(first);
    crc.update(second);
    crc.finalize()
}

/// What is known of a recording, as `key value` lines. Keys have no spaces, values no line breaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(Vec<(String, String)>);

impl Facts {
    /// Adds a fact. Spaces in the key and line breaks in the value become underscores and spaces.
    pub fn add(&mut self, key: &str, value: impl std::fmt::Display) {
        let value = value.to_string().replace(['\n', '\r'], " ");
        self.0.push((key.replace(char::is_whitespace, "_"), value));
    }

    /// The value of the first fact with this key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    /// A fact that is a number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.find(key)?.parse().ok()
    }

    /// All facts in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As text, cut at the line that would make it too long.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            if text.len() + key.len() + value.len() + 2 > TEXT_BYTES_MAX {
                break;
            }
            text.push_str(key);
            text.push(' ');
            text.push_str(value);
            text.push('\n');
        }
        text
    }

    pub(crate) fn from_text(text: &str) -> Facts {
        let split = |line: &str| {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            (key.to_owned(), value.to_owned())
        };
        Facts(text.lines().map(split).collect())
    }
}

/// The header of a file with these facts.
pub(crate) fn header(facts: &Facts) -> Vec<u8> {
    let text = facts.to_text();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + text.len() + CRC_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    let crc = checksum(&bytes, &[]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// What the end of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) blocks: u64,
    /// A running CRC-32 of the checksums of all blocks.
    pub(crate) chain: u32,
    pub(crate) facts: Facts,
}

impl End {
    pub(crate) fn to_text(&self) -> String {
        let mut facts = Facts::default();
        facts.add("blocks", self.blocks);
        facts.add("chain", self.chain);
        facts.0.extend(self.facts.0.iter().cloned());
        facts.to_text()
    }

    pub(crate) fn from_text(text: &str) -> Option<End> {
        let mut facts = Facts::from_text(text);
        let blocks = facts.number("blocks")?;
        let chain = facts.number("chain")?.try_into().ok()?;
        facts.0.retain(|(key, _)| key != "blocks" && key != "chain");
        Some(End { blocks, chain, facts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let mut head = Head {
            stream: 7,
            number: 9,
            begun_ns: 1 << 40,
            ended_ns: (1 << 40) + 5,
            events: 3,
            operations: 2,
            ..Head::end(5, 0)
        };
        let bytes = head.seal(b"abcde");
        assert_eq!(Head::read(&bytes), Ok(head.clone()));
        assert_eq!(checksum(&bytes[..48], b"abcde"), head.crc);
        for (at, wrong) in [(0, "no block"), (4, "kind 9"), (5, "packing")] {
            let mut bytes = bytes;
            bytes[at] = 9;
            assert!(Head::read(&bytes).unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn facts_survive_text() {
        let mut facts = Facts::default();
        facts.add("load", "git-history:a b?keep=3");
        facts.add("a key", "two\nlines");
        facts.add("empty", "");
        let read = Facts::from_text(&facts.to_text());
        assert_eq!(read, facts);
        assert_eq!(
            (read.find("a_key"), read.find("load")),
            (Some("two lines"), Some("git-history:a b?keep=3"))
        );
    }
}
