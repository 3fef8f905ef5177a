//! Statistics of paired rounds: how large a difference is, how sure that is, and when to say nothing.
//!
//! Written for comparisons that run every subject once in each round, in an order that is shuffled anew for each round. Numbers in, numbers out: it
//! knows nothing of collectors and workloads.
//!
//! ```text
//!  rounds of A ─┐
//!               ├─ Pairs ──▶ bootstrap ──▶ Estimate  (how large, with an interval)  ─┐
//!  rounds of B ─┘     └────▶ signed_rank, ranks ──▶ p ──▶ holm over the family  ─────┴─▶ decide ──▶ Finding
//! ```
//!
//! # The rule
//!
//! A measure is [`Finding::Different`] when both hold:
//!
//! 1. the 95 % interval of the median paired difference excludes zero ([`bootstrap`]), and
//! 2. the signed-rank p, corrected by Holm over the family, is at most 5 % ([`signed_rank()`], [`holm()`]). A family is one measure over all workloads
//!    and heap sizes.
//!
//! Why the signed-rank test decides and not Mann-Whitney: the order inside a round is a coin flip, so if A and B are the same, each difference is as
//! likely to have one sign as the other. That makes the signed-rank test exact whatever the noise looks like, and what a whole round has in
//! common (a neighbour on the machine, a warm processor) cancels. Mann-Whitney compares the two heaps of figures without pairing; under noise that rounds
//! share it finds next to nothing. It is computed and shown beside, with Cliff's delta, for readers who know it from elsewhere.
//!
//! Why the interval must agree: it belongs to the figure that is printed. A verdict with an interval over zero would contradict itself.
//!
//! No outlier is ever removed. Fewer than [`decide::ROUNDS_MIN`] rounds decide nothing: below that no 95 % interval of a median exists. How often the
//! rule is wrong is measured in `tests/decision.rs`.
//!
//! Everything here is held to SciPy's answers: `tests/scipy.py` and the table that it wrote.

pub mod bootstrap;
pub mod decide;
pub mod describe;
pub mod holm;
pub mod normal;
pub mod ranks;
pub mod signed_rank;

pub use bootstrap::{Bootstrap, Estimate, Interval};
pub use decide::{Comparison, Finding, Pairs, Rule, Unsaid, compare};
pub use describe::{geometric_mean, median, quantile};
pub use holm::holm;
pub use ranks::{MannWhitney, cliffs_delta, mann_whitney};
pub use signed_rank::{SignedRank, signed_rank};
