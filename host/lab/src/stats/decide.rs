//! The rule that says whether two sides differ; the essay at the top of [`crate::stats`] says why it is this one.

use crate::stats::bootstrap::{Bootstrap, Estimate};
use crate::stats::describe::median;
use crate::stats::holm::holm;
use crate::stats::ranks::{MannWhitney, cliffs_delta, mann_whitney};
use crate::stats::signed_rank::{least_p, signed_rank};

/// Rounds below which nothing is said: six differences of one sign have p = 3.1 %, five have 6.3 %.
pub const ROUNDS_MIN: usize = 6;

/// The values of two sides in the rounds that both finished, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Pairs {
    /// Of rounds in which both sides have a finite value. None if there is no such round.
    #[must_use]
    pub fn new(rounds: impl IntoIterator<Item = (f64, f64)>) -> Option<Pairs> {
        let (a, b): (Vec<f64>, Vec<f64>) =
            rounds.into_iter().filter(|(a, b)| a.is_finite() && b.is_finite()).unzip();
        (!a.is_empty()).then_some(Pairs { a, b })
    }

    /// How many rounds.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.a.len()
    }

    /// The values of A.
    #[must_use]
    pub fn a(&self) -> &[f64] {
        &self.a
    }

    /// The values of B.
    #[must_use]
    pub fn b(&self) -> &[f64] {
        &self.b
    }

    /// B less A, round by round.
    #[must_use]
    pub fn differences(&self) -> Vec<f64> {
        self.a.iter().zip(&self.b).map(|(a, b)| b - a).collect()
    }

    /// B over A, round by round. None unless every A is above zero and no B below.
    #[must_use]
    pub fn ratios(&self) -> Option<Vec<f64>> {
        let sound = self.a.iter().all(|&a| a > 0.0) && self.b.iter().all(|&b| b >= 0.0);
        sound.then(|| self.a.iter().zip(&self.b).map(|(a, b)| b / a).collect())
    }
}

/// When to call something different.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// How likely at most something is called different that is not, over a whole family.
    pub false_alarms_max: f64,
    /// How intervals are found.
    pub bootstrap: Bootstrap,
}

impl Default for Rule {
    fn default() -> Rule {
        Rule { false_alarms_max: 0.05, bootstrap: Bootstrap::default() }
    }
}

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// They differ.
    Different,
    /// No difference was found. That does not say that there is none: the interval says how large it could be.
    NotFound,
    /// Nothing can be said.
    Unsaid(Unsaid),
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsaid {
    /// There are too few rounds for any interval.
    TooFewRounds {
        /// How many it takes.
        needed: usize,
    },
    /// There are too few rounds for so many questions: even the clearest answer would not survive the correction.
    TooFewForFamily {
        /// How many questions there are.
        family: usize,
        /// How many rounds it takes.
        needed: usize,
    },
}

/// Two sides, compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Rounds that both sides finished.
    pub rounds: usize,
    /// Median of A.
    pub median_a: f64,
    /// Median of B.
    pub median_b: f64,
    /// Median of B less A, round by round.
    pub difference: Estimate,
    /// Median of B over A, round by round. Absent where A can be zero.
    pub ratio: Option<Estimate>,
    /// Of the signed-rank test.
    pub p: f64,
    /// The same, corrected over the family.
    pub p_corrected: f64,
    /// Of the same values without pairing.
    pub mann_whitney: MannWhitney,
    /// How often B is above A less how often it is below, over all pairs of values: from -1 to 1.
    pub cliffs_delta: f64,
    /// What follows.
    pub finding: Finding,
}

/// Compares each pair of sides of a family: one measure at one heap size, over all workloads.
#[must_use]
pub fn compare(family: &[Pairs], rule: &Rule) -> Vec<Comparison> {
    let p_values: Vec<f64> = family.iter().map(|pairs| signed_rank(&pairs.differences()).p).collect();
    let corrected = holm(&p_values);
    let compared = family.iter().zip(p_values.iter().zip(&corrected));
    compared
        .filter_map(|(pairs, (&p, &p_corrected))| one(pairs, p, p_corrected, family.len(), rule))
        .collect()
}

/// None only for a sample without values, which [`Pairs`] excludes.
fn one(pairs: &Pairs, p: f64, p_corrected: f64, family: usize, rule: &Rule) -> Option<Comparison> {
    let difference = rule.bootstrap.median(&pairs.differences())?;
    let ratio = pairs.ratios().and_then(|ratios| rule.bootstrap.median(&ratios));
    let finding = match said(pairs.rounds(), family, rule) {
        Err(unsaid) => Finding::Unsaid(unsaid),
        Ok(()) => {
            let beside =
                |estimate: Estimate, neutral| estimate.interval.is_some_and(|found| !found.holds(neutral));
            let sure = beside(difference, 0.0) && ratio.is_none_or(|ratio| beside(ratio, 1.0));
            let different = sure && p_corrected <= rule.false_alarms_max;
            if different { Finding::Different } else { Finding::NotFound }
        }
    };
    Some(Comparison {
        rounds: pairs.rounds(),
        median_a: median(&pairs.a)?,
        median_b: median(&pairs.b)?,
        difference,
        ratio,
        p,
        p_corrected,
        mann_whitney: mann_whitney(&pairs.b, &pairs.a)?,
        cliffs_delta: cliffs_delta(&pairs.b, &pairs.a)?,
        finding,
    })
}

