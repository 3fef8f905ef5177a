//! Remote references, registered and released again: two members of the protocol with heaps of their own, joined by real links, both driven by this
//! thread. Prints a JSON line per round.
//!
//! ```text
//!  home:    send(objects) ──▶ ┐                                     ┌──▶ release
//!  holder:                    └──▶ stubs, pinned, let go ─ cycle ─▶ ┘
//! ```
//!
//! All processor time of the process counts, encryption and both kernels' ends included; that of the cycle that finds the dropped stubs is counted
//! beside it.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use gc_cluster::Transport;
use gc_heap::{Cause, Collector, CycleEnd, CycleRequest, Heap, HeapConfig, HeapError, Pace, Pin, Quarantine};
use gc_plugin::{Access, Loader, WasmStrategy};
use gc_protocol::{Config, Effect, Event, Life, MembershipEpoch, NodeId};
use gc_remote::{Member, Outward};
use tokio::sync::mpsc::Receiver;

use super::scratch::{LOOPBACK, Scratch};
use crate::clock::process_cpu;
use crate::on_heap;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Messages that are handed to a member before it is given time to send them.
const MESSAGES_AT_ONCE: usize = 512;
/// Bytes of each heap.
const HEAP_BYTES: u64 = 512 << 20;

/// Registers and releases remote references.
#[derive(Args)]
pub(super) struct Arguments {
    /// Number of rounds
    #[arg(default_value_t = 9)]
    rounds: u32,
    /// References per round
    #[arg(default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    references: u32,
    /// References in one message of the program
    #[arg(default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    together: u16,
}

/// One member with its links.
struct Side {
    member: Member,
    transport: Transport,
    events: Receiver<gc_cluster::Event>,
    other: u32,
    arrived: u64,
    refused: u64,
}

/// Both. Objects are at home with the first.
struct Two {
    sides: [Side; 2],
    begun: Instant,
}

/// What has been sent by both.
#[derive(Copy, Clone)]
struct Sent {
    messages: u64,
    frames: u64,
    bytes: u64,
    packets: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut scratch = Scratch::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut two = Two::connect(&mut scratch).await?;
        let objects = two.objects(arguments.references)?;
        let holder = two.sides[1].member.heap().clone();
        let (_loader, mut strategy): (Loader, WasmStrategy) =
            on_heap::attach("tracing", &holder, Access::Auto)?;
        let mut collector = Collector::new(&holder);
        let mut collect = || drop_stubs(&mut collector, &mut strategy);
        for round in 0..=arguments.rounds {
            let line = two.once(&objects, usize::from(arguments.together), &mut collect).await?;
            if round > 0 {
                println!("{line}");
            }
        }
        Ok(())
    })
}

fn drop_stubs(collector: &mut Collector, strategy: &mut WasmStrategy) -> Result<(), Box<dyn Error>> {
    let report = collector.run(&CycleRequest::new(Cause::Request), strategy, None, &mut |_| Pace::Go);
    match report.end {
        CycleEnd::Settled => Ok(()),
        end => Err(format!("the cycle came to nothing: {end:?}").into()),
    }
}

impl Side {
    fn start(scratch: &mut Scratch, name: &str, other: u32) -> Result<Side, Box<dyn Error>> {
        let credentials = scratch.credentials(name)?;
        let life = Life::new(credentials.identity.number, 1);
        let heap = HeapConfig {
            node: life.node.0,
            incarnation: 1,
            quarantine: Quarantine::Off,
            ..HeapConfig::with_limit(HEAP_BYTES)
        };
        let (transport, events) = Transport::start(LOOPBACK, &credentials, 1)?;
        let member = Member::new(Heap::new(heap)?, Config::new(life, 1, u64::from(life.node.0)))?;
        Ok(Side { member, transport, events, other, arrived: 0, refused: 0 })
    }

    fn perform(&mut self, outward: Vec<Outward>) {
        for outward in outward {
            match outward {
                // The pins go with the delivery: the program keeps nothing.
                Outward::Delivered(delivery) => self.arrived += delivery.references.len() as u64,
                Outward::Effect(Effect::Transmit { peer, frame }) => {
                    // What there is no room for is sent again by the protocol.
                    let _ = self.transport.send(peer.0, frame.into());
                }
                Outward::Effect(Effect::NotSent { .. }) => self.refused += 1,
                Outward::Effect(_) => {}
            }
        }
    }

    fn feed(&mut self, now: u64, event: Event) {
        let outward = self.member.step(now, event);
        self.perform(outward);
    }

    fn link(&mut self, now: u64, event: gc_cluster::Event) -> Result<(), Box<dyn Error>> {
        let peer = NodeId(self.other);
        match event {
            gc_cluster::Event::Up { .. } => self.feed(now, Event::Connected { peer, wall_ms: 0 }),
            gc_cluster::Event::Frame { frame, .. } => {
                self.feed(now, Event::Received { peer, frame: frame.into() });
            }
            gc_cluster::Event::Gossip { .. } => {}
            gc_cluster::Event::Down { why, .. } => return Err(why.into()),
        }
        Ok(())
    }
}

