//! Who a node is: a cluster, a name and a number, as its certificate says.
//!
//! The certificate carries one URI among its subject alternative names, `gc://CLUSTER/NAME/NUMBER`. The number is what handles carry (`n3.1:4711.0`);
//! the authority gives each name its own, so that two nodes of one number cannot both have a certificate of this cluster unless somebody copied it.

use std::fmt;
use std::str::FromStr;

/// Longest name of a cluster or a node, in bytes.
pub const NAME_MAX: usize = 64;

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The cluster that it belongs to.
    pub cluster: String,
    /// Its name, for people.
    pub name: String,
    /// Its number in handles. Never 0, which is a node without a cluster.
    pub number: u32,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gc://{}/{}/{}", self.cluster, self.name, self.number)
    }
}

/// A text that is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no identity of a node: it is gc://CLUSTER/NAME/NUMBER, names in lower case letters, digits and hyphens"
)]
pub struct IdentitySyntax(pub String);

impl FromStr for Identity {
    type Err = IdentitySyntax;

    fn from_str(text: &str) -> Result<Identity, IdentitySyntax> {
        parse(text).ok_or_else(|| IdentitySyntax(text.chars().take(200).collect()))
    }
}

fn parse(text: &str) -> Option<Identity> {
    let mut parts = text.strip_prefix("gc://")?.split('/');
    let (cluster, name, number) = (parts.next()?, parts.next()?, parts.next()?);
    let number: u32 = number.parse().ok().filter(|n: &u32| n.to_string() == number && *n != 0)?;
    (parts.next().is_none() && is_name(cluster) && is_name(name)).then(|| Identity {
        cluster: cluster.into(),
        name: name.into(),
        number,
    })
}

/// Whether a text can name a cluster or a node: lower case letters, digits and hyphens, a letter first.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let letters = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    letters
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.len() <= NAME_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_as_it_was_written() {
        let identity = Identity { cluster: "shop".into(), name: "n-3".into(), number: u32::MAX };
        assert_eq!(identity.to_string().parse(), Ok(identity));
    }

    #[test]
    fn what_is_no_identity_says_how_one_looks() {
        let long = format!("gc://{}/n/1", "a".repeat(65));
        for text in [
            "",
            "gc://",
            "http://shop/n1/1",
            "gc://shop/n1",
            "gc://shop/n1/0",
            "gc://shop/n1/01",
            "gc://shop/n1/+1",
            "gc://shop/n1/4294967296",
            "gc://shop/n1/1/2",
            "gc://Shop/n1/1",
            "gc://shop//1",
            "gc://shop/n1-/1",
            &long,
        ] {
            let error = text.parse::<Identity>().expect_err(text);
            assert!(error.to_string().contains("gc://CLUSTER/NAME/NUMBER"), "{error}");
        }
    }
}
