//! Golden bytes, and everything that can be wrong with a frame.

use super::codec::Field;
use super::*;
use crate::ids::{CycleId, Life, MembershipEpoch, Object, Reference};
use crate::limits::FRAME_BODY_BYTES_MAX;

fn header() -> Header {
    Header {
        from: Life::new(1, 0x11),
        to: Life::new(2, 0x22),
        epoch: MembershipEpoch(3),
        cycle: CycleId(4),
        sequence: 5,
        acknowledged: 6,
        settled: 7,
    }
}

fn object(cell: u32) -> Object {
    Object { cell, generation: 1 }
}

fn mentions() -> Vec<Mention> {
    vec![Mention { object: object(8), seq: 9 }, Mention { object: object(10), seq: 11 }]
}

/// One message of each kind, in the order of their kinds.
fn samples() -> Vec<Message> {
    let (cycle, digest) = (CycleId(3 << 24 | 1), [0xab; 32]);
    let reference = Reference { home: Life::new(3, 4), object: object(5) };
    let present = SwapPresent { generation: 2, digest };
    vec![
        Message::Hello(Hello { cluster: 1, nonce: 2, wall_ms: 3, heard: true }),
        Message::Refused(8),
        Message::Renew(Renew { lease: 1, sent_at: 2 }),
        Message::Grant(Grant { lease: 1, sent_at: 2 }),
        Message::Copy(Copy { first: 12, references: vec![reference], payload: Payload(b"hello".to_vec()) }),
        Message::Dirty(mentions()),
        Message::DirtyAck(mentions()),
        Message::Gone(mentions()),
        Message::Clean(mentions()),
        Message::CleanAck(mentions()),
        Message::CopyAck(vec![12, 13]),
        Message::DigestRoot(DigestRoot { hash: 14 }),
        Message::BucketHashes(vec![15, 16]),
        Message::BucketSet(BucketSet {
            bucket: 17,
            low: object(0),
            high: object(u32::MAX),
            watermark: 18,
            mentions: mentions(),
        }),
        Message::FullSetEnd(19),
        Message::FullSetTaken(19),
        Message::ExileAck(ExileAck { epoch: 20, admitted: mentions() }),
        Message::MarkRequest(MarkRequest { cycle, objects: vec![object(21)] }),
        Message::StrategyBytes(StrategyBytes { cycle, bytes: Payload(vec![22]) }),
        Message::Wave(Wave { cycle, number: 23 }),
        Message::CycleDecide(cycle),
        Message::CondemnedStubs(CondemnedStubs { cycle, objects: vec![object(26)], last: true }),
        Message::CycleSweep(cycle),
        Message::CycleAbort(cycle),
        Message::CycleVote(cycle),
        Message::SubtreeTotals(SubtreeTotals { cycle, number: 23, nodes: 30, sent: 24, received: 25 }),
        Message::SubtreeProved(SubtreeProved { cycle, nodes: 30 }),
        Message::SubtreeAgrees(SubtreeAgrees { cycle, nodes: 30 }),
        Message::CycleObjection(cycle),
        Message::SwapOffer(SwapOffer { generation: 2, digest }),
        Message::ModuleWanted(ModuleWanted { digest, offset: 27 }),
        Message::ModuleChunk(ModuleChunk { digest, offset: 27, total: 28, bytes: Payload(vec![29]) }),
        Message::SwapPrepared(SwapPrepared { generation: 2, digest, ready: true }),
        Message::SwapPresent(present.clone()),
        Message::SwapWithdrawn(present),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn version_1_is_these_bytes() {
    let mut lines: Vec<String> = vec![hex(&frame(&header(), &[]))];
    for message in samples() {
        let mut record = Vec::new();
        message.put(&mut record);
        lines.push(hex(&record));
    }
    let golden = include_str!("golden-v1.txt");
    let golden: Vec<&str> = golden.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines, golden,
        "the wire format has changed: raise WIRE_VERSION and keep the old bytes readable"
    );
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(decode(&frame(&header(), &samples())), Ok((header(), samples())));
    let unsequenced = Header { sequence: 0, ..header() };
    assert_eq!(decode(&frame(&unsequenced, &[])), Ok((unsequenced, Vec::new())));
}

#[test]
fn the_size_of_a_message_is_known_before_it_is_written() {
    for message in samples() {
        let mut record = Vec::new();
        message.put(&mut record);
        let close = message.bytes().abs_diff(record.len());
        assert!(close <= 48, "{message:?}: {} or {}", message.bytes(), record.len());
    }
}

/// A list, its record, and what is read from it.
fn list_of(mentions: Vec<Mention>) -> (usize, Vec<Mention>, Result<Vec<Mention>, WireError>) {
    let mut bytes = Vec::new();
    mentions.put(&mut bytes);
    let mut rest = &bytes[..];
    let read = Vec::<Mention>::take(&mut rest);
    assert!(rest.is_empty());
    (bytes.len(), mentions, read)
}

#[test]
fn neighbours_in_a_list_take_few_bytes_and_strangers_a_bounded_number() {
    let mention = |cell, generation, seq| Mention { object: Object { cell, generation }, seq };
    let (bytes, list, read) =
        list_of((0..1000).map(|at| mention(5000 + at, 3, 1 << 40 | u64::from(at))).collect());
    assert_eq!(read, Ok(list));
    assert!(bytes <= 4 + 20 + 3 * 999, "{bytes}");
    // Steps as far as they go, both ways.
    let far = [0, 1, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX];
    let far = |at: usize| far[at % 5];
    let seq = |at: usize| u64::from(far(at)) << 32 | u64::from(far(at / 5));
    let (bytes, list, read) =
        list_of((0..625).map(|at| mention(far(at), far(at / 5), seq(at / 25))).collect());
    assert_eq!(read, Ok(list));
    assert!(bytes <= 4 + 20 * 625, "{bytes}");
    let references: Vec<Reference> = (0..625)
        .map(|at| Reference {
            home: Life::new(far(at / 25), seq(at)),
            object: Object { cell: far(at / 5), generation: 1 },
        })
        .collect();
    let mut bytes = Vec::new();
    references.put(&mut bytes);
    assert!(bytes.len() <= 4 + 25 * 625);
    assert_eq!(Vec::take(&mut &bytes[..]), Ok(references));
}

#[test]
fn a_number_has_one_form() {
    let take = |entry: &[u8]| Vec::<u64>::take(&mut &[&[1, 0, 0, 0], entry].concat()[..]);
    assert_eq!(take(&[2]), Ok(vec![1]));
    assert_eq!(take(&[0x80, 1]), Ok(vec![64]));
    let last = [&[0xff; 9][..], &[1]].concat();
    assert_eq!(take(&last), Ok(vec![1 << 63]));
    // Longer than it need be; more than 64 bits; without an end.
    assert_eq!(take(&[0x82, 0]), Err(WireError::Value));
    assert_eq!(take(&[&[0xff; 9][..], &[2]].concat()), Err(WireError::Value));
    assert_eq!(take(&[&[0xff; 10][..], &[0]].concat()), Err(WireError::Value));
    assert_eq!(take(&[0x80]), Err(WireError::Truncated));
    // More than 32 bits where there are 32.
    let cell = [&[1, 0, 0, 0][..], &[0x80, 0x80, 0x80, 0x80, 0x10, 0]].concat();
    assert_eq!(Vec::<Object>::take(&mut &cell[..]), Err(WireError::Value));
}

/// Every list of few entries with short steps, and every two bytes behind a length: what is read from them is written as they are.
#[test]
fn no_two_records_say_the_same() {
    for first in 0..=u8::MAX {
        for second in 0..=u8::MAX {
            for entries in [1, 2] {
                let bytes = [entries, 0, 0, 0, first, second];
                let mut rest = &bytes[..];
                let Ok(list) = Vec::<u32>::take(&mut rest) else { continue };
                let mut again = Vec::new();
                list.put(&mut again);
                assert_eq!(again, bytes[..bytes.len() - rest.len()]);
            }
        }
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_noticed() {
    let whole = frame(&header(), &samples());
    for length in 0..whole.len() {
        assert!(decode(&whole[..length]).is_err(), "cut at {length}");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert_eq!(decode(&longer), Err(WireError::Trailing));
}

/// With the checksum of the damaged bytes: what a peer that means harm sends.
#[test]
fn damage_behind_a_good_checksum_is_an_error_or_another_message() {
    let body: Vec<u8> = frame(&header(), &samples())[HEADER_BYTES..].to_vec();
    let mut readable = 0;
    for length in 0..=body.len() {
        readable += usize::from(decode(&encode(&header(), &body[..length])).is_ok());
    }
    // Only where a record ends.
    assert_eq!(readable, samples().len() + 1);
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok((_, messages)) = decode(&encode(&header(), &flipped)) {
            assert!(messages.len() <= samples().len() && messages != samples(), "bit {bit}");
        }
    }
}

#[test]
fn a_length_is_not_believed_before_its_bytes_are_there() {
    let huge = u32::MAX.to_le_bytes();
    for message in samples() {
        let mut record = Vec::new();
        message.put(&mut record);
        for at in 6..record.len().saturating_sub(3) {
            let mut lying = record.clone();
            lying[at..at + 4].copy_from_slice(&huge);
            // An error, or a number that may be that large; never gigabytes.
            let _ = decode(&encode(&header(), &lying));
        }
        record[2..6].copy_from_slice(&huge);
        assert_eq!(decode(&encode(&header(), &record)), Err(WireError::Truncated));
    }
    let mut start = frame(&header(), &[]);
    start[8..12].copy_from_slice(&(FRAME_BODY_BYTES_MAX as u32 + 1).to_le_bytes());
    assert_eq!(frame_bytes(&start), Err(WireError::TooLong { bytes: FRAME_BODY_BYTES_MAX + 1 }));
}

#[test]
fn unknown_kinds_are_skipped_or_refused_by_their_number() {
    let record = |kind: u16| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[3, 0, 0, 0, 1, 2, 3]);
        Message::Refused(1).put(&mut bytes);
        decode(&encode(&header(), &bytes)).map(|(_, messages)| messages)
    };
    assert_eq!(record(0x8000), Ok(vec![Message::Refused(1)]));
    assert_eq!(record(0xffff), Ok(vec![Message::Refused(1)]));
    assert_eq!(record(0x7fff), Err(WireError::UnknownKind(0x7fff)));
    assert_eq!(record(0), Err(WireError::UnknownKind(0)));
}

#[test]
fn another_version_is_named_with_both_numbers() {
    let mut other = frame(&header(), &[]);
    other[4] = 9;
    let error = decode(&other).unwrap_err();
    assert_eq!(error, WireError::Version { theirs: 9, ours: WIRE_VERSION });
    assert!(error.to_string().contains('9') && error.to_string().contains('1'));
    assert_eq!(decode(b"GET / HTTP/1.1\r\n\r\n"), Err(WireError::Magic));
}

#[test]
fn lists_are_merged_up_to_their_limit() {
    let mut list = Message::Clean(Vec::new());
    let one = || Message::Clean(vec![Mention { object: object(1), seq: 1 }]);
    let merged = (0..10_000).filter(|_| list.absorb(&mut one())).count();
    assert_eq!(merged, crate::limits::ENTRIES_PER_MESSAGE_MAX);
    assert!(!Message::Dirty(Vec::new()).absorb(&mut one()));
    let mut bytes = Vec::new();
    list.put(&mut bytes);
    assert_eq!(Vec::<Mention>::take(&mut &bytes[6..]).map(|list| list.len()), Ok(merged));
}
