//! A strategy for all nodes, with the options that it is to run with, as one piece of bytes.
//!
//! The protocol passes modules on by the SHA-256 of their bytes, and knows nothing of options. So these travel inside: a *bundle* is a head, the options and the
//! component, and is the module as far as the protocol is concerned. Whoever joins later gets the options by the same way, and two settings of one component are two strategies.
//! Without options the bundle is the component itself. A node of a release that knows no bundles cannot load one, and says so: then no node takes it.
//!
//! ```text
//! "\0gcset\0\x01"   length of the options, 4 bytes, little-endian   options: a JSON object, names in order   component
//! ```

use std::collections::BTreeMap;

use crate::limits::BUNDLE_OPTIONS_BYTES_MAX;

/// No component begins like this: they begin with `\0asm`.
const HEAD: [u8; 8] = *b"\0gcset\0\x01";

/// A bundle that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the options that came with it cannot be read: bring all nodes to one release, or swap without --set"
)]
pub(crate) struct Damaged;

/// Options that are too long to be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} bytes of options are too long for all nodes: at most {BUNDLE_OPTIONS_BYTES_MAX}; put them into the component as defaults"
)]
pub(crate) struct TooLong(usize);

/// Puts a component and its options together.
pub(crate) fn pack(component: Vec<u8>, options: &BTreeMap<String, String>) -> Result<Vec<u8>, TooLong> {
    if options.is_empty() {
        return Ok(component);
    }
    let text = serde_json::to_vec(options).expect("names and values are plain text");
    if text.len() > BUNDLE_OPTIONS_BYTES_MAX {
        return Err(TooLong(text.len()));
    }
    Ok([&HEAD[..], &(text.len() as u32).to_le_bytes(), &text, &component].concat())
}

/// Takes them apart again.
pub(crate) fn unpack(bytes: &[u8]) -> Result<(&[u8], BTreeMap<String, String>), Damaged> {
    let Some(rest) = bytes.strip_prefix(&HEAD) else { return Ok((bytes, BTreeMap::new())) };
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (text, component) =
        rest.split_at_checked(length).filter(|_| length <= BUNDLE_OPTIONS_BYTES_MAX).ok_or(Damaged)?;
    let options = serde_json::from_slice(text).map_err(|_| Damaged)?;
    Ok((component, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn what_is_packed_is_read_back_and_without_options_it_is_the_component() {
        let component = b"\0asm\x0d\0\x01\0rest".to_vec();
        assert_eq!(pack(component.clone(), &options(&[])), Ok(component.clone()));
        assert_eq!(unpack(&component), Ok((&component[..], options(&[]))));
        let set = options(&[("share", "0.5"), ("depth", "\"3\"")]);
        let bundle = pack(component.clone(), &set).unwrap();
        assert_eq!(unpack(&bundle), Ok((&component[..], set.clone())));
        assert_ne!(bundle, pack(component, &options(&[("depth", "3"), ("share", "0.5")])).unwrap());
    }

    /// What other releases must read, byte by byte.
    #[test]
    fn a_bundle_has_these_bytes() {
        let bundle = pack(b"\0asm!".to_vec(), &options(&[("b", "2"), ("a", "1")])).unwrap();
        assert_eq!(bundle, b"\0gcset\0\x01\x11\0\0\0{\"a\":\"1\",\"b\":\"2\"}\0asm!");
    }

    #[test]
    fn what_is_cut_or_damaged_is_known_for_that() {
        let bundle = pack(b"\0asm!".to_vec(), &options(&[("depth", "3")])).unwrap();
        for length in HEAD.len()..bundle.len() - 5 {
            assert_eq!(unpack(&bundle[..length]), Err(Damaged), "{length} bytes");
        }
        let mut wrong = bundle.clone();
        wrong[HEAD.len() + 4] = b'[';
        assert_eq!(unpack(&wrong), Err(Damaged));
        wrong[HEAD.len()..HEAD.len() + 4].fill(255);
        assert_eq!(unpack(&wrong), Err(Damaged));
        let long = options(&[("depth", &"x".repeat(BUNDLE_OPTIONS_BYTES_MAX))]);
        let error = pack(Vec::new(), &long).unwrap_err().to_string();
        assert!(error.contains("too long") && error.contains("65536"), "{error}");
    }
}
