//! Cycles over all nodes, as one node sees them: who waits for which, and how each ended.
//!
//! Every node takes part in every one. So whoever wants one, anywhere, waits for the next that begins *here* and is answered when it has ended and
//! this node's collector is through with its part.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use gc_protocol::{CycleEnding, CycleId};

use crate::cluster::error::ClusterError;
use crate::cluster::record::OverRecord;
use crate::record::CycleRecord;

type Reply = Sender<Result<OverRecord, ClusterError>>;

/// One that has begun.
struct Over {
    cycle: CycleId,
    begun: Instant,
    riders: Vec<Reply>,
    ending: Option<CycleEnding>,
    /// The collector's part, once it is through.
    here: Option<Option<Box<CycleRecord>>>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Overs {
    /// With the time since when they wait.
    waiting: Vec<(Instant, Reply)>,
    /// Somebody wants one who does not wait for it.
    wanted: bool,
    begun: VecDeque<Over>,
    last: Option<OverRecord>,
}

impl Overs {
    pub(crate) fn want(&mut self, reply: Reply) {
        self.waiting.push((Instant::now(), reply));
    }

    pub(crate) fn want_one(&mut self) {
        self.wanted = true;
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted || !self.waiting.is_empty()
    }

    /// Whether one is under way between the nodes. The collector may still be busy with an earlier one.
    pub(crate) fn is_running(&self) -> bool {
        self.begun.iter().any(|over| over.ending.is_none())
    }

    /// The first member knows that one is wanted. Those who wait go on waiting for it.
    pub(crate) fn asked_elsewhere(&mut self) {
        self.wanted = false;
    }

    pub(crate) fn begun(&mut self, cycle: CycleId) {
        self.wanted = false;
        let riders = std::mem::take(&mut self.waiting).into_iter().map(|(_, reply)| reply).collect();
        self.begun.push_back(Over { cycle, begun: Instant::now(), riders, ending: None, here: None });
    }

    /// None can begin, for a member is not there: it would take part in all of it, and its marks would wait for it. Who waits does so for `patience` and is
    /// told then.
    pub(crate) fn put_off(&mut self, absent: &str, patience: Duration) {
        self.wanted = false;
        for (_, reply) in self.waiting.extract_if(.., |(since, _)| since.elapsed() >= patience) {
            let _ = reply.send(Err(ClusterError::Absent(absent.to_owned())));
        }
    }

    pub(crate) fn ended(&mut self, cycle: CycleId, why: CycleEnding) {
        if let Some(over) = self.begun.iter_mut().find(|over| over.cycle == cycle) {
            over.ending = Some(why);
        }
    }

    pub(crate) fn here(&mut self, cycle: CycleId, record: Option<Box<CycleRecord>>) {
        if let Some(over) = self.begun.iter_mut().find(|over| over.cycle == cycle) {
            over.here = Some(record);
        }
    }

    /// Answers those who wait for cycles that are over.
    pub(crate) fn answer(&mut self) {
        while let Some(over) = self.begun.pop_front() {
            let (Some(ending), Some(here)) = (over.ending, &over.here) else {
                return self.begun.push_front(over);
            };
            let record = OverRecord {
                cycle: format!("{}.{}", over.cycle.epoch().0, over.cycle.number()),
                ending: word(ending).into(),
                duration_s: over.begun.elapsed().as_secs_f64(),
                here: here.clone(),
            };
            for rider in over.riders {
                let _ = rider.send(Ok(record.clone()));
            }
            self.last = Some(record);
        }
    }

    pub(crate) fn last(&self) -> Option<&OverRecord> {
        self.last.as_ref()
    }
}

fn word(ending: CycleEnding) -> &'static str {
    match ending {
        CycleEnding::Swept => "swept",
        CycleEnding::VotedDown => "voted-down",
        CycleEnding::TimedOut => "timed-out",
        CycleEnding::MembershipChanged => "membership-changed",
        CycleEnding::Abandoned => "abandoned",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn who_asks_while_one_runs_gets_the_next() {
        let mut overs = Overs::default();
        let (first, heard_first) = channel();
        let (second, heard_second) = channel();
        overs.want(first);
        overs.begun(CycleId(1));
        overs.want(second);
        assert!(overs.is_wanted() && overs.is_running());
        overs.ended(CycleId(1), CycleEnding::Swept);
        overs.answer();
        assert!(heard_first.try_recv().is_err(), "the collector is not through");
        // The next one begins between the nodes before that.
        overs.begun(CycleId(2));
        overs.here(CycleId(1), None);
        overs.answer();
        assert_eq!(heard_first.try_recv().unwrap().unwrap().ending, "swept");
        overs.here(CycleId(2), None);
        overs.ended(CycleId(2), CycleEnding::VotedDown);
        overs.answer();
        assert_eq!(heard_second.try_recv().unwrap().unwrap().ending, "voted-down");
        assert!(!overs.is_wanted() && !overs.is_running());
    }

    #[test]
    fn while_a_member_is_away_nobody_waits_for_ever() {
        let mut overs = Overs::default();
        let (reply, heard) = channel();
        overs.want(reply);
        overs.want_one();
        overs.put_off("n3", Duration::from_secs(60));
        assert!(overs.is_wanted() && heard.try_recv().is_err(), "it may come back");
        overs.put_off("n3", Duration::ZERO);
        let told = heard.try_recv().unwrap().unwrap_err().to_string();
        assert!(told.contains("n3") && told.contains("host cluster exile n3"), "{told}");
        assert!(!overs.is_wanted());
    }
}
