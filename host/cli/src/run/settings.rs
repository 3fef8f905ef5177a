//! What a run is made with: flags before the file, the file before the defaults.

use std::path::{Path, PathBuf};

use gc_lab::WorkloadSpec;
use gc_node::{CanaryOrder, NodeConfig, StrategySource};

use crate::Usage;
use crate::config::{self, File};
use crate::output::note;
use crate::run::{Args, is_same, machine};

/// Everything that is settled before anything starts.
pub(crate) struct Settings {
    pub(crate) node: NodeConfig,
    pub(crate) load: Option<WorkloadSpec>,
    pub(crate) reclaimed: Option<PathBuf>,
    pub(crate) record: Option<PathBuf>,
    pub(crate) canary: Option<CanaryOrder>,
    /// How many nodes the load needs in this process, if it needs several.
    pub(crate) company: Option<u32>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Settings {
    pub(crate) fn new(args: Args) -> anyhow::Result<Settings> {
        let file = args.config.as_deref().map(config::read).transpose()?.unwrap_or_default();
        let load = match (args.load, &file.load) {
            (Some(load), _) => Some(load),
            (None, Some(text)) => Some(super::workload(text).map_err(Usage)?),
            (None, None) => None,
        };
        let with_ids = |load: &WorkloadSpec| {
            matches!(load, WorkloadSpec::Git(_) | WorkloadSpec::GitHistory(_) | WorkloadSpec::Graph(_))
        };
        if args.reclaimed.is_some() && !load.as_ref().is_some_and(with_ids) {
            let what = "--reclaimed needs objects with ids: use it with --load git:PATH, git-history:PATH or graph:FILE";
            return Err(Usage(what.into()).into());
        }
        let strategy = args.strategy.or(file.strategy.clone());
        let mut node = NodeConfig::default();
        if let Some(strategy) = strategy {
            node.strategy = StrategySource::from(strategy);
        }
        node.options = file.set.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        node.options.extend(args.set);
        node.heap.limit_bytes = args.heap.or(file.heap).map_or(node.heap.limit_bytes, |size| size.0);
        machine::check_heap(node.heap.limit_bytes)?;
        node.heap.proof = args.proof.or(file.proof).unwrap_or(true);
        node.metrics = args.metrics.or(file.metrics);
        node.journal = args.journal.or(file.journal.clone());
        node.cache_dir = args.cache.or(file.cache.clone()).or_else(usable_cache);
        node.control = Some(match args.socket.or(file.socket.clone()) {
            Some(path) => path,
            None => gc_node::default_socket()?,
        });
        tune(&mut node, &file);
        node.cluster = args.cluster.config()?;
        let Args { reclaimed, record, canary, json, quiet, config, .. } = args;
        let canary = canary.order()?;
        let nodes = load.as_ref().map_or(1, WorkloadSpec::nodes);
        let company = Some(nodes).filter(|&nodes| nodes > 1 && node.cluster.is_none());
        let settings = Settings { node, load, reclaimed, record, canary, company, json, quiet };
        settings.check_files(config.as_deref())?;
        settings.check_company()?;
        Ok(settings)
    }

    /// What is read is not written, and no two things are written into one file.
    fn check_files(&self, config: Option<&Path>) -> anyhow::Result<()> {
        let strategy = match &self.node.strategy {
            StrategySource::File(path) => Some(path.as_path()),
            _ => None,
        };
        let traced = matches!(self.load, Some(WorkloadSpec::Trace(_)));
        let read = [
            (
                if traced { "what is replayed" } else { "what the load reads" },
                self.load.as_ref().and_then(WorkloadSpec::path),
            ),
            ("the strategy", strategy),
            ("the configuration", config),
        ];
        let written = [
            ("--record", self.record.as_deref()),
            ("--reclaimed", self.reclaimed.as_deref()),
            ("--journal", self.node.journal.as_deref()),
        ];
        for (at, (flag, path)) in written.into_iter().enumerate() {
            let Some(path) = path else { continue };
            let taken = |files: &[(&'static str, Option<&Path>)]| {
                files
                    .iter()
                    .find(|(_, other)| other.is_some_and(|other| is_same(other, path)))
                    .map(|(name, _)| *name)
            };
            if let Some(what) = taken(&read) {
                let what = format!("{} is {what}: give another file with {flag}", path.display());
                return Err(Usage(what).into());
            }
            if let Some(other) = taken(&written[..at]) {
                let what =
                    format!("{} is given with {other} too: give another file with {flag}", path.display());
                return Err(Usage(what).into());
            }
        }
        Ok(())
    }

    /// What is for one heap is not for several.
    fn check_company(&self) -> anyhow::Result<()> {
        let Some(nodes) = self.company else { return Ok(()) };
        let one = [("--record", self.record.is_some()), ("--canary", self.canary.is_some())];
        if let Some((flag, _)) = one.iter().find(|(_, given)| *given) {
            let what = format!(
                "{flag} is for one node, and this load starts {nodes} in this process: run them as nodes of their own with --listen, or leave it out"
            );
            return Err(Usage(what).into());
        }
        machine::check_heap(self.node.heap.limit_bytes.saturating_mul(nodes.into()))
    }
}

/// What only the file can say.
fn tune(node: &mut NodeConfig, file: &File) {
    fn set<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    let File { quarantine, collector, budget, limits, .. } = file;
    set(&mut node.heap.quarantine, quarantine.map(|quarantine| quarantine.0));
    set(&mut node.heap.full_wait, collector.full_wait.map(|span| span.0));
    set(&mut node.goal_percent, collector.goal_percent);
    set(&mut node.cpu_share, collector.cpu_share);
    // No time between cycles means that none is begun for the time's sake.
    set(&mut node.idle, collector.idle.map(|span| Some(span.0).filter(|idle| !idle.is_zero())));
    set(&mut node.slice_target, collector.slice.map(|span| span.0));
    set(&mut node.probation_cycles, collector.probation);
    node.pause_budget = budget.pause.map(|span| span.0);
    node.memory_budget = budget.memory.map(|size| size.0);
    set(&mut node.limits.memory_bytes, limits.memory.map(|size| size.0));
    set(&mut node.limits.deadline, limits.deadline.map(|span| span.0));
    let (slabs, pool) = (&mut node.heap.slabs, &file.memory);
    slabs.slab_bytes = pool.slab.map(|size| size.0);
    slabs.block_bytes = pool.block_sizes.as_ref().map(|sizes| sizes.iter().map(|size| size.0).collect());
    set(&mut slabs.huge_pages, pool.huge_pages);
    set(&mut slabs.small_page_slabs, pool.small_page_slabs);
    set(&mut slabs.batch_blocks, pool.batch_blocks.map(|blocks| blocks as usize));
    set(&mut slabs.batch_bytes, pool.batch.map(|size| size.0));
    set(&mut slabs.pool.initial, pool.initial_blocks);
    set(&mut slabs.pool.maximum, pool.maximum_blocks);
    // They are between 1 and 100: the file was refused else.
    let percent = |percent: Option<u64>| percent.map(|percent| percent as u8);
    set(&mut slabs.pool.grow_at_percent, percent(pool.grow_at_percent));
    set(&mut slabs.pool.grow_by_percent, percent(pool.grow_by_percent));
    set(&mut slabs.pool.ramp, pool.ramp);
    set(&mut slabs.pool.shrink_over_percent, percent(pool.shrink_over_percent));
    set(&mut slabs.pool.shrink_by_percent, percent(pool.shrink_by_percent));
    set(&mut slabs.pool.idle, pool.idle.map(|span| span.0));
}

/// The place for compiled code, as far as it can be used: nobody asked for it, so trouble with it stops nobody.
fn usable_cache() -> Option<PathBuf> {
    let folder = default_cache()?;
    match gc_plugin::check_cache(&folder) {
        Ok(()) => Some(folder),
        Err(error) => {
            note(format!("warning: compiled code is not kept: {error}, or name one with --cache"));
            None
        }
    }
}

/// Without a home folder nothing is kept.
pub(crate) fn default_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("gc-host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the page for people shows cannot differ from what is so.
    #[test]
    fn the_settings_on_the_readme_are_the_defaults() {
        let page = include_str!("../../../../README.md");
        let shown = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let file = config::parse(shown.expect("the page shows the settings")).unwrap();
        let (mut node, defaults) = (NodeConfig::default(), NodeConfig::default());
        tune(&mut node, &file);
        assert_eq!(format!("{node:?}"), format!("{defaults:?}"));
        assert_eq!(file.heap.map(|size| size.0), Some(defaults.heap.limit_bytes));
        assert_eq!(file.strategy, Some(defaults.strategy.label()));
        assert_eq!(file.proof, Some(defaults.heap.proof));
    }

    /// The keys are those that the reader of the file names to whoever writes another one.
    #[test]
    fn every_key_is_on_the_readme() {
        let page = include_str!("../../../../README.md");
        let settings = page.split("\n## ").find(|part| part.starts_with("Settings")).unwrap();
        for (section, more_than) in
            [("", 10), ("[collector]", 5), ("[budget]", 1), ("[limits]", 1), ("[memory]", 10)]
        {
            let refused = config::parse(&format!("{section}\nno-such-key = 1\n")).unwrap_err();
            let keys: Vec<&str> = refused.split('`').skip(3).step_by(2).collect();
            assert!(keys.len() > more_than, "{refused}");
            for key in keys {
                let words = settings.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                assert!(words.into_iter().any(|word| word == key), "{key} of {section}");
            }
        }
    }

    #[test]
    fn what_the_file_says_of_memory_arrives() {
        let text = r#"
            [memory]
            slab = "128KiB"
            block_sizes = ["64B", "1KiB", "64KiB"]
            initial_blocks = 1
            maximum_blocks = 4096
            grow_at_percent = 81
            grow_by_percent = 11
            ramp = false
            shrink_over_percent = 51
            shrink_by_percent = 12
            idle = "2m"
            batch_blocks = 3
            batch = "4KiB"
            huge_pages = false
            small_page_slabs = 5
        "#;
        let mut node = NodeConfig::default();
        tune(&mut node, &config::parse(text).unwrap());
        let slabs = &node.heap.slabs;
        assert_eq!(
            (slabs.slab_bytes, slabs.block_bytes.as_deref()),
            (Some(128 << 10), Some(&[64, 1024, 65_536][..]))
        );
        assert_eq!((slabs.batch_blocks, slabs.batch_bytes), (3, 4096));
        assert_eq!((slabs.huge_pages, slabs.small_page_slabs), (false, 5));
        let pool = &slabs.pool;
        assert_eq!((pool.initial, pool.maximum, pool.ramp, pool.idle.as_secs()), (1, 4096, false, 120));
        assert_eq!((pool.grow_at_percent, pool.grow_by_percent), (81, 11));
        assert_eq!((pool.shrink_over_percent, pool.shrink_by_percent), (51, 12));
        node.heap.limit_bytes = 16 << 20;
        let heap = gc_heap::Heap::new(node.heap).unwrap();
        heap.mutator().scope(|scope| scope.alloc(&[], &[7; 100]).map(drop)).unwrap();
        assert_eq!(heap.stats().payload_bytes, 1024);
    }
}
