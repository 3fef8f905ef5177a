//! What a strategy says of itself, checked; and the options that people set.
//!
//! Invariant: a [`Description`] contains nothing that could not be printed on one line, and nothing without a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use gc_heap::Needs;

use crate::bindings::types;
use crate::error::PluginError;
use crate::limits;

/// What a strategy is and needs. See `description` in `wit/types.wit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Lower case, digits and hyphens.
    pub name: String,
    /// The strategy's own version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// What it wants to be told.
    pub needs: Needs,
    /// What garbage it promises to propose.
    pub completeness: Completeness,
    /// The options that it takes, in its own order.
    pub options: Vec<OptionSpec>,
}

/// What garbage a strategy promises to propose, and within how many cycles of its death.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// Promises nothing, or something that this host does not know.
    Nothing,
    /// What mutators retired, and nothing else.
    Retired(u32),
    /// What is on no cycle, and what no cycle keeps.
    Acyclic(u32),
    /// Everything unreachable.
    All(u32),
}

/// An option that a strategy takes.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionSpec {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub doc: String,
    /// What it is when nobody sets it. Its type is the type of the option.
    pub default: OptionValue,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// Text.
    Text(String),
}

impl OptionValue {
    /// The type in words, with an article.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            OptionValue::Boolean(_) => "true or false",
            OptionValue::Integer(_) => "a whole number",
            OptionValue::Number(_) => "a number",
            OptionValue::Text(_) => "text",
        }
    }
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Boolean(value) => write!(f, "{value}"),
            OptionValue::Integer(value) => write!(f, "{value}"),
            OptionValue::Number(value) => write!(f, "{value:?}"),
            OptionValue::Text(value) => write!(f, "{value}"),
        }
    }
}

impl OptionSpec {
    /// Reads a value of this option's type from what a person typed. Nothing if it is of another type.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<OptionValue> {
        match self.default {
            OptionValue::Boolean(_) => text.parse().ok().map(OptionValue::Boolean),
            OptionValue::Integer(_) => text.parse().ok().map(OptionValue::Integer),
            OptionValue::Number(_) => {
                text.parse().ok().filter(|number: &f64| number.is_finite()).map(OptionValue::Number)
            }
            OptionValue::Text(_) => Some(OptionValue::Text(text.to_owned())),
        }
    }

    /// The value as one of this option's type: a whole number will do where a number is wanted.
    fn accept(&self, value: &OptionValue) -> Option<OptionValue> {
        match (&self.default, value) {
            (OptionValue::Number(_), OptionValue::Integer(whole)) => Some(OptionValue::Number(*whole as f64)),
            (OptionValue::Number(_), OptionValue::Number(number)) if !number.is_finite() => None,
            (default, value) if default.kind() == value.kind() => Some(value.clone()),
            _ => None,
        }
    }
}

impl Description {
    /// Every declared option once, in order, with what was set or else its default.
    ///
    /// # Errors
    ///
    /// [`PluginError::UnknownOption`] and [`PluginError::OptionType`].
    pub fn settle(
        &self,
        set: &BTreeMap<String, OptionValue>,
    ) -> Result<Vec<(String, OptionValue)>, PluginError> {
        if let Some(option) = set.keys().find(|name| !self.options.iter().any(|spec| spec.name == **name)) {
            let known: Vec<_> = self.options.iter().map(|spec| spec.name.as_str()).collect();
            return Err(PluginError::UnknownOption {
                strategy: self.name.clone(),
                option: shown(option, limits::NAME_BYTES),
                known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            });
        }
        self.options.iter().map(|spec| self.settle_one(spec, set.get(&spec.name))).collect()
    }

    fn settle_one(
        &self,
        spec: &OptionSpec,
        set: Option<&OptionValue>,
    ) -> Result<(String, OptionValue), PluginError> {
        let value = match set {
            None => spec.default.clone(),
            Some(value) => spec.accept(value).ok_or_else(|| PluginError::OptionType {
                strategy: self.name.clone(),
                option: spec.name.clone(),
                expected: spec.default.kind(),
                found: shown(&value.to_string(), limits::NAME_BYTES),
            })?,
        };
        Ok((spec.name.clone(), value))
    }

