//! The shape of the file, before anything parses it: so that common mistakes get their own answer.

use crate::error::PluginError;

const MAGIC: [u8; 4] = *b"\0asm";
const CORE: u32 = 1;
const COMPONENT: u32 = 0x0001_000d;

/// Refuses everything that is not a whole component file. Says nothing about its contents.
pub(crate) fn check(bytes: &[u8], origin: &str, limit: usize) -> Result<(), PluginError> {
    let origin = || origin.to_owned();
    if bytes.is_empty() {
        return Err(PluginError::Empty { origin: origin() });
    }
    if bytes.len() > limit {
        return Err(PluginError::TooLarge { origin: origin(), bytes: bytes.len(), limit });
    }
    if !bytes.starts_with(&MAGIC) && !MAGIC.starts_with(bytes) {
        return Err(PluginError::NotWasm { origin: origin(), found: looks_like(bytes) });
    }
    let truncated = |expected| PluginError::Truncated { origin: origin(), bytes: bytes.len(), expected };
    let Some(encoding) = bytes.get(4..8) else { return Err(truncated(8)) };
    match u32::from_le_bytes(encoding.try_into().expect("four bytes")) {
        COMPONENT => {}
        CORE => return Err(PluginError::CoreModule { origin: origin() }),
        encoding => return Err(PluginError::UnknownEncoding { origin: origin(), encoding }),
    }
    end_of_sections(bytes).map_err(truncated)
}

/// Walks the sections at top level. The end of the one that the bytes do not reach, as an error. Whatever else is wrong is left to the validator.
fn end_of_sections(bytes: &[u8]) -> Result<(), u64> {
    let mut at = 8;
    while at < bytes.len() {
        let Some((length, body)) = leb128(bytes, at + 1)? else { return Ok(()) };
        let end = body as u64 + u64::from(length);
        if end > bytes.len() as u64 {
            return Err(end);
        }
        at = end as usize;
    }
    Ok(())
}

/// An unsigned LEB128 number of 32 bits and where it ends; nothing if it is malformed; an error if the bytes end in it.
fn leb128(bytes: &[u8], at: usize) -> Result<Option<(u32, usize)>, u64> {
    let mut value = 0_u64;
    for (nth, position) in (at..at + 5).enumerate() {
        let byte = *bytes.get(position).ok_or(position as u64 + 1)?;
        value |= u64::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            return Ok(u32::try_from(value).ok().map(|value| (value, position + 1)));
        }
    }
    Ok(None)
}

fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x7f, b'E', b'L', b'F', ..] => "an ELF file (a native program or library)",
        [b'(', ..] => "the text format (compile it with wasm-tools parse)",
        [0x1f, 0x8b, ..] | [b'P', b'K', ..] => "an archive (unpack it)",
        [b'!', b'<', b'a', b'r', ..] => "a static library",
        _ if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => "text",
        _ => "data of another kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        check(bytes, "x.wasm", 1000).unwrap_err().to_string()
    }

    #[test]
    fn each_wrong_file_has_its_own_answer() {
        assert!(refused(b"").contains("is empty"));
        assert!(refused(b"\x7fELF\x02").contains("ELF"));
        assert!(refused(b"(component)").contains("text format"));
        assert!(refused(b"hello\n").contains("it is text"));
        assert!(refused(b"\xff\xfe").contains("another kind"));
        assert!(refused(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
        assert!(refused(b"\0asm\x0e\0\x01\0").contains("0x0001000e"));
        assert!(refused(&[0; 1001]).contains("more than the limit of 1000"));
    }

    #[test]
    fn a_file_cut_anywhere_is_truncated() {
        let whole = b"\0asm\x0d\0\x01\0\x00\x03\x01ab\x00\x80\x01"
            .iter()
            .copied()
            .chain([0; 128])
            .collect::<Vec<_>>();
        check(&whole, "x.wasm", 1000).unwrap();
        for end in (1..whole.len()).filter(|end| ![8, 13].contains(end)) {
            assert!(refused(&whole[..end]).contains("truncated"), "{end}");
        }
    }

    #[test]
    fn malformed_lengths_are_left_to_the_validator() {
        check(b"\0asm\x0d\0\x01\0\x00\xff\xff\xff\xff\xff\xff", "x.wasm", 1000).unwrap();
    }
}
