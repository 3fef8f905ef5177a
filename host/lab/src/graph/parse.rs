//! Reads a graph file: a megabyte at a time, line by line, without a copy of any line or word.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::intern::{Interner, Short};
use crate::driver::{Driver, Phase, Ticker};
use crate::error::{GraphError, GraphProblem, printable};
use crate::ids::Words;
use crate::import::InputGraph;
use crate::limits::{LINE_BYTES_MAX, OBJECTS_MAX, PAYLOAD_BYTES_MAX, READ_BYTES};

/// What a file says.
pub(super) struct Facts {
    pub(super) names: Words,
    pub(super) graph: InputGraph,
    /// Bytes of payload by object; objects beyond its end have none.
    pub(super) sizes: Vec<u64>,
    /// The driver asked to stop.
    pub(super) stopped: bool,
}

pub(super) fn read(path: &Path, driver: &dyn Driver) -> Result<Facts, GraphError> {
    let unreadable = |source| GraphError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut parser = Parser::default();
    let mut ticker = Ticker::new(driver, Phase::Read, None);
    // Room for one whole line beyond what is read at a time.
    let mut buffer = vec![0; READ_BYTES + LINE_BYTES_MAX];
    let mut kept = 0;
    let mut stopped = false;
    loop {
        let read = match file.read(&mut buffer[kept..]) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let filled = kept + read;
        let used =
            if read == 0 { parser.last_line(&buffer[..filled]) } else { parser.lines(&buffer[..filled]) };
        let used =
            used.map_err(|problem| GraphError::Line { path: path.to_owned(), line: parser.line, problem })?;
        stopped |= ticker.tick(parser.line);
        if read == 0 || stopped {
            break;
        }
        buffer.copy_within(used..filled, 0);
        kept = filled - used;
    }
    if parser.facts == 0 && !stopped {
        return Err(GraphError::Empty { path: path.to_owned() });
    }
    Ok(parser.finish(&|| stopped || driver.stop_requested()))
}

#[derive(Default)]
struct Parser {
    interner: Interner,
    /// From, to, from, to.
    edges: Vec<u32>,
    /// Ends of edges that are read and not looked up yet. Whoever gives another number out looks them up
    /// first: numbers follow the file.
    waiting: Vec<Short>,
    roots: Vec<u32>,
    sizes: Vec<u64>,
    /// Lines begun so far.
    line: u64,
    facts: u64,
}

/// Ends of edges that are looked up at a time.
const WAITING: usize = 256;

/// Edges that are sorted between two looks at the driver's wish to stop: far less than a second, also where each is a cache miss.
const EDGES_PER_LOOK: usize = 1 << 16;

/// In `sizes`: nothing was said.
const UNSAID: u64 = u64::MAX;

