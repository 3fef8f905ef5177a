//! Answers questions of other nodes that take longer than the driver can be away: a thread of its own, with a short queue.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::cluster::handle::{Cluster, Order};
use crate::cluster::post::{Question, Reply};
use crate::limits::ANSWERS_PENDING;

/// A question of another node.
pub(crate) struct Asked {
    pub(crate) from: u32,
    pub(crate) id: u64,
    pub(crate) question: Question,
}

/// The end at which questions go in.
#[derive(Clone)]
pub(crate) struct Questions(SyncSender<Asked>);

impl Questions {
    /// Gives the question back when too many wait.
    pub(crate) fn put(&self, asked: Asked) -> Result<(), Asked> {
        self.0.try_send(asked).map_err(|refused| match refused {
            TrySendError::Full(asked) | TrySendError::Disconnected(asked) => asked,
        })
    }
}

/// The thread. It ends when the driver, which has the other end, is gone.
pub(crate) struct Answers {
    questions: Option<Questions>,
    thread: Option<JoinHandle<()>>,
}

impl Answers {
    pub(crate) fn start(cluster: Cluster) -> io::Result<Answers> {
        let (sender, questions) = sync_channel(ANSWERS_PENDING);
        let thread = std::thread::Builder::new()
            .name("gc-answers".into())
            .spawn(move || answer_all(&cluster, &questions))?;
        Ok(Answers { questions: Some(Questions(sender)), thread: Some(thread) })
    }

    pub(crate) fn sender(&self) -> Questions {
        self.questions.clone().expect("it is there until this is dropped")
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer_all(cluster: &Cluster, questions: &Receiver<Asked>) {
    for Asked { from, id, question } in questions {
        let reply = match question {
            Question::Why { handle } => match handle.parse() {
                Ok(handle) => match cluster.why_here(handle) {
                    Ok(here) => Reply::Why(here),
                    Err(error) => Reply::Refused(error.to_string()),
                },
                Err(error) => Reply::Refused(format!("{error}")),
            },
            Question::Only { node } => {
                cluster.only_here(node).unwrap_or_else(|error| Reply::Refused(error.to_string()))
            }
            // The driver acts on this itself.
            Question::Over => continue,
        };
        // A driver that is gone has nobody to tell.
        let _ = cluster.shared.order(Order::Answer { to: from, id, reply });
    }
}
