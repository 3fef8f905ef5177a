//! How much memory there is.

use anyhow::anyhow;

use crate::Usage;
use crate::units;

/// Refuses a heap that this machine could never fill.
pub(crate) fn check_heap(bytes: u64) -> anyhow::Result<()> {
    let machine = memory_bytes();
    if bytes > machine {
        let what = format!(
            "a heap of {} is more than the {} of memory that this machine has: give a smaller --heap",
            units::bytes(bytes),
            units::bytes(machine)
        );
        return Err(anyhow!(Usage(what)));
    }
    Ok(())
}

/// Memory of the machine, or of the control group where that is less.
fn memory_bytes() -> u64 {
    let system = rustix::system::sysinfo();
    let machine = u64::from(system.mem_unit) * system.totalram as u64;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    machine.min(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_must_fit_into_the_machine() {
        assert!(check_heap(1 << 20).is_ok());
        let refused = check_heap(1 << 60).unwrap_err().to_string();
        assert!(refused.contains("1024 PiB") && refused.contains("--heap"), "{refused}");
    }
}