impl Two {
    async fn connect(scratch: &mut Scratch) -> Result<Two, Box<dyn Error>> {
        let sides = [Side::start(scratch, "home", 2)?, Side::start(scratch, "holder", 1)?];
        let mut two = Two { sides, begun: Instant::now() };
        let members: BTreeSet<Life> = [Life::new(1, 1), Life::new(2, 1)].into();
        for side in &mut two.sides {
            let (epoch, members) = (MembershipEpoch(1), members.clone());
            side.feed(0, Event::MembershipChanged { epoch, members });
        }
        two.sides[0].transport.join(two.sides[1].transport.address()?);
        let trusts = |side: &Side| side.member.node().trusts(Life::new(side.other, 1));
        two.pump("a link", |two| two.sides.iter().all(trusts)).await?;
        Ok(two)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn objects(&self, count: u32) -> Result<Vec<Pin>, HeapError> {
        self.sides[0].member.heap().mutator().scope(|scope| {
            (0..count).map(|_| scope.alloc(&[], &[]).map(|object| scope.pin(object))).collect()
        })
    }

    async fn once(
        &mut self,
        objects: &[Pin],
        together: usize,
        collect: &mut dyn FnMut() -> Result<(), Box<dyn Error>>,
    ) -> Result<String, Box<dyn Error>> {
        let wanted = self.sides[1].arrived + objects.len() as u64;
        let (before, begun, cpu) = (self.sent()?, Instant::now(), process_cpu());
        for messages in objects.chunks(together * MESSAGES_AT_ONCE) {
            let already = self.sides[1].arrived;
            for held in messages.chunks(together) {
                let now = self.now();
                let outward = self.sides[0].member.send(now, NodeId(2), held, Vec::new(), 0);
                self.sides[0].perform(outward);
            }
            let all = already + messages.len() as u64;
            self.pump("references that arrive", |two| two.sides[1].arrived >= all).await?;
        }
        if self.sides[1].arrived != wanted || self.sides[0].refused > 0 {
            return Err("a message was not taken".into());
        }
        self.pump("references that are listed", |two| {
            two.sides[0].member.node().references().pin_count() == 0
        })
        .await?;
        if self.listed() != objects.len() as u64 {
            return Err("not every reference is listed".into());
        }
        let (registered, cycle_from) = (process_cpu() - cpu, process_cpu());
        collect()?;
        let cycle = process_cpu() - cycle_from;
        let now = self.now();
        let outward = self.sides[1].member.poll(now);
        self.sides[1].perform(outward);
        self.pump("references that are released", |two| two.listed() == 0).await?;
        let (all, took, sent) = (process_cpu() - cpu, begun.elapsed(), self.sent()?);
        Ok(format!(
            "{{\"references\":{},\"cpu_ns\":{},\"register_cpu_ns\":{},\"cycle_cpu_ns\":{},\"took_ns\":{},\"messages\":{},\"frames\":{},\"bytes\":{},\"packets\":{}}}",
            objects.len(),
            all.as_nanos(),
            registered.as_nanos(),
            cycle.as_nanos(),
            took.as_nanos(),
            sent.messages - before.messages,
            sent.frames - before.frames,
            sent.bytes - before.bytes,
            sent.packets - before.packets,
        ))
    }

    /// What the home knows that the other holds.
    fn listed(&self) -> u64 {
        self.sides[0].member.node().references().listed_count(Life::new(2, 1))
    }

    fn sent(&self) -> Result<Sent, Box<dyn Error>> {
        let mut sent = Sent { messages: 0, frames: 0, bytes: 0, packets: 0 };
        for side in &self.sides {
            let counters = side.member.node().counters();
            sent.messages += counters.messages_sent;
            sent.frames += counters.frames_sent;
            sent.bytes += counters.bytes_sent;
            sent.packets += side.transport.packets_sent(side.other).ok_or("there is no link")?;
        }
        Ok(sent)
    }

    /// Drives both until something is so.
    async fn pump(&mut self, what: &str, done: impl Fn(&Two) -> bool) -> Result<(), Box<dyn Error>> {
        let until = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() > until {
                return Err(format!("it does not come to {what}").into());
            }
            let now = self.now();
            let wake = self.sides.iter().filter_map(|side| side.member.next_wake()).min();
            let wait = wake.map_or(100_000_000, |wake| wake.saturating_sub(now)).min(100_000_000);
            let [home, holder] = &mut self.sides;
            let begun = self.begun;
            let clock = || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            tokio::select! {
                Some(event) = home.events.recv() => home.link(clock(), event)?,
                Some(event) = holder.events.recv() => holder.link(clock(), event)?,
                () = tokio::time::sleep(Duration::from_nanos(wait)) => {
                    for side in &mut self.sides {
                        let now = clock();
                        side.feed(now, Event::Ticked);
                    }
                }
            }
        }
        Ok(())
    }
}
