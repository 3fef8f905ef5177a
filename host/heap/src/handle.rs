//! The name of an object that outlives scopes: weak, printable, checked by generation.

use std::fmt;
use std::str::FromStr;

/// Names one object for good: home node, home incarnation, cell, generation.
///
/// A handle keeps nothing alive. Once its object is reclaimed every use answers [`Gone`](crate::Gone), also when the
/// cell holds another object by then, because the generation of a cell rises each time it is freed.
///
/// The text form is `n<node>.<incarnation>:<cell>.<generation>`, for example `n0.1:4711.0`.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    /// The node that the object lives on.
    pub node: u32,
    /// Which life of that node.
    pub incarnation: u64,
    /// The object's first cell.
    pub cell: u32,
    /// How often that cell had been freed before.
    pub generation: u32,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}.{}:{}.{}", self.node, self.incarnation, self.cell, self.generation)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no handle: write n<node>.<incarnation>:<cell>.<generation>, for example n0.1:4711.0")]
pub struct HandleSyntax(pub String);

impl FromStr for Handle {
    type Err = HandleSyntax;

    fn from_str(text: &str) -> Result<Handle, HandleSyntax> {
        parse(text).ok_or_else(|| HandleSyntax(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Handle> {
    let (place, object) = text.strip_prefix('n')?.split_once(':')?;
    let (node, incarnation) = place.split_once('.')?;
    let (cell, generation) = object.split_once('.')?;
    Some(Handle {
        node: node.parse().ok()?,
        incarnation: incarnation.parse().ok()?,
        cell: cell.parse().ok()?,
        generation: generation.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_back_as_it_was_written() {
        let handle = Handle { node: 3, incarnation: u64::MAX, cell: 1, generation: u32::MAX };
        assert_eq!(handle.to_string().parse(), Ok(handle));
    }

    #[test]
    fn what_is_no_handle_says_how_one_looks() {
        for text in ["", "n", "n1:2.3", "1.1:2.3", "n1.1:2", "n1.1:2.3.4", "n1.1:2.4294967296", "n-1.1:2.3"] {
            let error = text.parse::<Handle>().unwrap_err();
            assert!(error.to_string().contains("n0.1:4711.0"), "{error}");
        }
    }
}
