//! The distributions that workloads draw from.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::limits::PAYLOAD_DRAWN_MAX;
use crate::options::count;

/// The random numbers of one stream of a seed: those of different streams have nothing to do with each other.
pub(crate) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}

/// How large payloads are. Object sizes of programs are skewed, with a median of some tens of bytes and a
/// long tail, which a log-normal distribution follows (object demographics in Blackburn et al., *The DaCapo
/// Benchmarks*, OOPSLA 2006).
#[derive(Debug, Copy, Clone, PartialEq)]
pub enum Size {
    /// All the same.
    Fixed(u64),
    /// Anything from the first to the second, equally likely.
    Uniform(u64, u64),
    /// Log-normal with this median and this standard deviation of the logarithm, cut at 1024 medians.
    LogNormal(u64, f64),
}

impl Size {
    /// How it is written.
    pub(crate) const WANTED: &'static str =
        "fixed:BYTES, uniform:MIN:MAX or lognormal:MEDIAN:SIGMA, at most 64 MiB and a sigma of 4";

    pub(crate) fn parse(text: &str) -> Option<Size> {
        let (kind, numbers) = text.split_once(':')?;
        let bytes = |text| count(text).filter(|&bytes| bytes <= PAYLOAD_DRAWN_MAX);
        match kind {
            "fixed" => Some(Size::Fixed(bytes(numbers)?)),
            "uniform" => {
                let (min, max) = numbers.split_once(':')?;
                let (min, max) = (bytes(min)?, bytes(max)?);
                (min <= max).then_some(Size::Uniform(min, max))
            }
            "lognormal" => {
                let (median, sigma) = numbers.split_once(':')?;
                let sigma = sigma.parse::<f64>().ok().filter(|sigma| (0.0..=4.0).contains(sigma))?;
                Some(Size::LogNormal(bytes(median)?, sigma))
            }
            _ => None,
        }
    }

    /// Its mean.
    pub(crate) fn mean(self) -> u64 {
        match self {
            Size::Fixed(bytes) => bytes,
            Size::Uniform(min, max) => min.midpoint(max),
            Size::LogNormal(median, sigma) => (median as f64 * (sigma * sigma / 2.0).exp()) as u64,
        }
    }

    pub(crate) fn sample(self, random: &mut impl Rng) -> usize {
        let bytes = match self {
            Size::Fixed(bytes) => bytes,
            Size::Uniform(min, max) => random.random_range(min..=max),
            Size::LogNormal(median, sigma) => {
                let factor = (sigma * normal(random)).exp().min(1024.0);
                (median as f64 * factor).round() as u64
            }
        };
        bytes.min(PAYLOAD_DRAWN_MAX) as usize
    }
}

/// Normal with mean 0 and deviation 1 (Box and Muller 1958).
fn normal(random: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Geometric from 1 with this mean, cut at `max`.
pub(crate) fn geometric(mean: f64, max: u64, random: &mut impl Rng) -> u64 {
    let draw = 1.0 - random.random::<f64>();
    if mean <= 1.0 {
        return 1;
    }
    let more = (draw.ln() / (1.0 - 1.0 / mean).ln()).floor();
    (1 + more as u64).min(max)
}

/// Terms of the sum over all ranks that are added one by one.
const ZETA_EXACT: u64 = 10_000;

/// Ranks from 0 by Zipf's law: rank `r` comes up in proportion to `1 / (r + 1)^theta`.
///
/// The generator of Gray, Sundaresan, Englert, Baclawski and Weinberger (*Quickly Generating Billion-Record
/// Synthetic Databases*, SIGMOD 1994), which YCSB uses with `theta` 0.99 (Cooper, Silberstein, Tam,
/// Ramakrishnan, Sears: *Benchmarking Cloud Serving Systems with YCSB*, SoCC 2010). The first two ranks are
/// exact, the rest follow a power function that comes close.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    items: f64,
    alpha: f64,
    eta: f64,
    zeta: f64,
    second: f64,
}

impl Zipf {
    /// Of `items` ranks; `theta` from 0 (all alike) to below 1.
    pub(crate) fn new(items: u64, theta: f64) -> Zipf {
        let weight = |rank: u64| (rank as f64).powf(-theta);
        let exact = items.min(ZETA_EXACT);
        // The rest is the integral, with the trapezoids' ends (Euler and Maclaurin); the next term is below 1e-9.
        let integral = |rank: u64| (rank as f64).powf(1.0 - theta) / (1.0 - theta);
        let rest = integral(items) - integral(exact) + (weight(items) - weight(exact)) / 2.0;
        let zeta = (1..=exact).map(weight).sum::<f64>() + rest;
        let second = 1.0 + weight(2);
        let rest = 1.0 - (2.0 / items as f64).powf(1.0 - theta);
        let eta = if items > 2 { rest / (1.0 - second / zeta) } else { 0.0 };
        Zipf { items: items as f64, alpha: 1.0 / (1.0 - theta), eta, zeta, second }
    }

