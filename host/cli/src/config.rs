//! The configuration file: what the flags of `host run` say, and what is too rarely changed to have a flag.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Deserialize;
use toml::de::DeTable;

use crate::Usage;
use crate::units::{Size, Span};

/// A configuration file. Every key is optional; a flag goes before a key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) strategy: Option<String>,
    pub(crate) load: Option<String>,
    pub(crate) heap: Option<Size>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) proof: Option<bool>,
    pub(crate) quarantine: Option<Quarantine>,
    #[serde(default)]
    pub(crate) set: BTreeMap<String, Setting>,
    #[serde(default)]
    pub(crate) collector: Collector,
    #[serde(default)]
    pub(crate) budget: Budget,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) memory: Memory,
}

/// When cycles begin and how hard they work.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collector {
    pub(crate) goal_percent: Option<u32>,
    pub(crate) cpu_share: Option<f64>,
    pub(crate) idle: Option<Span>,
    pub(crate) slice: Option<Span>,
    pub(crate) probation: Option<u32>,
    pub(crate) full_wait: Option<Span>,
}

/// What a strategy on probation may cost.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    pub(crate) pause: Option<Span>,
    pub(crate) memory: Option<Size>,
}

/// What no strategy may exceed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) memory: Option<Size>,
    pub(crate) deadline: Option<Span>,
}

/// How payload memory is taken from the system and given back: the numbers of the elastic pools, one pool for each size of blocks.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    pub(crate) slab: Option<Size>,
    pub(crate) block_sizes: Option<Vec<Size>>,
    pub(crate) initial_blocks: Option<u64>,
    pub(crate) maximum_blocks: Option<u64>,
    pub(crate) grow_at_percent: Option<u64>,
    pub(crate) grow_by_percent: Option<u64>,
    pub(crate) ramp: Option<bool>,
    pub(crate) shrink_over_percent: Option<u64>,
    pub(crate) shrink_by_percent: Option<u64>,
    pub(crate) idle: Option<Span>,
    pub(crate) batch_blocks: Option<u64>,
    pub(crate) batch: Option<Size>,
    pub(crate) huge_pages: Option<bool>,
    pub(crate) small_page_slabs: Option<u32>,
}

/// A key with a value that cannot be, and why not.
type Wrong = (&'static str, String);

impl Collector {
    /// What gc-node would refuse, said of the key that it came from.
    fn check(&self) -> Result<(), Wrong> {
        let wrong = |key, what: &str| Err((key, what.to_owned()));
        if self.cpu_share.is_some_and(|share| !(0.01..=1.0).contains(&share)) {
            return wrong("cpu_share", "a collector share that cannot be: write a number from 0.01 to 1");
        }
        if self.goal_percent.is_some_and(|percent| !(1..=100_000).contains(&percent)) {
            return wrong("goal_percent", "a heap goal that cannot be: write a number from 1 to 100000");
        }
        if self.slice.is_some_and(|slice| slice.0.is_zero()) {
            return wrong("slice", "steps of no length: write at least 1us");
        }
        Ok(())
    }
}

impl Limits {
    fn check(&self) -> Result<(), Wrong> {
        if self.deadline.is_some_and(|deadline| deadline.0 < gc_node::limits::DEADLINE_MIN) {
            return Err((
                "deadline",
                "a deadline in which no strategy can answer: write at least 1ms".into(),
            ));
        }
        Ok(())
    }
}

impl Memory {
    /// What gc-memory would refuse, said of the key that it came from.
    fn check(&self) -> Result<(), Wrong> {
        let wrong = |key, what: &str| Err((key, what.to_owned()));
        for (key, percent) in [
            ("grow_at_percent", self.grow_at_percent),
            ("grow_by_percent", self.grow_by_percent),
            ("shrink_over_percent", self.shrink_over_percent),
            ("shrink_by_percent", self.shrink_by_percent),
        ] {
            if percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
                return wrong(key, "a percentage that is none: write a number between 1 and 100");
            }
        }
        if self.slab.is_some_and(|slab| !slab.0.is_power_of_two() || !SLAB_BYTES.contains(&slab.0)) {
            return wrong("slab", "slabs of a size that cannot be: write a power of two from 64KiB to 32MiB");
        }
        if self.batch_blocks.is_some_and(|blocks| !(1..=BATCH_BLOCKS_MAX).contains(&blocks)) {
            return wrong("batch_blocks", "a batch that cannot be: write a number from 1 to 65536");
        }
        if self.initial_blocks.zip(self.maximum_blocks).is_some_and(|(initial, maximum)| initial > maximum) {
            return wrong(
                "initial_blocks",
                "an initial count above its maximum: lower it, or raise maximum_blocks",
            );
        }
        let defaults = gc_heap::HeapConfig::default().slabs.pool;
        let grow_at = self.grow_at_percent.unwrap_or(defaults.grow_at_percent.into());
        let shrink_over = self.shrink_over_percent.unwrap_or(defaults.shrink_over_percent.into());
        if grow_at + shrink_over <= 100 {
            let key = if self.grow_at_percent.is_some() { "grow_at_percent" } else { "shrink_over_percent" };
            let what = format!(
                "memory would shrink as soon as it has grown: grow_at_percent is {grow_at} and shrink_over_percent {shrink_over}, let them be more than 100 together"
            );
            return Err((key, what));
        }
        self.check_block_sizes()
    }

    fn check_block_sizes(&self) -> Result<(), Wrong> {
        let Some(sizes) = &self.block_sizes else { return Ok(()) };
        let wrong = |what: String| Err(("block_sizes", what));
        if sizes.is_empty() || !sizes.is_sorted_by(|one, other| one.0 < other.0) {
            return wrong(
                "sizes that do not rise, or none at all: write at least one, the smallest first".into(),
            );
        }
        let largest = self.slab.map_or(*SLAB_BYTES.end(), |slab| slab.0) / 2;
        let fits = |size: u64| match size {
            1..=4096 => size.is_multiple_of(64),
            _ => size.is_power_of_two() && size <= largest,
        };
        match sizes.iter().find(|size| !fits(size.0)) {
            Some(size) => wrong(format!(
                "blocks of {} bytes cannot be: write multiples of 64 up to 4096, and powers of two above it up to half a slab",
                size.0
            )),
            None => Ok(()),
        }
    }
}