    /// Takes over what a strategy said, or says what is wrong with it.
    pub(crate) fn checked(said: types::Description) -> Result<Description, String> {
        check_name("name", &said.name)?;
        check_line("version", &said.version, limits::NAME_BYTES)?;
        check_line("summary", &said.summary, limits::SUMMARY_BYTES)?;
        Ok(Description {
            needs: checked_needs(&said.needs)?,
            options: checked_options(said.options)?,
            name: said.name,
            version: said.version,
            summary: said.summary,
            completeness: match said.completeness {
                types::Completeness::Nothing | types::Completeness::Other(_) => Completeness::Nothing,
                types::Completeness::Retired(cycles) => Completeness::Retired(cycles),
                types::Completeness::Acyclic(cycles) => Completeness::Acyclic(cycles),
                types::Completeness::All(cycles) => Completeness::All(cycles),
            },
        })
    }
}

/// The need of a strategy that takes part in marking over nodes, in the words of the contract.
const CLUSTER_MARK: &str = "cluster-mark";

fn checked_needs(said: &[types::Need]) -> Result<Needs, String> {
    if said.len() > limits::NEEDS {
        return Err(format!("{} needs, at most {} are possible", said.len(), limits::NEEDS));
    }
    let mut needs = Needs::default();
    for need in said {
        match need {
            types::Need::ChangeLog => needs.change_log = true,
            types::Need::Retired => needs.retired = true,
            types::Need::Other(what) if what == CLUSTER_MARK => needs.cluster_mark = true,
            types::Need::Other(what) => {
                let what = shown(what, limits::NAME_BYTES);
                return Err(format!("it needs {what}, which this host does not know: update the host"));
            }
        }
    }
    Ok(needs)
}

fn checked_options(said: Vec<types::OptionSpec>) -> Result<Vec<OptionSpec>, String> {
    if said.len() > limits::OPTIONS {
        return Err(format!("{} options, at most {} are possible", said.len(), limits::OPTIONS));
    }
    let mut names = BTreeSet::new();
    let mut options = Vec::with_capacity(said.len());
    for spec in said {
        check_name("name of an option", &spec.name)?;
        check_line(&format!("doc of the option {}", spec.name), &spec.doc, limits::SUMMARY_BYTES)?;
        if !names.insert(spec.name.clone()) {
            return Err(format!("the option {} is declared twice", spec.name));
        }
        let default = OptionValue::from(spec.default);
        match &default {
            OptionValue::Number(number) if !number.is_finite() => {
                return Err(format!("the default of the option {} is not a finite number", spec.name));
            }
            OptionValue::Text(text) => {
                check_line(&format!("default of the option {}", spec.name), text, limits::TEXT_BYTES)?;
            }
            _ => {}
        }
        options.push(OptionSpec { name: spec.name, doc: spec.doc, default });
    }
    Ok(options)
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > limits::NAME_BYTES || !name.bytes().all(legal) {
        let name = shown(name, limits::NAME_BYTES);
        return Err(format!(
            "the {what} is \"{name}\": use 1 to {} lower-case letters, digits and hyphens",
            limits::NAME_BYTES
        ));
    }
    Ok(())
}

fn check_line(what: &str, line: &str, limit: usize) -> Result<(), String> {
    if line.len() > limit {
        return Err(format!("the {what} has {} bytes, at most {limit} are possible", line.len()));
    }
    if line.chars().any(char::is_control) {
        return Err(format!("the {what} contains control characters: write one line of plain text"));
    }
    Ok(())
}

/// The text of a strategy as it may be shown to people: cut at `limit` bytes, control characters replaced.
pub(crate) fn shown(text: &str, limit: usize) -> String {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let clean =
        |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
    let mut shown: String = text[..end].chars().map(clean).collect();
    if end < text.len() {
        shown.push('…');
    }
    shown
}

