//! Reads a trace file: its header, an index of its blocks, and how far it is good.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::TraceError;
use crate::trace::error::Damage;
use crate::trace::format::{
    BLOCK_HEAD_BYTES, CRC_BYTES, End, Facts, HEADER_BYTES, Head, Kind, MAGIC, TEXT_BYTES_MAX, VERSION,
    checksum,
};

/// Bytes that are read at once while the index is made.
const READ_BYTES: usize = 1 << 20;

/// Streams of one trace.
pub(crate) const STREAMS_MAX: u32 = 1 << 20;

/// Where a block is, and what its head says.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Where its head begins.
    pub(crate) offset: u64,
    pub(crate) head: Head,
}

/// A trace file whose blocks were all read once and found good, up to the damage if there is one.
#[derive(Debug)]
pub struct TraceFile {
    path: PathBuf,
    file: File,
    len: u64,
    facts: Facts,
    /// Blocks of events in the order of the file.
    blocks: Vec<Place>,
    /// For each stream the places of its blocks in `blocks`.
    streams: Vec<Vec<u32>>,
    end: Option<End>,
    damage: Option<Damage>,
}

impl TraceFile {
    /// Opens a trace and checks every byte of it against its checksum. Damage is no error: see [`TraceFile::damage`].
    ///
    /// # Errors
    ///
    /// [`TraceError`] when the file cannot be read, is no trace, has another version or a damaged header.
    pub fn open(path: &Path) -> Result<TraceFile, TraceError> {
        let failed = |source| TraceError::File { what: "read", path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::with_capacity(READ_BYTES, &file);
        let facts = read_header(&mut reader, path)?;
        let mut index = Index::new((HEADER_BYTES + facts.1 + CRC_BYTES) as u64);
        index.read(&mut reader).map_err(failed)?;
        let Index { blocks, streams, end, damage, .. } = index;
        Ok(TraceFile { path: path.to_owned(), len, facts: facts.0, blocks, streams, end, damage, file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// What the recorder noted at the beginning.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Why the recording ended early, if it did. Nothing too for a file without an end, which [`TraceFile::damage`] tells of.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.end.as_ref()?.facts.find("problem")
    }

    /// Where the file stops being good.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Whether everything that was recorded is there, and the recording came to its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.damage.is_none() && self.problem().is_none()
    }

    /// Operations in the good part.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.blocks.iter().map(|place| u64::from(place.head.operations)).sum()
    }

    /// Time from the begin of the recording to the last event of the good part, in nanoseconds.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.blocks.iter().map(|place| place.head.ended_ns).max().unwrap_or(0)
    }

    pub(crate) fn blocks(&self) -> &[Place] {
        &self.blocks
    }

    pub(crate) fn streams(&self) -> &[Vec<u32>] {
        &self.streams
    }

    /// The events of a block, in `buffer`.
    pub(crate) fn read(&self, block: u32, mut buffer: Vec<u8>) -> Result<Vec<u8>, TraceError> {
        let failed = |source| TraceError::File { what: "read", path: self.path.clone(), source };
        let Place { offset, head } = &self.blocks[block as usize];
        buffer.resize(head.stored_bytes as usize, 0);
        self.file.read_exact_at(&mut buffer, offset + BLOCK_HEAD_BYTES as u64).map_err(failed)?;
        Ok(buffer)
    }

    /// The damage that a garbled event in a block of the index is.
    pub(crate) fn damage_in(&self, block: u32, what: &str) -> Damage {
        let offset = self.blocks[block as usize].offset;
        Damage { offset, block: block.into(), what: format!("its events make no sense: {what}") }
    }
}

