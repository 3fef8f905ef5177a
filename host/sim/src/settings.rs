//! What a run is made of, and what it counts.

use gc_protocol::{Faults, HomeMode};
use gc_surroundings::Weather;

use crate::strategies::{Kind, Make, native};

/// A run. Two runs with the same settings are the same run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where all that happens by chance comes from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How long mutators work and troubles come, in milliseconds.
    pub active_ms: u64,
    /// How long everything has to become clean after that, in milliseconds.
    pub heal_ms: u64,
    /// At the end there is to be no garbage.
    pub tidy: bool,
    /// The network, as long as troubles come.
    pub weather: Weather,
    /// Ways are cut and connections lost.
    pub cuts: bool,
    /// Processes stop and go on.
    pub pauses: bool,
    /// Processes die, and come back with another incarnation, with or without knowing their last one.
    pub crashes: bool,
    /// Clocks on the wall are set.
    pub clock_jumps: bool,
    /// Cycles are given up in the middle.
    pub abandons: bool,
    /// By how much monotonic clocks run wrong, as leases know.
    pub drift_ppm: u64,
    /// By how much they run wrong in truth.
    pub clock_drift_ppm: u64,
    /// Monotonic clocks stand still while their process does, as those do that count no suspend. They must not.
    pub clocks_sleep: bool,
    /// Proposals decide who is exiled. Else only a node that comes back takes the place of its earlier life, as where people decide and nobody does.
    pub exiles: bool,
    /// What a home does when the lease of a client has lapsed.
    pub home_mode: HomeMode,
    /// References may form cycles, also over nodes, and the cluster marks them. Without, all garbage is acyclic over nodes.
    pub cycles: bool,
    /// Longest time between two operations of a mutator, in microseconds.
    pub pace_us: u64,
    /// Memberships take up to this long to reach a node.
    pub membership_ms_max: u64,
    /// What collects: node `i` has number `i % len`.
    pub strategies: Vec<Kind>,
    /// How strategies are made.
    pub make: Make,
    /// Rules of the protocol that are broken on purpose.
    pub faults: Faults,
    /// Every effect is printed.
    pub trace: bool,
}

impl Settings {
    /// Nothing bad happens.
    #[must_use]
    pub fn calm(seed: u64) -> Settings {
        Settings {
            seed,
            nodes: 3 + (seed % 2) as usize,
            active_ms: 300,
            heal_ms: 1800,
            tidy: true,
            weather: Weather { loss_percent: 0, repeat_percent: 0, delay_us_max: 5_000 },
            cuts: false,
            pauses: false,
            crashes: false,
            clock_jumps: false,
            abandons: false,
            drift_ppm: 1_000,
            clock_drift_ppm: 1_000,
            clocks_sleep: false,
            exiles: true,
            home_mode: HomeMode::FenceFree,
            cycles: false,
            pace_us: 2_500,
            membership_ms_max: 20,
            strategies: vec![Kind::Tracing, Kind::Refcount, Kind::MarkSweep],
            make: native,
            faults: Faults::default(),
            trace: false,
        }
    }

    /// Everything bad happens.
    #[must_use]
    pub fn rough(seed: u64) -> Settings {
        Settings {
            active_ms: 600,
            heal_ms: 2500,
            weather: Weather { loss_percent: 5, repeat_percent: 5, delay_us_max: 20_000 },
            cuts: true,
            pauses: true,
            crashes: true,
            clock_jumps: true,
            abandons: true,
            drift_ppm: 50_000,
            clock_drift_ppm: 50_000,
            membership_ms_max: 100,
            ..Settings::calm(seed)
        }
    }

    /// The same with cycles over nodes, and strategies that find them.
    #[must_use]
    pub fn cyclic(self) -> Settings {
        let strategies = vec![Kind::Tracing, Kind::MarkSweep];
        Settings { cycles: true, strategies, pace_us: 2 * self.pace_us, ..self }
    }

    /// The same with strategies that tell too little of what they reached. They find less, so what is left over at the end is not asked for.
    #[must_use]
    pub fn forgetful(self) -> Settings {
        Settings { strategies: vec![Kind::Forgetful, Kind::Tracing], heal_ms: 300, tidy: false, ..self }
    }
}

/// What happened in a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Of everything that happened, in its order.
    pub digest: u64,
    /// Things that happened.
    pub events: u64,
    /// Frames handed to the network.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Small messages in them.
    pub messages: u64,
    /// Messages of the application sent.
    pub copies: u64,
    /// References delivered.
    pub delivered: u64,
    /// Objects that mutators made.
    pub allocated: u64,
    /// Cells that collections condemned.
    pub condemned: u64,
    /// Local collections.
    pub collections: u64,
    /// Cells that were kept because they were looked up late.
    pub withheld: u64,
    /// Objects that were found again by their handles.
    pub revived: u64,
    /// Members exiled.
    pub exiles: u64,
    /// Processes started again.
    pub restarts: u64,
    /// Entries that digests healed.
    pub healed: u64,
    /// Cycles over nodes that were swept, counted at each node.
    pub swept: u64,
    /// Cells condemned in them.
    pub swept_cells: u64,
    /// Cycles over nodes that were voted down.
    pub voted_down: u64,
    /// Cycles over nodes that ended otherwise.
    pub cycles_lost: u64,
    /// Times that everything reachable was looked at.
    pub checks: u64,
}

impl std::ops::AddAssign<&Stats> for Stats {
    fn add_assign(&mut self, other: &Stats) {
        self.digest = self.digest.rotate_left(1) ^ other.digest;
        for (sum, more) in [
            (&mut self.events, other.events),
            (&mut self.frames, other.frames),
            (&mut self.bytes, other.bytes),
            (&mut self.messages, other.messages),
            (&mut self.copies, other.copies),
            (&mut self.delivered, other.delivered),
            (&mut self.allocated, other.allocated),
            (&mut self.condemned, other.condemned),
            (&mut self.collections, other.collections),
            (&mut self.withheld, other.withheld),
            (&mut self.revived, other.revived),
            (&mut self.exiles, other.exiles),
            (&mut self.restarts, other.restarts),
            (&mut self.healed, other.healed),
            (&mut self.swept, other.swept),
            (&mut self.swept_cells, other.swept_cells),
            (&mut self.voted_down, other.voted_down),
            (&mut self.cycles_lost, other.cycles_lost),
            (&mut self.checks, other.checks),
        ] {
            *sum += more;
        }
    }
}