/// What the arena takes.
const SLAB_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=32 << 20;
const BATCH_BLOCKS_MAX: u64 = 1 << 16;

/// What becomes of condemned objects.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Quarantine(pub(crate) gc_heap::Quarantine);

impl<'de> Deserialize<'de> for Quarantine {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Quarantine, D::Error> {
        let text = String::deserialize(from)?;
        Ok(Quarantine(match text.as_str() {
            "off" => gc_heap::Quarantine::Off,
            "next-proof" => gc_heap::Quarantine::UntilNextProof,
            span => match span.parse::<Span>() {
                Ok(span) => gc_heap::Quarantine::For(span.0),
                Err(_) => {
                    let what = format!(
                        "'{text}' is no quarantine: write off, next-proof, or a length of time such as 10s"
                    );
                    return Err(serde::de::Error::custom(what));
                }
            },
        }))
    }
}

/// The value of a strategy's option; the strategy says what type it has.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "true or false, a number, or a text")]
pub(crate) enum Setting {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Setting::Boolean(value) => value.fmt(f),
            Setting::Integer(value) => value.fmt(f),
            Setting::Number(value) => value.fmt(f),
            Setting::Text(value) => value.fmt(f),
        }
    }
}

/// `option=value`, for clap.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((option, value)) if !option.is_empty() => Ok((option.into(), value.into())),
        _ => Err(format!("'{text}' sets nothing: write OPTION=VALUE, such as depth=3")),
    }
}

/// Reads a configuration file.
pub(crate) fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        anyhow!(
            "cannot read the configuration {}: {error}: give the path of a TOML file with --config",
            path.display()
        )
    })?;
    Ok(parse(&text).map_err(|what| Usage(format!("in {}: {what}", path.display())))?)
}

/// What is wrong comes with line and column.
pub(crate) fn parse(text: &str) -> Result<File, String> {
    let file: File = toml::from_str(text).map_err(|error: toml::de::Error| {
        let message = error.message().trim().replace('\n', ", ");
        placed(text, error.span(), &message)
    })?;
    for (section, checked) in [
        ("collector", file.collector.check()),
        ("limits", file.limits.check()),
        ("memory", file.memory.check()),
    ] {
        checked
            .map_err(|(key, what)| placed(text, value_of(text, section, key), &format!("{key}: {what}")))?;
    }
    Ok(file)
}

