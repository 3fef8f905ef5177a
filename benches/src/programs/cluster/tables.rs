//! What the tables of remote references take in memory: two million stubs on one side and two million scion entries on the other, with cells in order and
//! in any order. Prints a JSON line for each.
//!
//! The figure is what the process has in memory more than before. So everything is kept to the end: what the tables take must not come from memory that
//! something else has given back.

use std::error::Error;

use clap::Args;
use gc_protocol::references::{Output, References};
use gc_protocol::wire::{Copy, Mention, Payload};
use gc_protocol::{Faults, Life, Object, Reference};

/// Weighs the tables of stubs and scions.
#[derive(Args)]
pub(super) struct Arguments {
    /// References in each table
    #[arg(default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(100_000..=50_000_000))]
    references: u32,
}

const HOME: Life = Life::new(1, 1);
const HOLDER: Life = Life::new(2, 1);

pub(super) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let in_order = weigh("in order", arguments.references, |index| index)?;
    // Odd: every cell comes once.
    let in_any_order = weigh("in any order", arguments.references, |index| index.wrapping_mul(0x9E37_79B1))?;
    drop((in_order, in_any_order));
    Ok(())
}

fn weigh(
    cells: &str,
    count: u32,
    cell: impl Fn(u32) -> u32,
) -> Result<(References, References), Box<dyn Error>> {
    let (mut holder, mut home) =
        (References::new(HOLDER, Faults::default()), References::new(HOME, Faults::default()));
    let object = |index| Object { cell: cell(index), generation: 0 };
    let before = resident_bytes()?;
    for index in 0..count {
        let references = vec![Reference { home: HOME, object: object(index) }];
        let copy = Copy { first: u64::from(index), references, payload: Payload::default() };
        holder.admit(HOME, &copy, |_| true, &mut Output::default());
        let mention = Mention { object: object(index), seq: u64::from(index) + 1 };
        holder.dirty_acknowledged(HOME, &mention, &mut Output::default());
    }
    let held = resident_bytes()?;
    for index in 0..count {
        let mention = Mention { object: object(index), seq: u64::from(index) + 1 };
        home.mentioned(HOLDER, &mention, true, &mut Output::default());
    }
    let listed = resident_bytes()?;
    if (holder.stub_count(), home.scion_count()) != (count as usize, count as usize) {
        return Err("the tables do not have what was put in".into());
    }
    let each = |bytes: u64| bytes as f64 / f64::from(count);
    println!(
        "{{\"cells\":\"{cells}\",\"stub_bytes\":{:.2},\"scion_bytes\":{:.2}}}",
        each(held.saturating_sub(before)),
        each(listed.saturating_sub(held))
    );
    Ok((holder, home))
}

/// Bytes of this process in memory.
fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("/proc/self/statm has no second word")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
