//! `host strategy inspect`: what a strategy says of itself.

use gc_node::StrategySource;
use gc_plugin::{Completeness, LoadedStrategy};
use serde_json::json;

use crate::output;
use crate::strategy::{load, loader};
use crate::units;

/// Show what a strategy is and needs.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  host strategy inspect tracing\n  host strategy inspect ./my-collector.wasm --json"
)]
pub(crate) struct Args {
    /// A built-in strategy, or the path of a component
    #[arg(value_name = "NAME|PATH")]
    strategy: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let loaded = load(&loader()?, &StrategySource::from(args.strategy.as_str()))?;
    if args.json { output::json(&object(&loaded)) } else { output::line(text(&loaded)) }
}

fn needs(loaded: &LoadedStrategy) -> Vec<&'static str> {
    let needs = loaded.description().needs;
    [(needs.change_log, "change-log"), (needs.retired, "retired"), (needs.cluster_mark, "cluster-mark")]
        .into_iter()
        .filter_map(|(needed, word)| needed.then_some(word))
        .collect()
}

/// What it promises to find, and within how many cycles.
pub(crate) fn promise(completeness: Completeness) -> (&'static str, Option<u32>) {
    match completeness {
        Completeness::Nothing => ("nothing", None),
        Completeness::Retired(cycles) => ("what was retired", Some(cycles)),
        Completeness::Acyclic(cycles) => ("what is unreachable and kept by no cycle", Some(cycles)),
        Completeness::All(cycles) => ("everything unreachable", Some(cycles)),
    }
}

fn object(loaded: &LoadedStrategy) -> serde_json::Value {
    let description = loaded.description();
    let (promises, within) = promise(description.completeness);
    let options: Vec<_> = description
        .options
        .iter()
        .map(|spec| {
            json!({
                "name": spec.name,
                "doc": spec.doc,
                "type": spec.default.kind(),
                "default": spec.default.to_string(),
            })
        })
        .collect();
    json!({
        "name": description.name,
        "version": description.version,
        "summary": description.summary,
        "world": loaded.world(),
        "windowed": loaded.windowed(),
        "digest": loaded.digest(),
        "size_bytes": loaded.bytes().len(),
        "needs": needs(loaded),
        "promises": promises,
        "within_cycles": within,
        "options": options,
    })
}

fn text(loaded: &LoadedStrategy) -> String {
    let description = loaded.description();
    let needs = needs(loaded);
    let promise = match promise(description.completeness) {
        (what, Some(1)) => format!("{what}, within a cycle"),
        (what, Some(cycles)) => format!("{what}, within {cycles} cycles"),
        (what, None) => what.to_owned(),
    };
    let mut lines = vec![
        format!("name       {}", description.name),
        format!("version    {}", description.version),
        format!("summary    {}", description.summary),
        format!("world      {}", loaded.world()),
        format!(
            "reads      {}",
            if loaded.windowed() { "the graph window" } else { "batches (portable path)" }
        ),
        format!("digest     {}", loaded.digest()),
        format!("size       {}", units::bytes(loaded.bytes().len() as u64)),
        format!("needs      {}", if needs.is_empty() { "nothing special".into() } else { needs.join(", ") }),
        format!("promises   {promise}"),
    ];
    if description.options.is_empty() {
        lines.push("options    none".into());
    }
    for (at, spec) in description.options.iter().enumerate() {
        let label = if at == 0 { "options" } else { "" };
        lines.push(format!(
            "{label:<10} {}={} ({}): {}",
            spec.name,
            spec.default,
            spec.default.kind(),
            spec.doc
        ));
    }
    lines.join("\n")
}
