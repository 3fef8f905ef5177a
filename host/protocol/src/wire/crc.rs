//! CRC32C (Castagnoli), eight bytes at a time. It finds what a broken cable, driver or file does; it is no signature.
//!
//! Chosen over CRC32 for its distance at frame sizes (Koopman 2002). Tables are made at compile time (Kounavis and Berry 2005, slicing by eight).

const POLYNOMIAL: u32 = 0x82F6_3B78;

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut slice = 1;
    while slice < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[slice - 1][byte];
            tables[slice][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

/// The checksum of several pieces as if they were one.
pub(crate) fn crc32c(pieces: &[&[u8]]) -> u32 {
    !pieces.iter().fold(!0, |state, piece| update(state, piece))
}

fn update(mut state: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word) ^ u64::from(state);
        state = 0;
        for (index, byte) in word.to_le_bytes().into_iter().enumerate() {
            state ^= TABLES[7 - index][usize::from(byte)];
        }
    }
    for &byte in rest {
        state = state >> 8 ^ TABLES[0][usize::from(state as u8 ^ byte)];
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[&[0; 32]]), 0x8A91_36AA);
        assert_eq!(crc32c(&[&[0xff; 32]]), 0x62A8_AB43);
        assert_eq!(crc32c(&[b"123456789"]), 0xE306_9283);
    }

    #[test]
    fn pieces_count_as_one() {
        let bytes: Vec<u8> = (0..100).collect();
        for at in 0..100 {
            assert_eq!(crc32c(&[&bytes[..at], &bytes[at..]]), crc32c(&[&bytes]));
        }
    }
}
