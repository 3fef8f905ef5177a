//! A network that loses, repeats, delays and reorders frames, and that is cut in one direction or in both.

use std::collections::BTreeSet;

use crate::random::Random;
use crate::schedule::MS;

/// How bad the network is.
#[derive(Debug, Copy, Clone, Default)]
pub struct Weather {
    /// How many frames of a hundred are lost.
    pub loss_percent: u64,
    /// How many are repeated. Some of those come very late: on a connection, or for a life, that is no more.
    pub repeat_percent: u64,
    /// Frames take up to this long, each as long as it likes. 0: the weather is fine, nothing is lost or repeated, and all take a millisecond.
    pub delay_us_max: u64,
}

/// Who is connected with whom, and which ways are cut.
#[derive(Debug, Default)]
pub struct Network {
    connected: BTreeSet<(usize, usize)>,
    cut: BTreeSet<(usize, usize)>,
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl Network {
    /// After which delays a frame arrives: not at all, once, or twice.
    pub fn carry(&self, from: usize, to: usize, weather: Weather, random: &mut Random) -> Vec<u64> {
        let way = self.is_connected(from, to) && !self.cut.contains(&(from, to));
        if weather.delay_us_max == 0 {
            return if way { vec![MS] } else { Vec::new() };
        }
        let mut delays = Vec::new();
        for _ in 0..1 + usize::from(random.percent(weather.repeat_percent)) {
            let lost = random.percent(weather.loss_percent);
            if way && !lost {
                let delay = random.between(100, weather.delay_us_max) * 1000;
                let late = weather.repeat_percent > 0 && random.percent(2);
                delays.push(delay + if late { random.between(50, 300) * MS } else { 0 });
            }
        }
        delays
    }

    /// Whether there is a connection between these.
    #[must_use]
    pub fn is_connected(&self, a: usize, b: usize) -> bool {
        self.connected.contains(&pair(a, b))
    }

    /// Connects two, if the way is free in both directions. Answers whether that made a connection; `None` when the way is cut.
    pub fn connect(&mut self, a: usize, b: usize) -> Option<bool> {
        let cut = self.cut.contains(&(a, b)) || self.cut.contains(&(b, a));
        (!cut).then(|| self.connected.insert(pair(a, b)))
    }

    /// Ends a connection. Answers whether there was one.
    pub fn disconnect(&mut self, a: usize, b: usize) -> bool {
        self.connected.remove(&pair(a, b))
    }

    /// Nothing goes this way.
    pub fn cut(&mut self, way: (usize, usize)) {
        self.cut.insert(way);
    }

    /// This way is free again.
    pub fn heal(&mut self, way: (usize, usize)) {
        self.cut.remove(&way);
    }

    /// All ways are free again.
    pub fn heal_all(&mut self) {
        self.cut.clear();
    }
}
