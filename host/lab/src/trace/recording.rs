//! Writes a trace: a bounded queue of blocks, and the thread that takes them to the disk.
//!
//! ```text
//!  mutators ──take()──▶ queue, at most 64 blocks ──▶ thread ──▶ file
//!                          ▲                            │
//!                          └── empty buffers ───────────┘
//! ```
//!
//! When the queue is full a mutator waits for the disk, at most [`WAIT_MAX`] at a time; that is a hold-up like any other, and the report has their sum. If
//! there is no room then either, or the disk refuses a block, the recording ends, with a reason, for all mutators at once: a trace
//! with a gap would be no trace. Mutators go on. What was written by then is a good trace, and its end says why it ended.
//!
//! What stands in the file goes when the first block comes, not before: whoever starts a recording may fail before anything is done, and then
//! leaves an old trace as it was.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gc_heap::tape::{Block, Sink, Tape};

use crate::error::TraceError;
use crate::trace::format::{End, Facts, Head, checksum, header};

/// Blocks that wait for the disk: 4 MiB, a tenth of a second of the busiest mutators.
pub const QUEUE_BLOCKS: usize = 64;

/// How long a mutator waits for room in the queue.
pub const WAIT_MAX: Duration = Duration::from_millis(100);

/// Buffers that are kept for later.
const SPARE_BUFFERS: usize = 16;

/// What a recording came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingReport {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Blocks written.
    pub blocks: u64,
    /// Operations written.
    pub operations: u64,
    /// How long mutators waited for the disk, all together.
    pub waited: Duration,
    /// Why it ended early, if it did.
    pub problem: Option<String>,
}

/// A trace that is being written. Dropping it ends it; if nothing was recorded by then, the file is as it was before.
pub struct Recording {
    path: PathBuf,
    /// Whether the file was made for this recording.
    made: bool,
    queue: Arc<Queue>,
    tape: Tape,
    writer: Option<JoinHandle<Written>>,
}