impl From<types::OptionValue> for OptionValue {
    fn from(value: types::OptionValue) -> OptionValue {
        match value {
            types::OptionValue::Boolean(value) => OptionValue::Boolean(value),
            types::OptionValue::Integer(value) => OptionValue::Integer(value),
            types::OptionValue::Number(value) => OptionValue::Number(value),
            types::OptionValue::Text(value) => OptionValue::Text(value),
        }
    }
}

impl From<OptionValue> for types::OptionValue {
    fn from(value: OptionValue) -> types::OptionValue {
        match value {
            OptionValue::Boolean(value) => types::OptionValue::Boolean(value),
            OptionValue::Integer(value) => types::OptionValue::Integer(value),
            OptionValue::Number(value) => types::OptionValue::Number(value),
            OptionValue::Text(value) => types::OptionValue::Text(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> types::Description {
        let option =
            |name: &str, default| types::OptionSpec { name: name.into(), doc: String::new(), default };
        types::Description {
            name: "a-1".into(),
            version: "0".into(),
            summary: String::new(),
            needs: vec![types::Need::Retired],
            completeness: types::Completeness::Other("most".into()),
            options: vec![
                option("depth", types::OptionValue::Integer(7)),
                option("ratio", types::OptionValue::Number(0.5)),
            ],
        }
    }

    fn set(name: &str, value: OptionValue) -> BTreeMap<String, OptionValue> {
        BTreeMap::from([(name.to_owned(), value)])
    }

    #[test]
    fn an_unknown_promise_is_no_promise() {
        assert_eq!(Description::checked(said()).unwrap().completeness, Completeness::Nothing);
    }

    #[test]
    fn the_need_to_mark_over_nodes_is_known_and_no_other_is_taken_for_it() {
        let needing = |what: &str| {
            let needs = vec![types::Need::Other(what.into())];
            Description::checked(types::Description { needs, ..said() })
        };
        assert!(needing("cluster-mark").unwrap().needs.cluster_mark);
        assert!(!Description::checked(said()).unwrap().needs.cluster_mark);
        for other in ["cluster", "Cluster-Mark", "cluster-mark-2", ""] {
            let refused = needing(other).unwrap_err();
            assert!(refused.contains("update the host"), "{refused}");
        }
    }

    #[test]
    fn options_that_nobody_sets_have_their_defaults() {
        let description = Description::checked(said()).unwrap();
        let settled = description.settle(&set("ratio", OptionValue::Integer(3))).unwrap();
        assert_eq!(
            settled,
            [("depth".into(), OptionValue::Integer(7)), ("ratio".into(), OptionValue::Number(3.0))]
        );
    }

    #[test]
    fn unknown_options_and_other_types_are_refused_by_name() {
        let description = Description::checked(said()).unwrap();
        let refused = |set| description.settle(&set).unwrap_err().to_string();
        assert_eq!(
            refused(set("dept", OptionValue::Integer(1))),
            "the strategy a-1 has no option dept: it knows depth, ratio"
        );
        let depth = refused(set("depth", OptionValue::Number(0.5)));
        assert_eq!(depth, "the option depth of the strategy a-1 takes a whole number, not 0.5");
        assert!(refused(set("ratio", OptionValue::Number(f64::INFINITY))).contains("not inf"));
    }

    #[test]
    fn what_people_type_is_read_by_the_type_of_the_default() {
        let options = Description::checked(said()).unwrap().options;
        assert_eq!(options[0].parse("-3"), Some(OptionValue::Integer(-3)));
        assert_eq!(options[0].parse("3.5"), None);
        assert_eq!(options[1].parse("3"), Some(OptionValue::Number(3.0)));
        assert_eq!(options[1].parse("NaN"), None);
    }

    #[test]
    fn shown_text_is_cut_at_a_character_and_has_no_control_characters() {
        assert_eq!(shown("aéb", 2), "a…");
        assert_eq!(shown("a\u{1b}b", 9), "a\u{fffd}b");
    }
}