impl Parser {
    /// Takes in all whole lines; answers how many bytes they were.
    fn lines(&mut self, text: &[u8]) -> Result<usize, GraphProblem> {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', text) {
            self.line(&text[begin..end])?;
            begin = end + 1;
        }
        if text.len() - begin >= LINE_BYTES_MAX {
            self.line += 1;
            return Err(GraphProblem::TooLong(LINE_BYTES_MAX));
        }
        Ok(begin)
    }

    /// Takes in what stands behind the last end of a line, and looks up what still waits.
    fn last_line(&mut self, text: &[u8]) -> Result<usize, GraphProblem> {
        if !text.is_empty() {
            self.line(text)?;
        }
        self.look_up()?;
        Ok(text.len())
    }

    #[inline]
    fn line(&mut self, line: &[u8]) -> Result<(), GraphProblem> {
        self.line += 1;
        if line.len() > LINE_BYTES_MAX {
            return Err(GraphProblem::TooLong(LINE_BYTES_MAX));
        }
        let line = if self.line == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let mut words = Text(line);
        let Some(fact) = words.next() else { return Ok(()) };
        match fact {
            b"edge" => {
                let [from, to] = take(&mut words, "edge", "two words", "edge FROM TO")?;
                self.edge(from, to)?;
            }
            b"root" => {
                let [id] = take(&mut words, "root", "one word", "root ID")?;
                let number = self.number(id)?;
                self.roots.push(number);
            }
            b"size" => {
                let [id, bytes] = take(&mut words, "size", "two words", "size ID BYTES")?;
                self.size(id, bytes)?;
            }
            _ if fact[0] == b'#' => return Ok(()),
            _ => return Err(GraphProblem::UnknownFact(printable(fact))),
        }
        self.facts += 1;
        Ok(())
    }

    #[inline]
    fn edge(&mut self, from: &[u8], to: &[u8]) -> Result<(), GraphProblem> {
        if let (Some(from), Some(to)) = (Short::new(from), Short::new(to)) {
            self.waiting.extend([from, to]);
            return if self.waiting.len() >= WAITING { self.look_up() } else { Ok(()) };
        }
        let ends = [self.number(from)?, self.number(to)?];
        self.edges.extend(ends);
        Ok(())
    }

    fn look_up(&mut self) -> Result<(), GraphProblem> {
        let fits = self.interner.numbers(&self.waiting, &mut self.edges, OBJECTS_MAX);
        self.waiting.clear();
        if fits { Ok(()) } else { Err(GraphProblem::TooManyObjects(OBJECTS_MAX)) }
    }

    fn number(&mut self, word: &[u8]) -> Result<u32, GraphProblem> {
        self.look_up()?;
        self.interner.number(word, OBJECTS_MAX).ok_or(GraphProblem::TooManyObjects(OBJECTS_MAX))
    }

    fn size(&mut self, id: &[u8], text: &[u8]) -> Result<(), GraphProblem> {
        let digits =
            std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let bytes = digits.and_then(|text| text.parse().ok());
        let bytes: u64 = bytes.ok_or_else(|| GraphProblem::NoSize(printable(text)))?;
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(GraphProblem::TooLarge { bytes, max: PAYLOAD_BYTES_MAX });
        }
        let number = self.number(id)? as usize;
        if self.sizes.len() <= number {
            self.sizes.resize(number + 1, UNSAID);
        }
        let first = std::mem::replace(&mut self.sizes[number], bytes);
        if first != UNSAID && first != bytes {
            return Err(GraphProblem::TwoSizes { id: printable(id), first, second: bytes });
        }
        Ok(())
    }

    fn finish(self, stop: &dyn Fn() -> bool) -> Facts {
        let Parser { interner, edges, roots, mut sizes, .. } = self;
        let objects = interner.words().len();
        for size in &mut sizes {
            if *size == UNSAID {
                *size = 0;
            }
        }
        let roots = roots.into_iter().map(|root| (root_name(interner.words().word(root)), root)).collect();
        let sorted = by_source(objects, &edges, stop);
        let stopped = sorted.is_none();
        let (begins, targets) = sorted.unwrap_or_default();
        Facts { names: interner.into_words(), graph: InputGraph { begins, targets, roots }, sizes, stopped }
    }
}

/// The name under which a root stands in the heap: its id, where that can be one.
fn root_name(id: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(id).ok()?;
    (name.len() <= 1024).then(|| name.to_owned())
}

/// Counting sort of the edges by where they begin, in the order of the file for each object; none when asked to stop.
fn by_source(objects: usize, edges: &[u32], stop: &dyn Fn() -> bool) -> Option<(Vec<u64>, Vec<u32>)> {
    let mut begins = vec![0_u64; objects + 1];
    for some in edges.chunks(EDGES_PER_LOOK * 2) {
        if stop() {
            return None;
        }
        some.chunks_exact(2).for_each(|edge| begins[edge[0] as usize + 1] += 1);
    }
    for at in 0..objects {
        begins[at + 1] += begins[at];
    }
    let mut next = begins.clone();
    let mut targets = vec![0; edges.len() / 2];
    for some in edges.chunks(EDGES_PER_LOOK * 2) {
        if stop() {
            return None;
        }
        for edge in some.chunks_exact(2) {
            let place = &mut next[edge[0] as usize];
            targets[*place as usize] = edge[1];
            *place += 1;
        }
    }
    (!stop()).then_some((begins, targets))
}

/// The words of a line.
struct Text<'t>(&'t [u8]);

