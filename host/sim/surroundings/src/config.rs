//! How simulated nodes are set.

use gc_protocol::swap::SwapConfig;
use gc_protocol::{Config, Faults, HomeMode, LeaseConfig, Life, LinkConfig};

use crate::MS;

/// Times a few times shorter than the defaults, so that much happens in a second.
#[must_use]
pub fn hasty(life: Life, nonce: u64, drift_ppm: u64, faults: Faults) -> Config {
    let mut config = Config::new(life, 77, nonce);
    config.link = LinkConfig {
        flush_after: 2 * MS,
        resend_after: 50 * MS,
        acknowledge_after: 8 * MS,
        hello_every: 30 * MS,
        in_order: false,
    };
    config.lease = LeaseConfig {
        duration: 300 * MS,
        drift_ppm,
        guard: 10 * MS,
        renew_every: 60 * MS,
        mode: HomeMode::FenceFree,
    };
    config.digest_every = 150 * MS;
    config.mark.wave_every = 2 * MS;
    config.mark.timeout = 1000 * MS;
    config.swap = SwapConfig { ask_again_after: 100 * MS, timeout: 400 * MS };
    config.faults = faults;
    config
}
