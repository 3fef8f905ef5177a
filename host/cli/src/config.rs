//! The configuration file: what the flags of `host run` say, and what is too rarely changed to have a flag.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Deserialize;

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
    pub(crate) initial_blocks: Option<u64>,
    pub(crate) maximum_blocks: Option<u64>,
    pub(crate) grow_at_percent: Option<u8>,
    pub(crate) grow_by_percent: Option<u8>,
    pub(crate) shrink_over_percent: Option<u8>,
    pub(crate) shrink_by_percent: Option<u8>,
    pub(crate) idle: Option<Span>,
    pub(crate) huge_pages: Option<bool>,
}

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
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let message = error.message().trim().replace('\n', ", ");
        match error.span() {
            Some(span) => {
                let before = &text[..span.start.min(text.len())];
                let line = before.matches('\n').count() + 1;
                let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
                format!("line {line}, column {column}: {message}")
            }
            None => message,
        }
    })
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
            ("[memory]\ngrow_at_percent = 300\n", "line 2, column 19", "u8"),
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