/// Whether so many rounds can answer so many questions at all.
fn said(rounds: usize, family: usize, rule: &Rule) -> Result<(), Unsaid> {
    let minimum = ROUNDS_MIN.max(rule.bootstrap.count_min);
    if rounds < minimum {
        return Err(Unsaid::TooFewRounds { needed: minimum });
    }
    let enough = |rounds| least_p(rounds) * family as f64 <= rule.false_alarms_max;
    if enough(rounds) {
        return Ok(());
    }
    // 200 halvings are below any bound that a family of this world can ask for.
    let needed = (rounds..rounds + 200).find(|&rounds| enough(rounds)).unwrap_or(rounds + 200);
    Err(Unsaid::TooFewForFamily { family, needed })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule() -> Rule {
        Rule { bootstrap: Bootstrap { resamples: 300, ..Bootstrap::default() }, ..Rule::default() }
    }

    fn pairs(rounds: usize, shift: f64) -> Pairs {
        let noise = |i: usize, salt: usize| ((i * 37 + salt * 11) % 19) as f64 / 19.0;
        Pairs::new((0..rounds).map(|i| (100.0 + noise(i, 1), 100.0 + noise(i, 2) + shift))).unwrap()
    }

    #[test]
    fn five_rounds_say_nothing_however_clear_they_look() {
        let found = compare(&[pairs(5, 50.0)], &rule())[0];
        assert_eq!(found.finding, Finding::Unsaid(Unsaid::TooFewRounds { needed: 6 }));
        assert_eq!((found.difference.interval, found.ratio.unwrap().interval), (None, None));
        assert_eq!(compare(&[pairs(6, 50.0)], &rule())[0].finding, Finding::Different);
    }

    #[test]
    fn too_many_questions_for_so_few_rounds_are_not_answered() {
        let family = vec![pairs(6, 50.0); 4];
        let found = compare(&family, &rule());
        let unsaid = Finding::Unsaid(Unsaid::TooFewForFamily { family: 4, needed: 8 });
        assert!(found.iter().all(|comparison| comparison.finding == unsaid), "{found:?}");
        let found = compare(&vec![pairs(8, 50.0); 4], &rule());
        assert!(found.iter().all(|comparison| comparison.finding == Finding::Different));
    }

    #[test]
    fn what_is_equal_to_the_last_digit_is_no_difference() {
        let same = Pairs::new((0..20).map(|_| (42.0, 42.0))).unwrap();
        let found = compare(&[same], &rule())[0];
        assert_eq!((found.finding, found.difference.value, found.p), (Finding::NotFound, 0.0, 1.0));
    }

    #[test]
    fn zeros_have_a_difference_and_no_ratio() {
        let zeros = Pairs::new((0..20).map(|i| (0.0, 1.0 + f64::from(i)))).unwrap();
        let found = compare(&[zeros], &rule())[0];
        assert_eq!((found.finding, found.ratio), (Finding::Different, None));
    }

    #[test]
    fn rounds_that_one_side_did_not_finish_do_not_count() {
        assert_eq!(Pairs::new([(f64::NAN, 1.0), (1.0, f64::INFINITY)]), None);
        assert_eq!(Pairs::new([(f64::NAN, 1.0), (1.0, 2.0)]).unwrap().rounds(), 1);
    }

    proptest! {
        #[test]
        fn exchanging_the_sides_turns_the_answer(
            rounds in prop::collection::vec((1.0..100.0_f64, 1.0..100.0_f64), 6..30),
        ) {
            let forth = compare(&[Pairs::new(rounds.iter().copied()).unwrap()], &rule())[0];
            let back = compare(&[Pairs::new(rounds.iter().map(|&(a, b)| (b, a))).unwrap()], &rule())[0];
            prop_assert!((forth.difference.value + back.difference.value).abs() < 1e-9);
            prop_assert!((forth.cliffs_delta + back.cliffs_delta).abs() < 1e-9);
            prop_assert!((forth.p - back.p).abs() < 1e-12);
        }

        #[test]
        fn another_unit_is_the_same_answer(
            rounds in prop::collection::vec((1_u32..1000, 1_u32..1000), 6..30),
        ) {
            let of = |scale: f64| {
                let pairs = rounds.iter().map(|&(a, b)| (f64::from(a) * scale, f64::from(b) * scale));
                compare(&[Pairs::new(pairs).unwrap()], &rule())[0]
            };
            let (base, scaled) = (of(1.0), of(1024.0));
            prop_assert_eq!((base.finding, base.p, base.ratio), (scaled.finding, scaled.p, scaled.ratio));
        }
    }
}