/// What the thread leaves behind.
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) blocks: u64,
    pub(crate) operations: u64,
    /// Whether the end is there too.
    pub(crate) ended: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// A block came, or the end.
    filled: Condvar,
    /// A block went, or the recording is over.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    blocks: VecDeque<Block>,
    spare: Vec<Vec<u8>>,
    /// No block is taken any more.
    over: bool,
    /// A trace is wanted, be there blocks or not.
    wanted: bool,
    problem: Option<String>,
    waited: Duration,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, problem: Option<String>) {
        let mut state = self.lock();
        state.over = true;
        if state.problem.is_none() {
            state.problem = problem;
        }
        drop(state);
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    fn next(&self) -> Option<Block> {
        let mut state = self.lock();
        loop {
            if let Some(block) = state.blocks.pop_front() {
                drop(state);
                self.emptied.notify_one();
                return Some(block);
            }
            if state.over {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut state = self.lock();
        if state.spare.len() < SPARE_BUFFERS {
            state.spare.push(buffer);
        }
    }
}

/// The end of the queue that mutators see.
struct Inlet(Arc<Queue>);

impl Sink for Inlet {
    fn take(&self, block: Block) -> Option<Vec<u8>> {
        let queue = &*self.0;
        let mut state = queue.lock();
        let mut begun = None;
        while state.blocks.len() >= QUEUE_BLOCKS && !state.over {
            let begun = *begun.get_or_insert_with(Instant::now);
            let Some(left) = WAIT_MAX.checked_sub(begun.elapsed()) else {
                drop(state);
                queue.end(Some(format!(
                    "the disk is too slow: {QUEUE_BLOCKS} blocks waited for more than {} ms",
                    WAIT_MAX.as_millis()
                )));
                return None;
            };
            state = queue.emptied.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(begun) = begun {
            state.waited += begun.elapsed();
        }
        if state.over {
            return None;
        }
        state.blocks.push_back(block);
        let buffer = state.spare.pop().unwrap_or_default();
        drop(state);
        queue.filled.notify_one();
        Some(buffer)
    }
}

/// What a trace is written to.
pub(crate) trait Medium: Write + Send {
    /// Forgets what stands behind this byte, and goes on there.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Medium for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(|_| ())
    }
}

impl Recording {
    /// Begins a trace in a file, which is made if it is not there; what stands in it goes with the first block, or at [`Recording::finish`].
    /// `facts` go into its header.
    ///
    /// # Errors
    ///
    /// [`TraceError::File`] when the file cannot be made or opened, or the header of an empty one not be written.
    pub fn start(path: &Path, facts: &Facts) -> Result<Recording, TraceError> {
        let failed = |source| TraceError::File { what: "write", path: path.to_owned(), source };
        let (file, made) = open(path).map_err(failed)?;
        let precious = !made && file.metadata().is_ok_and(|found| found.is_file());
        let mut recording = Recording::on(Box::new(file), path, facts, precious).map_err(|source| {
            if made {
                let _ = std::fs::remove_file(path);
            }
            failed(source)
        })?;
        recording.made = made;
        Ok(recording)
    }

    /// On a medium; one with something `precious` on it is left alone until there is something to write.
    pub(crate) fn on(
        mut medium: Box<dyn Medium>,
        path: &Path,
        facts: &Facts,
        precious: bool,
    ) -> io::Result<Recording> {
        let header = header(facts);
        if !precious {
            medium.write_all(&header)?;
        }
        let queue = Arc::new(Queue::default());
        let tape = Tape::new(Inlet(Arc::clone(&queue)));
        let started = tape.started();
        let source = Arc::clone(&queue);
        let writer = std::thread::Builder::new().name("trace-writer".into()).spawn(move || {
            let mut writer = if precious {
                Writer::over(medium, header)
            } else {
                Writer::new(medium, header.len() as u64)
            };
            while let Some(block) = source.next() {
                match writer.write(&block) {
                    Ok(()) => source.give_back(block.bytes),
                    Err(error) => source.end(Some(format!("the file cannot be written ({error})"))),
                }
            }
            let state = source.lock();
            let (problem, wanted) = (state.problem.clone(), state.wanted);
            drop(state);
            if writer.blocks == 0 && !wanted {
                return writer.leave();
            }
            writer.end(started.elapsed().as_nanos() as u64, problem.as_deref())
        })?;
        Ok(Recording { path: path.to_owned(), made: false, queue, tape, writer: Some(writer) })
    }

    /// The tape for [`HeapConfig::tape`](gc_heap::HeapConfig::tape).
    #[must_use]
    pub fn tape(&self) -> Tape {
        self.tape.clone()
    }

    /// Why the recording has ended early, if it has.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.queue.lock().problem.clone()
    }

    /// Writes what is in the queue and the end. What mutators that still exist have in their buffers is lost: let them go before.
    #[must_use]
    pub fn finish(mut self) -> RecordingReport {
        self.queue.lock().wanted = true;
        let written = self.stop();
        let state = self.queue.lock();
        RecordingReport {
            path: self.path.clone(),
            bytes: written.bytes,
            blocks: written.blocks,
            operations: written.operations,
            waited: state.waited,
            problem: state.problem.clone(),
        }
    }

    fn stop(&mut self) -> Written {
        self.queue.end(None);
        let written = self.writer.take().map(JoinHandle::join);
        match written {
            Some(Ok(written)) => written,
            Some(Err(_)) | None => Written { bytes: 0, blocks: 0, operations: 0, ended: false },
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.writer.is_none() {
            return;
        }
        let written = self.stop();
        if self.made && written.blocks == 0 && !written.ended {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens a file as it is, and says whether it was made.
fn open(path: &Path) -> io::Result<(File, bool)> {
    match File::options().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = File::options().write(true).create(true).truncate(false).open(path)?;
            Ok((file, false))
        }
        made => made.map(|file| (file, true)),
    }
}

/// The file, and what is in it.
pub(crate) struct Writer {
    medium: Box<dyn Medium>,
    /// Put where something else stands, once there is something to write.
    header: Option<Vec<u8>>,
    bytes: u64,
    blocks: u64,
    operations: u64,
    chain: u32,
    /// A block was refused: what follows it is not written either.
    refused: bool,
}

impl Writer {
    /// Goes on behind a header of so many bytes.
    pub(crate) fn new(medium: Box<dyn Medium>, bytes: u64) -> Writer {
        Writer { medium, header: None, bytes, blocks: 0, operations: 0, chain: 0, refused: false }
    }

    /// Writes over something, with a header, but not before there is something to write.
    fn over(medium: Box<dyn Medium>, header: Vec<u8>) -> Writer {
        Writer { header: Some(header), ..Writer::new(medium, 0) }
    }

    fn begin(&mut self) -> io::Result<()> {
        let Some(header) = &self.header else { return Ok(()) };
        self.medium.cut(0)?;
        self.medium.write_all(header)?;
        self.bytes = header.len() as u64;
        self.header = None;
        Ok(())
    }

    /// Ends without an end.
    fn leave(self) -> Written {
        Written { bytes: self.bytes, blocks: self.blocks, operations: self.operations, ended: false }
    }

    pub(crate) fn write(&mut self, block: &Block) -> io::Result<()> {
        if self.refused {
            return Ok(());
        }
        self.begin().inspect_err(|_| self.refused = true)?;
        let head = Head::of(block);
        let crc = self.put(head, &block.bytes)?;
        self.blocks += 1;
        self.operations += u64::from(block.operations);
        self.chain = checksum(&self.chain.to_le_bytes(), &crc.to_le_bytes());
        Ok(())
    }

    fn put(&mut self, mut head: Head, stored: &[u8]) -> io::Result<u32> {
        let bytes = head.seal(stored);
        let written = self.medium.write_all(&bytes).and_then(|()| self.medium.write_all(stored));
        if let Err(error) = written {
            self.refused = true;
            // Half a block makes room for an end, so that the file can say what became of it.
            self.medium.cut(self.bytes)?;
            return Err(error);
        }
        self.bytes += (bytes.len() + stored.len()) as u64;
        Ok(head.crc)
    }

    pub(crate) fn end(mut self, at_ns: u64, problem: Option<&str>) -> Written {
        let mut facts = Facts::default();
        facts.add("operations", self.operations);
        if let Some(problem) = problem {
            facts.add("problem", problem);
        }
        let end = End { blocks: self.blocks, chain: self.chain, facts };
        let text = end.to_text();
        let head = Head::end(text.len(), at_ns);
        // A disk that has no room for the end either: the file then ends with its last block, which reads as well.
        let ended = self
            .begin()
            .and_then(|()| self.put(head, text.as_bytes()))
            .and_then(|_| self.medium.flush())
            .is_ok();
        Written { bytes: self.bytes, blocks: self.blocks, operations: self.operations, ended }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use gc_heap::{Heap, HeapConfig};

    use super::*;
    use crate::trace::TraceFile;

    /// A disk with room for so many bytes, which does nothing before it is told to.
    struct Disk {
        file: File,
        room: u64,
        awake: Receiver<()>,
        asleep: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The header is written by whoever starts the recording, before anybody can wake the disk.
            if std::mem::replace(&mut self.asleep, true) {
                let _ = self.awake.recv();
            }
            let taken = bytes.len().min(usize::try_from(self.room).unwrap());
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken as u64;
            self.file.write(&bytes[..taken])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Medium for Disk {
        fn cut(&mut self, len: u64) -> io::Result<()> {
            self.room += self.file.metadata()?.len() - len;
            self.file.cut(len)
        }
    }

    /// Records so many allocations, on a disk that wakes before the first or after the last.
    fn record(room: u64, sleeps: bool, objects: u32) -> (RecordingReport, TraceFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let (wake, awake) = channel();
        let disk = Disk { file: File::create(&path).unwrap(), room, awake, asleep: false };
        let wake = Some(wake).filter(|_| sleeps);
        let recording = Recording::on(Box::new(disk), &path, &Facts::default(), false).unwrap();
        let tape = Some(recording.tape());
        let heap = Heap::new(HeapConfig { tape, ..HeapConfig::with_limit(256 << 20) }).unwrap();
        let mut mutator = heap.mutator();
        for _ in 0..objects / 1000 {
            mutator.scope(|scope| {
                for _ in 0..1000 {
                    scope.alloc(&[], b"").unwrap();
                }
            });
        }
        drop((mutator, wake));
        assert_eq!(heap.stats().live_objects, u64::from(objects));
        (recording.finish(), TraceFile::open(&path).unwrap())
    }

    #[test]
    fn a_full_disk_ends_the_recording_and_leaves_a_good_trace() {
        let (report, file) = record(200_000, false, 400_000);
        assert!(report.problem.as_ref().unwrap().contains("cannot be written"), "{report:?}");
        assert_eq!((file.damage(), file.problem()), (None, report.problem.as_deref()));
        assert!(!file.is_complete());
        assert_eq!((file.operations(), file.bytes()), (report.operations, report.bytes));
        assert!((1..400_000).contains(&report.operations), "{report:?}");
    }

    #[test]
    fn a_disk_without_room_for_the_end_leaves_whole_blocks() {
        let header = header(&Facts::default()).len() as u64;
        for room in [header, header + 10, header + 65_700] {
            let (report, file) = record(room, false, 100_000);
            assert!(report.problem.is_some());
            assert!(!file.is_complete() && file.operations() == report.operations, "{room}: {report:?}");
        }
    }

    /// What a recording leaves in a file that had something in it.
    fn over(old: Option<&str>, objects: u32, finish: bool) -> Option<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        old.inspect(|old| std::fs::write(&path, old).unwrap());
        let recording = Recording::start(&path, &Facts::default()).unwrap();
        let tape = Some(recording.tape());
        let heap = Heap::new(HeapConfig { tape, ..HeapConfig::with_limit(1 << 20) }).unwrap();
        for _ in 0..objects {
            heap.mutator().scope(|scope| scope.alloc(&[], b"").map(|_| ())).unwrap();
        }
        drop(heap);
        if finish {
            let report = recording.finish();
            let file = TraceFile::open(&path).unwrap();
            assert!(file.is_complete() && file.damage().is_none(), "{report:?}");
            assert_eq!((report.operations, report.bytes), (u64::from(objects), file.bytes()));
        } else {
            drop(recording);
        }
        std::fs::read(&path).ok()
    }

    #[test]
    fn a_recording_that_recorded_nothing_leaves_the_file_as_it_was() {
        let old = "an old trace, longer than a header ".repeat(100);
        assert_eq!(over(Some(&old), 0, false).as_deref(), Some(old.as_bytes()));
        assert_eq!(over(Some(""), 0, false).as_deref(), Some(&b""[..]));
        assert_eq!(over(None, 0, false), None);
        let header = header(&Facts::default());
        for (old, objects, finish) in [
            (Some(&*old), 0, true),
            (Some(&*old), 3, false),
            (None, 0, true),
            (None, 3, false),
            (Some(""), 3, true),
        ] {
            let left = over(old, objects, finish).unwrap();
            assert!(left.starts_with(&header) && !left.ends_with(b"header "), "{old:?} {objects} {finish}");
        }
    }

    #[test]
    fn a_slow_disk_is_waited_for_and_given_up() {
        let (patient, file) = record(u64::MAX, true, 400_000);
        assert_eq!((patient.problem.as_ref(), patient.operations), (None, 400_000));
        assert!(file.is_complete());
        let (report, file) = record(u64::MAX, true, 2_000_000);
        assert!(report.problem.as_ref().unwrap().contains("too slow"), "{report:?}");
        assert_eq!((file.damage(), file.operations()), (None, report.operations));
    }
}
