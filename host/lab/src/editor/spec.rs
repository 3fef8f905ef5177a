//! The options of `editor`.

use std::time::Duration;

use crate::cost::object_bytes;
use crate::distributions::Size;
use crate::limits::{EDITOR_NODES_MAX, EDITOR_VERSIONS_MAX, THREADS_MAX};
use crate::options::{Options, SpecError};

const KNOWN: &str = "threads, nodes, versions, size, undos, retire, edits, seconds, seed and quick";

/// References of a node: its text, then its children.
pub(super) const SLOTS: usize = 4;

/// `editor[?key=value&...]`
///
/// | option | default | quick | meaning |
/// |---|---|---|---|
/// | `threads=N` | 1 | 1 | threads, each with a document of its own |
/// | `nodes=N` | 100k | 10k | nodes of a document, about |
/// | `versions=N` | 1000 | 100 | versions of a document that are kept, the present one included |
/// | `size=...` | `lognormal:40:1` | | bytes of a text: `fixed:BYTES`, `uniform:MIN:MAX` or `lognormal:MEDIAN:SIGMA` |
/// | `undos=SHARE` | 0.05 | | share of steps that undo up to eight edits |
/// | `retire=BOOL` | false | false | whether what no version has any more is retired |
/// | `edits=N`, `seconds=N` | 300k edits | 30k | steps of all threads together, or the end in time, whichever comes first |
/// | `seed=N` | 1 | | of the random numbers; thread `i` uses stream `i` of it |
#[derive(Debug, Clone, PartialEq)]
pub struct EditorSpec {
    /// Threads.
    pub threads: u32,
    /// Nodes of a document.
    pub nodes: u64,
    /// Versions that are kept.
    pub versions: u64,
    /// Bytes of a text.
    pub size: Size,
    /// Share of steps that undo.
    pub undos: f64,
    /// Whether what dies is retired.
    pub retire: bool,
    /// After how many steps to end.
    pub edits: Option<u64>,
    /// When to end.
    pub duration: Option<Duration>,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Default for EditorSpec {
    fn default() -> EditorSpec {
        EditorSpec {
            threads: 1,
            nodes: 100_000,
            versions: 1000,
            size: Size::LogNormal(40, 1.0),
            undos: 0.05,
            retire: false,
            edits: Some(300_000),
            duration: None,
            seed: 1,
        }
    }
}

impl EditorSpec {
    /// The same with a tenth of the work, of the document and of the versions.
    #[must_use]
    pub fn quick() -> EditorSpec {
        EditorSpec { nodes: 10_000, versions: 100, edits: Some(30_000), ..EditorSpec::default() }
    }

    pub(crate) fn parse(options: &mut Options<'_>) -> Result<EditorSpec, SpecError> {
        let base = if options.quick()? { EditorSpec::quick() } else { EditorSpec::default() };
        let (edits, duration) = options.extent("edits", base.edits.unwrap_or(1))?;
        let spec = EditorSpec {
            threads: options.or("threads", base.threads.into(), 1, THREADS_MAX.into(), "1 to 256")? as u32,
            nodes: options.or("nodes", base.nodes, 4, EDITOR_NODES_MAX, "4 to 256M")?,
            versions: options.or("versions", base.versions, 1, EDITOR_VERSIONS_MAX, "1 to 1M")?,
            size: options.take("size", Size::WANTED, Size::parse)?.unwrap_or(base.size),
            undos: options.share("undos")?.unwrap_or(base.undos),
            retire: options.flag("retire")?.unwrap_or(base.retire),
            edits,
            duration,
            seed: options.or("seed", base.seed, 0, u64::MAX, "a whole number")?,
        };
        options.finish(KNOWN)?;
        Ok(spec)
    }

    /// About the most bytes that are alive at once: the documents, and a path with a text for each version.
    pub(crate) fn live_bytes(&self) -> u64 {
        let (node, text) = (object_bytes(SLOTS as u64, 0), object_bytes(0, self.size.mean()));
        // A node has 2.5 siblings or so on the way down.
        let depth = (self.nodes as f64).log(2.5).ceil() as u64 + 1;
        let document = self.nodes * (node + text);
        u64::from(self.threads) * (document + self.versions * (depth * node + text))
    }
}
