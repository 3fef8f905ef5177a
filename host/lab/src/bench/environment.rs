//! Where a comparison runs: read from `/proc` and `/sys`, as far as they are there.

use std::path::Path;

use crate::bench::model::Environment;

/// Load per processor above which figures are stamped noisy.
const LOAD_MAX: f64 = 0.25;

/// Share of the processors that others may use during a run before figures are stamped noisy.
const OTHERS_MAX: f64 = 0.05;

impl Environment {
    /// What the system says of itself. Versions and digests are for the caller to fill in.
    #[must_use]
    pub fn of_system() -> Environment {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
        let mut environment = Environment {
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
            kernel: format!(
                "{} {}",
                line("/proc/sys/kernel/ostype").unwrap_or_default(),
                line("/proc/sys/kernel/osrelease").unwrap_or_default()
            ),
            cpu: field("/proc/cpuinfo", "model name")
                .or_else(|| field("/proc/cpuinfo", "CPU implementer"))
                .unwrap_or_else(|| std::env::consts::ARCH.into()),
            cpus,
            memory_bytes: memory_bytes(),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            turbo: turbo(),
            huge_pages: line("/sys/kernel/mm/transparent_hugepage/enabled").as_deref().and_then(chosen),
            load_at_begin: load(),
            ..Environment::default()
        };
        if environment.load_at_begin[0] > LOAD_MAX * f64::from(cpus) {
            environment.noisy.push(format!(
                "the load was {:.2} on {cpus} processors before anything was measured",
                environment.load_at_begin[0]
            ));
        }
        if environment.build == "debug" {
            environment
                .noisy
                .push("this is a debug build: its figures say nothing about a release build".into());
        }
        if environment.governor.as_deref().is_some_and(|governor| governor != "performance") {
            let governor = environment.governor.as_deref().unwrap_or_default();
            environment
                .noisy
                .push(format!("the frequency governor is '{governor}': clocks vary with the load"));
        }
        environment
    }

    /// Adds what was found while measuring: the shares of the processors that others used, run by run.
    pub fn end(&mut self, mut others: Vec<f64>) {
        self.load_at_end = load();
        others.sort_unstable_by(f64::total_cmp);
        if let Some(&median) = others.get(others.len() / 2)
            && median > OTHERS_MAX
        {
            self.noisy.push(format!(
                "other processes used {:.0} % of the processors in the median of all runs",
                median * 100.0
            ));
        }
    }
}

/// Busy time of all processors since the machine started, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    busy: u64,
    all: u64,
}

impl Ticks {
    /// Up to this moment; none where the system does not say.
    #[must_use]
    pub fn now() -> Option<Ticks> {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        ticks(text.lines().next()?)
    }

    /// Share of all processors that others used since `self`, when this process's own children used so much CPU time.
    #[must_use]
    pub fn others(self, later: Ticks, own_ns: u64) -> Option<f64> {
        let all = later.all.checked_sub(self.all).filter(|&all| all > 0)?;
        let busy = later.busy.saturating_sub(self.busy);
        // A tick is 10 ms on every Linux that reports them.
        let own = own_ns as f64 / 10_000_000.0;
        Some(((busy as f64 - own) / all as f64).clamp(0.0, 1.0))
    }
}

/// `cpu  user nice system idle iowait irq softirq steal ...`
fn ticks(line: &str) -> Option<Ticks> {
    let numbers: Vec<u64> =
        line.strip_prefix("cpu ")?.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let all = numbers.iter().take(8).sum();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some(Ticks { busy: all - idle, all })
}

fn line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// `always [madvise] never`
fn chosen(line: &str) -> Option<String> {
    Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())
}

fn turbo() -> Option<bool> {
    let boost = line("/sys/devices/system/cpu/cpufreq/boost").map(|value| value == "1");
    boost.or_else(|| line("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|value| value == "0"))
}

fn load() -> [f64; 3] {
    let text = line("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(0.0));
    [(); 3].map(|()| numbers.next().unwrap_or(0.0))
}

fn memory_bytes() -> u64 {
    let machine = field("/proc/meminfo", "MemTotal").and_then(|text| kilobytes(&text)).unwrap_or(0);
    let group =
        Path::new("/sys/fs/cgroup/memory.max").to_str().and_then(line).and_then(|text| text.parse().ok());
    machine.min(group.unwrap_or(u64::MAX))
}

/// Memory that could be taken without swapping, in bytes.
#[must_use]
pub fn available_bytes() -> u64 {
    field("/proc/meminfo", "MemAvailable").and_then(|text| kilobytes(&text)).unwrap_or(0)
}

fn kilobytes(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_of_the_kernel_are_read() {
        let before = ticks("cpu  100 0 100 700 100 0 0 0 0 0").unwrap();
        let after = ticks("cpu  200 0 200 800 100 0 0 0 50 0").unwrap();
        // 200 of 300 ticks busy, 100 of them (1 s) our own.
        assert_eq!(before.others(after, 1_000_000_000), Some(100.0 / 300.0));
        assert_eq!(before.others(before, 0), None);
        assert_eq!(ticks("cpu0 1 2 3"), None);
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(kilobytes("23 kB"), Some(23 * 1024));
    }

    #[test]
    fn this_machine_says_something() {
        let environment = Environment::of_system();
        assert!(environment.cpus > 0 && environment.memory_bytes > 1 << 20, "{environment:?}");
        assert!(environment.kernel.starts_with("Linux "), "{environment:?}");
        assert!(Ticks::now().is_some() && available_bytes() > 0);
    }

    #[test]
    fn busy_neighbours_are_stamped() {
        let mut environment = Environment::default();
        environment.end(vec![0.01, 0.02, 0.5]);
        assert!(environment.noisy.is_empty());
        environment.end(vec![0.01, 0.2, 0.5]);
        assert!(environment.noisy[0].contains("20 %"), "{environment:?}");
    }
}
