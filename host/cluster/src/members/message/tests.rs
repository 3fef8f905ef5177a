//! Datagrams, sound and other.

use proptest::prelude::*;

use super::*;
use crate::identity::NAME_MAX;

fn messages() -> Vec<Message> {
    let name = "n".repeat(NAME_MAX);
    let refused = ChangeRefused::SameName { name: name.clone(), other: name.clone() };
    let life = ChangeRefused::LifeOver { name, left: u64::MAX, theirs: u64::MAX };
    vec![
        Message::Beacon { founding: u64::MAX, epoch: u64::MAX },
        Message::Tell { epoch: u64::MAX, page: u16::MAX },
        Message::Join { address: "[::1]:1".parse().unwrap(), nonce: u64::MAX },
        Message::NotAdmitted(refused.clone()),
        Message::exile(u64::MAX, Life::new(u32::MAX, u64::MAX)),
        Message::Leave { token: 0 },
        Message::Answer { token: 1, outcome: Ok(u64::MAX) },
        Message::Answer { token: 1, outcome: Err(life) },
        Message::Answer { token: 1, outcome: Err(ChangeRefused::NotWritten("x".repeat(200))) },
    ]
}

#[test]
fn messages_read_back_and_fit() {
    for message in messages() {
        let bytes = message.encode();
        assert!(bytes.len() <= GOSSIP_BYTES_MAX);
        assert_eq!(read(&bytes), Some(Datagram::Ours(message)));
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(read(&longer), None, "what stands behind a message is not ignored");
        assert!((0..bytes.len()).all(|len| read(&bytes[..len]).is_none()));
    }
    assert_eq!(read(&wrap(b"foca")), Some(Datagram::Foca(b"foca")));
}

#[test]
fn the_bytes_of_a_message_stay_what_they_are() {
    let golden: [(&[u8], Message); 4] = [
        (&[1, 0, 0, 3, 4], Message::Beacon { founding: 3, epoch: 4 }),
        (&[1, 0, 1, 5, 6], Message::Tell { epoch: 5, page: 6 }),
        (&[1, 0, 5, 7, 2, 1], Message::exile(7, Life::new(2, 1))),
        (&[1, 0, 7, 8, 0, 9], Message::Answer { token: 8, outcome: Ok(9) }),
    ];
    for (bytes, message) in golden {
        assert_eq!(&message.encode()[..], bytes, "{message:?}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = read(&[&[OURS, 0][..], &bytes].concat());
    }
}