impl<'t> Iterator for Text<'t> {
    type Item = &'t [u8];

    #[inline]
    fn next(&mut self) -> Option<&'t [u8]> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c');
        let begin = self.0.iter().position(|byte| !blank(byte))?;
        let rest = &self.0[begin..];
        let end = rest.iter().position(blank).unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }
}

/// Exactly `N` words.
#[inline]
fn take<'t, const N: usize>(
    words: &mut Text<'t>,
    fact: &'static str,
    wanted: &'static str,
    form: &'static str,
) -> Result<[&'t [u8]; N], GraphProblem> {
    let mut taken = [&[][..]; N];
    let mut found = 0;
    for word in words {
        if found < N {
            taken[found] = word;
        }
        found += 1;
    }
    if found == N { Ok(taken) } else { Err(GraphProblem::WordCount { fact, wanted, found, form }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Facts, (u64, GraphProblem)> {
        let mut parser = Parser::default();
        let used = parser.lines(text).map_err(|problem| (parser.line, problem))?;
        parser.last_line(&text[used..]).map_err(|problem| (parser.line, problem))?;
        Ok(parser.finish(&|| false))
    }

    #[test]
    fn edges_are_sorted_until_somebody_asks_to_stop() {
        use std::cell::Cell;
        let edges = vec![0; 5 * EDGES_PER_LOOK];
        let asked = Cell::new(0);
        let stop_at = |at: u32| {
            asked.set(0);
            by_source(1, &edges, &|| asked.replace(asked.get() + 1) == at)
        };
        // Three parts counted, three put in their places, and the end.
        for at in 0..7 {
            assert!(stop_at(at).is_none() && asked.get() == at + 1, "{at}");
        }
        assert_eq!(stop_at(7).map(|(_, targets)| targets.len()), Some(edges.len() / 2));
    }

    fn fails(text: &[u8]) -> (u64, String) {
        let (line, problem) = parse(text).err().expect("the text is wrong");
        (line, problem.to_string())
    }

    #[test]
    fn facts_come_in_any_order_and_with_any_blanks() {
        let text = b"\xef\xbb\xbfsize b 7\r\n\n  # edge x y\n#size\nedge\ta   b\nroot a\nedge a b\nedge b \xff\nsize b 7\nedge b a";
        let facts = parse(text).unwrap();
        let words: Vec<_> = (0..3).map(|at| facts.names.word(at)).collect();
        assert_eq!(words, [&b"b"[..], b"a", b"\xff"]);
        assert_eq!(facts.graph.targets_of(0), [2, 1]);
        assert_eq!(facts.graph.targets_of(1), [0, 0]);
        assert_eq!(facts.graph.targets_of(2), [0_u32; 0]);
        assert_eq!(facts.graph.roots, [(Some("a".to_owned()), 1)]);
        assert_eq!(facts.sizes, [7]);
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number_and_what_is_wrong() {
        for (text, line, says) in [
            (
                &b"root a\n\nedge a\n"[..],
                3,
                "'edge' takes two words, but 1 words follow it: write 'edge FROM TO'",
            ),
            (b"root a b", 1, "'root' takes one word, but 2 words follow it"),
            (b"size a", 1, "write 'size ID BYTES'"),
            (b"size a -1", 1, "'-1' is no size"),
            (b"size a 12b", 1, "'12b' is no size"),
            (b"size a 18446744073709551616", 1, "is no size"),
            (b"size a 18446744073709551615", 1, "are too many for one object"),
            (b"size a 1\nsize a 2", 2, "'a' has 2 bytes here and 1 bytes on another line"),
            (b"\x7fELF\x02\x01\n", 1, "'\\u{7f}ELF\\u{2}\\u{1}' is no fact"),
            (b"Edge a b", 1, "'Edge' is no fact"),
        ] {
            let (at, message) = fails(text);
            assert_eq!(at, line, "{message}");
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let (line, message) = fails(&[b"root a\n".to_vec(), vec![b'x'; LINE_BYTES_MAX + 1]].concat());
        assert_eq!(line, 2);
        assert!(message.contains("is this a text file"), "{message}");
    }
}
