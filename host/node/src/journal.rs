//! The swap journal: every step of every swap, in memory and, where asked for, as JSON lines in a file.
//!
//! Written by the collector thread, read by `host status` and by whoever subscribes. A file that cannot be written any more is reported once and
//! given up: the journal explains what happened, nothing depends on it. A file that was made for a node that then had nothing to tell, because it could not be
//! started or was not swapped, goes with it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::NodeError;
use crate::limits::{JOURNAL_NAME_BYTES, JOURNAL_REASON_BYTES, JOURNAL_RECORDS};

/// One step of a swap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Counts from 1, without gaps.
    pub sequence: u64,
    /// Seconds since the node started.
    pub at_s: f64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// What happened: the words of [`crate::swap::Step`].
    pub step: String,
    /// Name of the strategy that it happened to; what was asked for, while nothing is known of it.
    pub strategy: String,
    /// Its version, once known.
    pub version: String,
    /// Digest of its bytes, once known.
    pub digest: String,
    /// Why, where there is a reason to give.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

impl std::fmt::Display for JournalRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "swap {} @{:.3}s {}", self.sequence, self.at_s, self.strategy)?;
        if !self.digest.is_empty() {
            write!(f, "@{}#{}", self.version, short(&self.digest))?;
        }
        write!(f, " {}", self.step)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// The first eight digits of a digest.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    records: VecDeque<JournalRecord>,
    file: Option<(PathBuf, File)>,
    /// The file was not there before.
    made: bool,
    sequence: u64,
}

impl Journal {
    /// Opens the file for appending, where one is given.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub(crate) fn open(path: Option<&Path>) -> Result<Journal, NodeError> {
        let mut journal = Journal { records: VecDeque::new(), file: None, made: false, sequence: 0 };
        if let Some(path) = path {
            let mut opened = File::options().create_new(true).append(true).open(path);
            journal.made = opened.is_ok();
            if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
                opened = File::options().create(true).append(true).open(path);
            }
            let file = opened.map_err(|source| NodeError::Journal { path: path.to_owned(), source })?;
            journal.file = Some((path.to_owned(), file));
        }
        Ok(journal)
    }

    /// Adds a record, gives it its number, and cuts what is too long: names and reasons are as long as somebody made them. Answers what went wrong with the file, if something did.
    pub(crate) fn add(&mut self, record: &mut JournalRecord) -> Option<NodeError> {
        self.sequence += 1;
        record.sequence = self.sequence;
        cut(&mut record.strategy, JOURNAL_NAME_BYTES);
        cut(&mut record.version, JOURNAL_NAME_BYTES / 6);
        cut(&mut record.digest, JOURNAL_NAME_BYTES / 6);
        record.reason.iter_mut().for_each(|reason| cut(reason, JOURNAL_REASON_BYTES));
        if self.records.len() == JOURNAL_RECORDS {
            self.records.pop_front();
        }
        self.records.push_back(record.clone());
        let (path, file) = self.file.as_mut()?;
        let mut line = serde_json::to_string(&record).unwrap_or_default();
        line.push('\n');
        let failed = file.write_all(line.as_bytes()).err()?;
        let error = NodeError::Journal { path: path.clone(), source: failed };
        self.file = None;
        Some(error)
    }

    /// The last `count` records, oldest first.
    #[must_use]
    pub(crate) fn tail(&self, count: usize) -> Vec<JournalRecord> {
        self.records.iter().skip(self.records.len().saturating_sub(count)).cloned().collect()
    }
}