    pub(crate) fn sample(&self, random: &mut impl Rng) -> u64 {
        let draw = random.random::<f64>();
        let place = draw * self.zeta;
        if place < 1.0 || self.items < 2.0 {
            return 0;
        }
        if place < self.second || self.items < 3.0 {
            return 1;
        }
        let rank = self.items * (self.eta * draw - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.items as u64 - 1)
    }

    /// A rank strewn over `0..items`, so that what is asked for often does not stand together. As YCSB does it,
    /// by a hash; two ranks may fall on one key.
    pub(crate) fn sample_strewn(&self, random: &mut impl Rng) -> u64 {
        fnv(self.sample(random)) % self.items as u64
    }
}

/// FNV-1a of eight bytes (Fowler, Noll, Vo 1991).
fn fnv(number: u64) -> u64 {
    number.to_le_bytes().into_iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// Exponential with this mean: the time between two arrivals of a Poisson process.
pub(crate) fn exponential(mean: f64, random: &mut impl Rng) -> f64 {
    -mean * (1.0 - random.random::<f64>()).ln()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn mean_of(mut draw: impl FnMut(&mut ChaCha8Rng) -> f64) -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        (0..100_000).map(|_| draw(&mut random)).sum::<f64>() / 100_000.0
    }

    #[test]
    fn distributions_have_the_means_that_they_say() {
        let near =
            |found: f64, wanted: f64| assert!((found / wanted - 1.0).abs() < 0.03, "{found} for {wanted}");
        near(mean_of(|random| geometric(4.0, u64::MAX, random) as f64), 4.0);
        near(mean_of(|random| geometric(1.0, 8, random) as f64), 1.0);
        near(mean_of(|random| Size::Uniform(10, 20).sample(random) as f64), 15.0);
        near(mean_of(|random| Size::Fixed(64).sample(random) as f64), 64.0);
        // A log-normal distribution has the mean median * exp(sigma^2 / 2).
        near(mean_of(|random| Size::LogNormal(64, 1.0).sample(random) as f64), 64.0 * 0.5_f64.exp());
    }

    #[test]
    fn ranks_follow_zipfs_law() {
        for theta in [0.0, 0.5, 0.99] {
            let zipf = Zipf::new(1000, theta);
            let mut random = ChaCha8Rng::seed_from_u64(1);
            let mut seen = vec![0_u32; 1000];
            (0..400_000).for_each(|_| seen[zipf.sample(&mut random) as usize] += 1);
            let sum: f64 = (1..=1000).map(|rank| f64::from(rank).powf(-theta)).sum();
            for range in [0..1, 1..2, 2..10, 10..100, 100..1000] {
                let found: f64 = seen[range.clone()].iter().map(|&count| f64::from(count)).sum();
                let law: f64 = range.clone().map(|rank| (rank as f64 + 1.0).powf(-theta)).sum();
                let ratio = found / 400_000.0 / (law / sum);
                assert!((0.85..1.15).contains(&ratio), "theta {theta}, ranks {range:?}: {ratio}");
            }
        }
    }

    #[test]
    fn the_sum_over_many_ranks_is_as_good_as_exact() {
        for theta in [0.0, 0.5, 0.99] {
            let exact: f64 = (1..=100_000).map(|rank| f64::from(rank).powf(-theta)).sum();
            assert!((Zipf::new(100_000, theta).zeta / exact - 1.0).abs() < 1e-9, "theta {theta}");
        }
    }

    #[test]
    fn few_items_are_no_special_case() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for items in 1..5 {
            let zipf = Zipf::new(items, 0.99);
            let mut seen = vec![0; items as usize];
            (0..10_000).for_each(|_| seen[zipf.sample(&mut random) as usize] += 1);
            assert!(seen.iter().all(|&count| count > 500), "{items}: {seen:?}");
            assert!((0..100).all(|_| zipf.sample_strewn(&mut random) < items));
        }
    }

    #[test]
    fn arrivals_have_the_mean_that_they_say() {
        let mean = mean_of(|random| exponential(3.0, random));
        assert!((2.9..3.1).contains(&mean), "{mean}");
    }
}