fn placed(text: &str, span: Option<Range<usize>>, what: &str) -> String {
    let Some(span) = span else { return what.to_owned() };
    let before = &text[..span.start.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    format!("line {line}, column {column}: {what}")
}

/// Where the value of a key stands.
fn value_of(text: &str, section: &str, key: &str) -> Option<Range<usize>> {
    let whole = DeTable::parse(text).ok()?;
    let (_, section) = whole.get_ref().iter().find(|(name, _)| name.get_ref() == section)?;
    let (_, value) = section.get_ref().as_table()?.iter().find(|(name, _)| name.get_ref() == key)?;
    Some(value.span())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_whole_file_is_read() {
        let file = parse(
            r#"
            strategy = "epoch"
            heap = "64MiB"
            metrics = "127.0.0.1:9464"
            proof = false
            quarantine = "10s"
            [set]
            depth = 3
            ratio = 0.5
            eager = true
            mode = "fast"
            [collector]
            goal_percent = 50
            idle = "10s"
            [budget]
            pause = "1ms"
            [limits]
            deadline = "100ms"
            [memory]
            slab = "64KiB"
            grow_at_percent = 90
            "#,
        )
        .unwrap();
        assert_eq!((file.memory.slab, file.memory.grow_at_percent), (Some(Size(64 << 10)), Some(90)));
        assert_eq!(file.heap, Some(Size(64 << 20)));
        assert_eq!(file.quarantine, Some(Quarantine(gc_heap::Quarantine::For(Duration::from_secs(10)))));
        assert_eq!(file.collector.idle, Some(Span(Duration::from_secs(10))));
        let set: Vec<String> = file.set.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(set, ["depth=3", "eager=true", "mode=fast", "ratio=0.5"]);
    }

    #[test]
    fn whatever_is_wrong_comes_with_its_place() {
        for (text, place, word) in [
            ("strategy = \"a\"\nstratgy = \"b\"\n", "line 2, column 1", "stratgy"),
            ("[collector]\n  shrae = 1\n", "line 2, column 3", "shrae"),
            ("heap = \"much\"\n", "line 1, column 8", "64MiB"),
            ("heap = \n", "line 1, column", "value"),
            ("[collector]\nidle = \"soon\"\n", "line 2, column 8", "500ms"),
            ("\n\nquarantine = \"no\"\n", "line 3, column 14", "next-proof"),
            ("metrics = \"here\"\n", "line 1, column 11", "address"),
            ("[set]\nx = [1]\n", "line 2, column 5", "number"),
            ("[memory]\ngrow_at_percent = 300\n", "line 2, column 19", "between 1 and 100"),
            ("[memory]\nidle = \"1s\"\n shrink_by_percent = 0\n", "line 3, column 22", "between 1 and 100"),
            ("[memory]\ngrow_at_percent = 40\n", "line 2, column 19", "shrink_over_percent 50"),
            ("[memory]\nshrink_over_percent = 20\n", "line 2, column 23", "grow_at_percent is 80"),
            ("memory = { slab = \"100KB\" }\n", "line 1, column 19", "64KiB to 32MiB"),
            ("[memory]\nbatch_blocks = 0\n", "line 2, column 16", "65536"),
            ("[memory]\ninitial_blocks = 2\nmaximum_blocks = 1\n", "line 2, column 18", "maximum_blocks"),
            ("[memory]\nblock_sizes = []\n", "line 2, column 15", "at least one"),
            ("[memory]\nblock_sizes = [\"1KiB\", \"64B\"]\n", "line 2, column 15", "smallest first"),
            ("[memory]\nblock_sizes = [\"64B\", \"100B\"]\n", "line 2, column 15", "100 bytes"),
            ("[memory]\nslab = \"64KiB\"\nblock_sizes = [\"64KiB\"]\n", "line 3, column 15", "half a slab"),
            ("[memory]\nbatch = 5\n", "line 2, column 9", "string"),
            ("[collector]\ncpu_share = 5\n", "line 2, column 13: cpu_share", "0.01 to 1"),
            ("[collector]\ncpu_share = nan\n", "line 2, column 13: cpu_share", "0.01 to 1"),
            ("[collector]\ngoal_percent = 0\n", "line 2, column 16: goal_percent", "1 to 100000"),
            ("[collector]\nslice = \"0s\"\n", "line 2, column 9: slice", "1us"),
            ("[limits]\n deadline = \"10us\"\n", "line 2, column 13: deadline", "1ms"),
            ("[memory]\nshrink = 3\n", "line 2, column 1", "shrink_over_percent"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.starts_with(place) && wrong.contains(word), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn settings_have_a_name() {
        assert_eq!(setting("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(setting("a="), Ok(("a".into(), String::new())));
        assert!(setting("a").is_err() && setting("=b").is_err());
    }
}
