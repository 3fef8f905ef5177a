//! Options of a strategy: from the text that people write to the types that the strategy declares.

use std::collections::BTreeMap;

use gc_plugin::{Description, OptionValue};

use crate::error::NodeError;

/// Gives each setting the type of the option that it sets. What is not set keeps the strategy's default.
///
/// # Errors
///
/// [`NodeError::Config`] for an option that the strategy does not have, or a value of another type.
pub fn typed(
    description: &Description,
    settings: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, OptionValue>, NodeError> {
    let mut options = BTreeMap::new();
    for (name, text) in settings {
        let Some(spec) = description.options.iter().find(|spec| spec.name == *name) else {
            let known: Vec<&str> = description.options.iter().map(|spec| spec.name.as_str()).collect();
            let known = if known.is_empty() { "no options".to_owned() } else { known.join(", ") };
            return Err(NodeError::Config {
                what: format!("the strategy '{}' has no option '{name}': it has {known}", description.name),
                remedy: "`host strategy inspect` shows what each means",
            });
        };
        let value = spec.parse(text).ok_or_else(|| NodeError::Config {
            what: format!(
                "'{text}' is no value for the option '{name}' of '{}': it takes {}",
                description.name,
                spec.default.kind()
            ),
            remedy: "`host strategy inspect` shows its default",
        })?;
        options.insert(name.clone(), value);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use gc_heap::Needs;
    use gc_plugin::{Completeness, OptionSpec};

    use super::*;

    fn description() -> Description {
        Description {
            name: "x".into(),
            version: "1".into(),
            summary: String::new(),
            needs: Needs::default(),
            completeness: Completeness::Nothing,
            options: vec![OptionSpec {
                name: "depth".into(),
                doc: String::new(),
                default: OptionValue::Integer(1),
            }],
        }
    }

    fn set(name: &str, text: &str) -> Result<BTreeMap<String, OptionValue>, NodeError> {
        typed(&description(), &[(name.to_owned(), text.to_owned())].into())
    }

    #[test]
    fn a_setting_gets_the_type_of_its_option() {
        assert_eq!(set("depth", "-3").unwrap()["depth"], OptionValue::Integer(-3));
    }

    #[test]
    fn what_cannot_be_set_says_what_can() {
        let unknown = set("dept", "1").unwrap_err().to_string();
        assert!(unknown.contains("dept") && unknown.contains("depth"), "{unknown}");
        let nonsense = set("depth", "much").unwrap_err().to_string();
        assert!(nonsense.contains("much") && nonsense.contains("whole number"), "{nonsense}");
    }
}
