//! What a strategy says of itself: name, needs, completeness, options. All constant, so that it can be read before an instance exists.

/// What a strategy is and needs. Constant: it is the answer to every `describe`.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Lower case, digits and hyphens.
    pub name: &'static str,
    /// The strategy's own version, shown to people.
    pub version: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What the host must deliver beside roots and shaded references.
    pub needs: &'static [Need],
    /// What garbage the strategy promises to propose. The conformance kit holds it to this.
    pub completeness: Completeness,
    /// The options that the strategy understands.
    pub options: &'static [OptionSpec],
}

impl Info {
    /// A strategy that needs nothing, promises nothing and has no options. Change what differs with struct update syntax.
    pub const fn new(name: &'static str, version: &'static str, summary: &'static str) -> Info {
        Info { name, version, summary, needs: &[], completeness: Completeness::Nothing, options: &[] }
    }

    /// Whether the strategy asks for `need`.
    pub const fn needs(&self, need: Need) -> bool {
        let mut at = 0;
        while at < self.needs.len() {
            if self.needs[at] as u8 == need as u8 {
                return true;
            }
            at += 1;
        }
        false
    }
}

/// What a strategy wants from the host beside roots and snapshot references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Every change of every cell, between cycles too: [`Strategy::changed`](crate::Strategy::changed) is called.
    ChangeLog,
    /// What mutators retired: [`Strategy::retired`](crate::Strategy::retired) is called.
    Retired,
    /// Takes part in marking over nodes: [`Strategy::take_reached`](crate::Strategy::take_reached) is called in cycles with
    /// [`Cause::Cluster`](crate::Cause::Cluster).
    ClusterMark,
}

/// What garbage a strategy promises to propose, and within how many cycles of its death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Promises nothing.
    Nothing,
    /// What mutators retired, and nothing else.
    Retired(u32),
    /// Unreachable objects that are on no cycle, and that no cycle keeps.
    Acyclic(u32),
    /// Everything unreachable.
    All(u32),
}

/// An option that a strategy understands. The type of `default` is the type of the option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionSpec {
    /// Lower case, digits and hyphens.
    pub name: &'static str,
    /// One sentence, shown by `host strategy inspect`.
    pub doc: &'static str,
    /// The value when nobody sets one.
    pub default: DefaultValue,
}

/// The default of an option: a value that can stand in a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    /// A yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Text.
    Text(&'static str),
}

impl DefaultValue {
    /// The default as a value.
    pub fn value(self) -> OptionValue {
        match self {
            DefaultValue::Boolean(value) => OptionValue::Boolean(value),
            DefaultValue::Integer(value) => OptionValue::Integer(value),
            DefaultValue::Number(value) => OptionValue::Number(value),
            DefaultValue::Text(value) => OptionValue::Text(value.to_owned()),
        }
    }
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// A yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
}

/// The options of one instance: every declared option once, defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    values: Vec<(String, OptionValue)>,
}

impl Options {
    /// Options as the host delivers them.
    pub fn new(values: Vec<(String, OptionValue)>) -> Options {
        Options { values }
    }

    /// The defaults of `info`, for tests.
    pub fn defaults(info: &Info) -> Options {
        Options { values: info.options.iter().map(|o| (o.name.to_owned(), o.default.value())).collect() }
    }

    /// These options with one of them set: for tests.
    ///
    /// # Panics
    /// When no option has that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: OptionValue) -> Options {
        let slot = self.values.iter_mut().find(|(n, _)| n == name);
        slot.unwrap_or_else(|| panic!("option {name} is not declared in INFO")).1 = value;
        self
    }

    /// A yes-or-no option.
    ///
    /// # Panics
    /// When the strategy does not declare an option of that name and type: the host has checked the types against `INFO`.
    pub fn boolean(&self, name: &str) -> bool {
        let OptionValue::Boolean(value) = self.find(name) else {
            panic!("option {name} is not declared as a boolean")
        };
        *value
    }

    /// A whole-number option.
    ///
    /// # Panics
    /// As [`Options::boolean`].
    pub fn integer(&self, name: &str) -> i64 {
        let OptionValue::Integer(value) = self.find(name) else {
            panic!("option {name} is not declared as an integer")
        };
        *value
    }

    /// A number option.
    ///
    /// # Panics
    /// As [`Options::boolean`].
    pub fn number(&self, name: &str) -> f64 {
        let OptionValue::Number(value) = self.find(name) else {
            panic!("option {name} is not declared as a number")
        };
        *value
    }

    /// A text option.
    ///
    /// # Panics
    /// As [`Options::boolean`].
    pub fn text(&self, name: &str) -> &str {
        let OptionValue::Text(value) = self.find(name) else {
            panic!("option {name} is not declared as text")
        };
        value
    }

    fn find(&self, name: &str) -> &OptionValue {
        let found = self.values.iter().find(|(n, _)| n == name);
        &found.unwrap_or_else(|| panic!("option {name} is not declared in INFO")).1
    }
}