/// Cuts a text that takes more bytes in JSON, and shows that something is missing.
fn cut(text: &mut String, bytes: usize) {
    let in_json = |letter: char| match letter {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        '\0'..' ' => 6,
        letter => letter.len_utf8(),
    };
    let (mut taken, mut end) = (0, 0);
    for (at, letter) in text.char_indices() {
        taken += in_json(letter);
        if taken > bytes {
            text.truncate(end);
            text.push('…');
            return;
        }
        if taken + '…'.len_utf8() <= bytes {
            end = at + letter.len_utf8();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Others may have written to it too.
        if let Some((path, file)) = &self.file
            && self.made
            && file.metadata().is_ok_and(|file| file.len() == 0)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CONTROL_ANSWER_BYTES;

    fn record(step: &str) -> JournalRecord {
        JournalRecord {
            sequence: 0,
            at_s: 1.5,
            unix_ms: 0,
            step: step.into(),
            strategy: "epoch".into(),
            version: "0.1.0".into(),
            digest: "0123456789abcdef".into(),
            reason: Some("trapped: unreachable".into()),
        }
    }

    #[test]
    fn what_is_journalled_is_in_the_file_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swaps.jsonl");
        for _ in 0..2 {
            let mut journal = Journal::open(Some(&path)).unwrap();
            assert!(journal.add(&mut record("exchanged")).is_none());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<JournalRecord> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1], JournalRecord { sequence: 1, ..record("exchanged") });
    }

    #[test]
    fn a_file_is_left_behind_only_where_it_was_or_where_something_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let [made, there, shared] = ["made", "there", "shared"].map(|name| folder.path().join(name));
        let journal = Journal::open(Some(&made)).unwrap();
        assert!(made.exists(), "somebody may wait for it to grow");
        drop(journal);
        assert!(!made.exists());
        std::fs::write(&there, "").unwrap();
        drop(Journal::open(Some(&there)).unwrap());
        assert!(there.exists());
        let journal = Journal::open(Some(&shared)).unwrap();
        Journal::open(Some(&shared)).unwrap().add(&mut record("exchanged"));
        drop(journal);
        assert!(shared.exists());
    }

    #[test]
    fn all_records_fit_into_an_answer_whatever_is_in_them() {
        let mut journal = Journal::open(None).unwrap();
        for text in ["x", "\u{1}", "\"", "…"] {
            let long = text.repeat(60_000);
            let long = JournalRecord {
                strategy: long.clone(),
                version: long.clone(),
                digest: long.clone(),
                reason: Some(long),
                at_s: 1e9 / 3.0,
                unix_ms: u64::MAX,
                ..record("canary-requested")
            };
            let mut kept = long.clone();
            journal.add(&mut kept);
            let sent = serde_json::to_string(&kept).unwrap().len();
            assert!(sent < 4096, "{sent} bytes");
            assert!(kept.strategy.starts_with(text) && kept.strategy.ends_with('…'));
            assert_eq!(journal.tail(1), [kept]);
        }
        const { assert!(JOURNAL_RECORDS * 4096 < CONTROL_ANSWER_BYTES) };
        let mut short = record("sound");
        journal.add(&mut short);
        assert_eq!(JournalRecord { sequence: 0, ..short }, record("sound"));
    }

    #[test]
    fn memory_keeps_the_newest() {
        let mut journal = Journal::open(None).unwrap();
        for _ in 0..JOURNAL_RECORDS + 5 {
            journal.add(&mut record("sound"));
        }
        assert_eq!(journal.records.len(), JOURNAL_RECORDS);
        assert_eq!(journal.tail(1)[0].sequence, JOURNAL_RECORDS as u64 + 5);
    }

    #[test]
    fn a_full_disk_is_told_once_and_given_up() {
        let mut journal = Journal::open(Some(Path::new("/dev/full"))).unwrap();
        let told = journal.add(&mut record("sound")).expect("nothing can be written to /dev/full");
        assert!(told.to_string().contains("/dev/full"), "{told}");
        assert!(journal.add(&mut record("sound")).is_none());
    }

    #[test]
    fn a_record_reads_as_one_line() {
        assert_eq!(
            record("faulted").to_string(),
            "swap 0 @1.500s epoch@0.1.0#01234567 faulted: trapped: unreachable"
        );
    }
}