/// Answers the facts and the length of their text.
fn read_header(reader: &mut impl Read, path: &Path) -> Result<(Facts, usize), TraceError> {
    let failed = |source| TraceError::File { what: "read", path: path.to_owned(), source };
    let damaged = |what: &str| TraceError::Header { path: path.to_owned(), what: what.to_owned() };
    let mut head = [0; HEADER_BYTES];
    let found = read_up_to(reader, &mut head).map_err(failed)?;
    if found < MAGIC.len() || &head[..8] != MAGIC {
        return Err(TraceError::NoTrace { path: path.to_owned() });
    }
    if found < HEADER_BYTES {
        return Err(damaged("it is cut off"));
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    let text_bytes = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
    // A later version may have another header; only its number is known to stand here.
    if version != VERSION {
        return Err(TraceError::Version { path: path.to_owned(), found: version, wanted: VERSION });
    }
    if text_bytes > TEXT_BYTES_MAX {
        return Err(damaged("its text is too long"));
    }
    let mut text = vec![0; text_bytes + CRC_BYTES];
    if read_up_to(reader, &mut text).map_err(failed)? < text.len() {
        return Err(damaged("it is cut off"));
    }
    let crc = text.split_off(text_bytes);
    if checksum(&head, &text).to_le_bytes() != crc[..] {
        return Err(damaged("the checksum does not match"));
    }
    let text = String::from_utf8(text).map_err(|_| damaged("its text is not UTF-8"))?;
    Ok((Facts::from_text(&text), text_bytes))
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match reader.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

struct Index {
    offset: u64,
    chain: u32,
    blocks: Vec<Place>,
    streams: Vec<Vec<u32>>,
    end: Option<End>,
    damage: Option<Damage>,
}

impl Index {
    fn new(offset: u64) -> Index {
        Index { offset, chain: 0, blocks: Vec::new(), streams: Vec::new(), end: None, damage: None }
    }

    fn read(&mut self, reader: &mut impl Read) -> io::Result<()> {
        let mut stored = Vec::new();
        loop {
            let step = self.step(reader, &mut stored)?;
            match step {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(what) => {
                    self.damage = Some(Damage { offset: self.offset, block: self.blocks.len() as u64, what });
                    return Ok(());
                }
            }
        }
    }

    /// Takes the next block in. Answers whether there may be more, or what is wrong.
    fn step(&mut self, reader: &mut impl Read, stored: &mut Vec<u8>) -> io::Result<Result<bool, String>> {
        let mut bytes = [0; BLOCK_HEAD_BYTES];
        let found = read_up_to(reader, &mut bytes)?;
        if self.end.is_some() {
            let more = "something stands behind the end".to_owned();
            return Ok(if found == 0 { Ok(false) } else { Err(more) });
        }
        if found < BLOCK_HEAD_BYTES {
            let cut = if found == 0 { "the end of the trace is missing" } else { "the file is cut off" };
            return Ok(Err(cut.into()));
        }
        let head = match Head::read(&bytes) {
            Ok(head) => head,
            Err(what) => return Ok(Err(what)),
        };
        stored.resize(head.stored_bytes as usize, 0);
        if read_up_to(reader, stored)? < stored.len() {
            return Ok(Err("the file is cut off".into()));
        }
        if checksum(&bytes[..BLOCK_HEAD_BYTES - CRC_BYTES], stored) != head.crc {
            return Ok(Err("its checksum does not match".into()));
        }
        if head.raw_bytes != head.stored_bytes {
            return Ok(Err("it is packed in an unknown way".into()));
        }
        let taken = match head.kind {
            Kind::Events => self.take(head),
            Kind::End => self.take_end(stored),
        };
        if taken.is_ok() {
            self.offset += (BLOCK_HEAD_BYTES + stored.len()) as u64;
        }
        Ok(taken.map(|()| true))
    }

    fn take(&mut self, head: Head) -> Result<(), String> {
        if head.stream >= STREAMS_MAX {
            return Err(format!("it belongs to stream {}, and {STREAMS_MAX} are the most", head.stream));
        }
        let stream = head.stream as usize;
        if stream >= self.streams.len() {
            self.streams.resize_with(stream + 1, Vec::new);
        }
        let places = &mut self.streams[stream];
        if head.number as usize != places.len() {
            let (number, expected) = (head.number, places.len());
            return Err(format!("it is number {number} of stream {stream}, and {expected} must be next"));
        }
        let before_ns = places.last().map_or(0, |&last| self.blocks[last as usize].head.ended_ns);
        if head.begun_ns < before_ns || head.ended_ns < head.begun_ns {
            return Err(format!("time runs backwards in stream {stream}"));
        }
        places.push(self.blocks.len() as u32);
        self.chain = checksum(&self.chain.to_le_bytes(), &head.crc.to_le_bytes());
        self.blocks.push(Place { offset: self.offset, head });
        Ok(())
    }

    fn take_end(&mut self, text: &[u8]) -> Result<(), String> {
        let end = std::str::from_utf8(text).ok().and_then(End::from_text);
        let end = end.ok_or("the end makes no sense")?;
        if end.blocks != self.blocks.len() as u64 || end.chain != self.chain {
            let found = self.blocks.len();
            return Err(format!("the end counts {} blocks, and there are {found} or others", end.blocks));
        }
        self.end = Some(end);
        Ok(())
    }
}
