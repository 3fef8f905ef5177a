//! The row of graphs from plain text: how fast `graph:FILE` loads.

use serde::Deserialize;

use super::heap::program;
use super::{Goal, Row, RowError, Settings, command};
use crate::goals::Reading;
use crate::stats::{median, summary};

pub(super) const ROW: Row = Row {
    name: "import",
    // Millions of lines at a few million per second: three.
    goals: &[Goal {
        name: "`graph:` text of millions of lines to objects in the heap: time per line",
        unit: "ns",
        at_most: 333.0,
    }],
    measure,
};

#[derive(Deserialize)]
struct Loaded {
    lines: f64,
    read_ns: f64,
    build_ns: f64,
}

fn measure(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let mut program = program(settings, "import");
    if settings.quick {
        program.args(["100000", "2"]);
    }
    reading(&command::json_lines(&mut program)?)
}

fn reading(rounds: &[Loaded]) -> Result<Vec<Reading>, RowError> {
    let each = |part: fn(&Loaded) -> f64| -> Vec<f64> {
        rounds.iter().map(|round| part(round) / round.lines).collect()
    };
    let nothing = || RowError::Nothing("no rounds".to_owned());
    let whole = summary(&each(|round| round.read_ns + round.build_ns)).ok_or_else(nothing)?;
    let middle = |part| median(&each(part)).unwrap_or(f64::NAN);
    let note = format!(
        "{:.1} million lines per second; of the time {:.0} ns go to reading, {:.0} ns to building; {:.1} million lines",
        1e3 / whole.median,
        middle(|round| round.read_ns),
        middle(|round| round.build_ns),
        rounds[0].lines / 1e6
    );
    Ok(vec![Reading::of(whole, note)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_and_building_count_together() {
        let round = |read_ns, build_ns| Loaded { lines: 1e6, read_ns, build_ns };
        let rounds = [round(1e8, 2e8), round(1.5e8, 1e8), round(2e8, 2e8)];
        let reading = &reading(&rounds).unwrap()[0];
        assert_eq!(reading.value, 300.0);
        assert!(
            reading.note.starts_with("3.3 million lines per second; of the time 150 ns"),
            "{}",
            reading.note
        );
        assert!(super::reading(&[]).is_err());
    }
}
