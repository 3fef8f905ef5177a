//! Names of many objects, in little memory.

use std::io::{self, Write};
use std::sync::Arc;

/// A list of object ids in the words of the input: hexadecimal for git, the words of the file for graphs.
#[derive(Clone, Default)]
pub struct Ids {
    names: Arc<Names>,
    picked: Vec<u32>,
}

/// Where names come from.
#[derive(Debug)]
pub(crate) enum Names {
    Git(Vec<gix::ObjectId>),
    Words(Words),
}

impl Default for Names {
    fn default() -> Names {
        Names::Words(Words::default())
    }
}

/// Words, one after the other in one arena.
#[derive(Debug, Default)]
pub(crate) struct Words {
    text: Vec<u8>,
    /// Where each word ends.
    ends: Vec<u64>,
}

impl Words {
    pub(crate) fn push(&mut self, word: &[u8]) {
        self.text.extend_from_slice(word);
        self.ends.push(self.text.len() as u64);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub(crate) fn word(&self, at: u32) -> &[u8] {
        let at = at as usize;
        let begin = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[begin as usize..self.ends[at] as usize]
    }
}

impl Ids {
    pub(crate) fn new(names: &Arc<Names>, picked: Vec<u32>) -> Ids {
        Ids { names: Arc::clone(names), picked }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.picked.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.picked.is_empty()
    }

    /// Writes them, one per line.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = Vec::with_capacity(128);
        for &at in &self.picked {
            line.clear();
            self.append(at, &mut line);
            line.push(b'\n');
            out.write_all(&line)?;
        }
        out.flush()
    }

    /// All of them as texts, in the order of the input. Ids that are not UTF-8 are shown with replacement
    /// characters.
    pub fn iter(&self) -> impl Iterator<Item = String> + '_ {
        self.picked.iter().map(|&at| {
            let mut text = Vec::new();
            self.append(at, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    }

    fn append(&self, at: u32, out: &mut Vec<u8>) {
        match &*self.names {
            Names::Git(ids) => out.extend_from_slice(ids[at as usize].to_hex().to_string().as_bytes()),
            Names::Words(words) => out.extend_from_slice(words.word(at)),
        }
    }
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ids", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_one_per_line_in_order() {
        let mut words = Words::default();
        for word in ["a", "", "bcd", "e"] {
            words.push(word.as_bytes());
        }
        let ids = Ids::new(&Arc::new(Names::Words(words)), vec![3, 1, 2]);
        let mut out = Vec::new();
        ids.write_to(&mut out).unwrap();
        assert_eq!(out, b"e\n\nbcd\n");
        assert_eq!(ids.iter().collect::<Vec<_>>(), ["e", "", "bcd"]);
    }
}
