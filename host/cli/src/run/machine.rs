//! How much memory there is.

use anyhow::anyhow;
use gc_heap::machine_bytes;

use crate::Usage;
use crate::units;

/// Refuses a heap that this machine could never fill.
pub(crate) fn check_heap(bytes: u64) -> anyhow::Result<()> {
    let machine = machine_bytes();
    if bytes > machine {
        let what = format!(
            "a heap of {} is more than the {} of memory and swap that this machine or container has: give a smaller --heap",
            units::bytes(bytes),
            units::bytes(machine)
        );
        return Err(anyhow!(Usage(what)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_must_fit_into_the_machine() {
        let machine = machine_bytes();
        assert!(
            check_heap(1 << 20).is_ok() && check_heap(machine).is_ok() && check_heap(machine + 1).is_err()
        );
        let refused = check_heap(1 << 60).unwrap_err().to_string();
        assert!(refused.contains("1024 PiB") && refused.contains("--heap"), "{refused}");
    }
}
