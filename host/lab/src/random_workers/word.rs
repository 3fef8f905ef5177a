//! What nodes say to each other.

use crate::peers::Ledger;

/// A message between the programs of two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// To the first node: here I am, with these members, to do what has this digest.
    Greet { members: Vec<u32>, digest: u64 },
    /// From the first node: all are here.
    Begin,
    /// Work, and its bytes, for the worker that comes with this.
    Work(Vec<u8>),
    /// The first worker that comes with this shall know the others.
    Acquaint,
    /// The manager shall know the workers that come with this.
    Publish,
    /// The workers that come with this must be there.
    Check,
    /// So many of the four above were taken.
    Took(u32),
    /// Everything that comes before this is done.
    Reached(Stage),
    /// Run a cycle and say what is left.
    Round(u32),
    /// What is left after it.
    Stand(Stand),
    /// It is over.
    End,
}

/// What all nodes wait for each other at.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// All turns are done.
    Worked,
    /// All workers that other nodes were asked for have been named to them.
    Asked,
    /// The manager has forgotten everybody.
    Forgot,
}

/// How a node stands after a round.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) round: u32,
    pub(super) condemned: u64,
    /// Workers that are still there.
    pub(super) left: u64,
    pub(super) ledger: Ledger,
}

impl Word {
    /// Whether it carries references, and counts as one of those that a node takes a few at a time.
    pub(super) fn is_letter(&self) -> bool {
        matches!(self, Word::Work(_) | Word::Acquaint | Word::Publish | Word::Check)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = |kind: u8, numbers: &[u32]| {
            let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
            std::iter::once(kind).chain(bytes).collect::<Vec<u8>>()
        };
        match self {
            Word::Greet { members, digest } => {
                let mut out = vec![0];
                out.extend_from_slice(&digest.to_le_bytes());
                out.extend(members.iter().flat_map(|number| number.to_le_bytes()));
                out
            }
            Word::Begin => vec![1],
            Word::Work(bytes) => std::iter::once(2).chain(bytes.iter().copied()).collect(),
            Word::Acquaint => vec![3],
            Word::Publish => vec![4],
            Word::Check => vec![5],
            Word::Took(count) => numbers(6, &[*count]),
            Word::Reached(stage) => vec![7, *stage as u8],
            Word::Round(round) => numbers(8, &[*round]),
            Word::Stand(stand) => {
                let mut out = numbers(9, &[stand.round, u32::from(stand.ledger.unsettled)]);
                for number in [stand.condemned, stand.left, stand.ledger.stubs, stand.ledger.scions] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out
            }
            Word::End => vec![10],
        }
    }

    pub(super) fn decode(message: &[u8]) -> Option<Word> {
        let (&kind, rest) = message.split_first()?;
        let short = |at: usize| Some(u32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        let bare = |word: Word| rest.is_empty().then_some(word);
        match kind {
            0 => {
                let (fours, left) = rest.get(8..)?.as_chunks::<4>();
                let members = fours.iter().map(|four| u32::from_le_bytes(*four)).collect();
                left.is_empty().then_some(Word::Greet { digest: long(0)?, members })
            }
            1 => bare(Word::Begin),
            2 => Some(Word::Work(rest.to_vec())),
            3 => bare(Word::Acquaint),
            4 => bare(Word::Publish),
            5 => bare(Word::Check),
            6 if rest.len() == 4 => Some(Word::Took(short(0)?)),
            7 => match rest {
                [0] => Some(Word::Reached(Stage::Worked)),
                [1] => Some(Word::Reached(Stage::Asked)),
                [2] => Some(Word::Reached(Stage::Forgot)),
                _ => None,
            },
            8 if rest.len() == 4 => Some(Word::Round(short(0)?)),
            9 if rest.len() == 40 => Some(Word::Stand(Stand {
                round: short(0)?,
                condemned: long(8)?,
                left: long(16)?,
                ledger: Ledger { stubs: long(24)?, scions: long(32)?, unsettled: short(4)? != 0 },
            })),
            10 => bare(Word::End),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_what_is_cut_is_no_panic() {
        let ledger = Ledger { stubs: 3, scions: 1 << 40, unsettled: true };
        for word in [
            Word::Greet { members: vec![1, 2, 7], digest: u64::MAX - 1 },
            Word::Begin,
            Word::Work(vec![]),
            Word::Work(vec![7; 99]),
            Word::Acquaint,
            Word::Publish,
            Word::Check,
            Word::Took(32),
            Word::Reached(Stage::Worked),
            Word::Reached(Stage::Asked),
            Word::Reached(Stage::Forgot),
            Word::Round(9),
            Word::Stand(Stand { round: 9, condemned: 1 << 33, left: 12, ledger }),
            Word::End,
        ] {
            let message = word.encode();
            assert_eq!(Word::decode(&message), Some(word));
            for len in 0..message.len() {
                let _ = Word::decode(&message[..len]);
            }
        }
        assert_eq!((Word::decode(&[11]), Word::decode(&[7, 3]), Word::decode(&[1, 0])), (None, None, None));
    }
}
