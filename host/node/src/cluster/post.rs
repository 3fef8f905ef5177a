//! What nodes ask each other beside the protocol of references: messages of the same kind as those of an application, without references.

use serde::{Deserialize, Serialize};

use crate::control::WhyRecord;

/// The first byte of a message says whose it is.
const APPLICATION: u8 = 0;
const NODE: u8 = 1;

/// What one node asks another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Question {
    /// Why this object, of the one asked or held by it, is alive there.
    Why { handle: String },
    /// Begin a cycle over all nodes. Not answered: whoever asks takes part in it.
    Over,
    /// What of yours would go if this node were gone.
    Only { node: u32 },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Why(WhyHere),
    /// What would go, and how much of it is held by that node alone.
    Only {
        objects: u64,
        bytes: u64,
        #[serde(default)]
        held: u64,
    },
    /// What was asked cannot be done.
    Refused(String),
}

/// Why an object is alive, as far as one node knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WhyHere {
    pub(crate) record: WhyRecord,
    /// The object at the head of the path, where it is held for other nodes and by nothing else that was found.
    pub(crate) scion: Option<String>,
    /// Who holds that.
    pub(crate) holders: Vec<u32>,
    /// A reference to it is under way.
    pub(crate) pinned: bool,
}

/// A message from a node to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Post {
    Question { id: u64, question: Question },
    Reply { id: u64, reply: Reply },
}

/// Whose a message is.
#[derive(Debug, PartialEq)]
pub(crate) enum Opened {
    Application(Vec<u8>),
    Node(Post),
    /// Of a release that knows more than this one, or damaged by its sender.
    Unknown,
}

pub(crate) fn of_application(message: &[u8]) -> Vec<u8> {
    [&[APPLICATION], message].concat()
}

pub(crate) fn of_node(post: &Post) -> Vec<u8> {
    let mut bytes = vec![NODE];
    serde_json::to_writer(&mut bytes, post).expect("a post is plain data");
    bytes
}

pub(crate) fn open(mut payload: Vec<u8>) -> Opened {
    match payload.first() {
        Some(&APPLICATION) => {
            payload.remove(0);
            Opened::Application(payload)
        }
        Some(&NODE) => serde_json::from_slice(&payload[1..]).map_or(Opened::Unknown, Opened::Node),
        Some(_) | None => Opened::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_read_back() {
        for post in [
            Post::Question { id: 7, question: Question::Why { handle: "n1.1:2.3".into() } },
            Post::Question { id: u64::MAX, question: Question::Over },
            Post::Reply { id: 7, reply: Reply::Only { objects: 3, bytes: 1 << 40, held: 2 } },
            Post::Reply { id: 8, reply: Reply::Refused("no".into()) },
        ] {
            assert_eq!(open(of_node(&post)), Opened::Node(post));
        }
        assert_eq!(open(of_application(b"abc")), Opened::Application(b"abc".to_vec()));
    }

    #[test]
    fn what_is_no_post_is_known_for_that() {
        for payload in
            [&b""[..], b"\x01", b"\x01{}", b"\x02x", b"\x01{\"question\":{\"id\":1,\"question\":\"fly\"}}"]
        {
            assert_eq!(open(payload.to_vec()), Opened::Unknown, "{payload:?}");
        }
    }
}
