//! How an event becomes bytes.
//!
//! Most events are a head and one or two numbers of one byte: those are put together in a register and written with one store ([`Pen::word`]). What does not
//! fit there is written number by number.

use super::code;

/// Bytes that a pen takes in hand: so much room must be behind every block.
pub(super) const WINDOW: usize = 128;

/// Where in them it begins to write a number at the latest: the operation, its argument and seven numbers are before it.
pub(super) const WRITTEN_MAX: usize = 64;
const _: () = assert!(WRITTEN_MAX + 8 <= WINDOW);

/// Numbers below this take one byte.
pub(super) const ONE_BYTE: u64 = 1 << 7;

/// The first byte of an event, of an argument that fits there.
#[inline]
pub(super) fn head(operation: u8, argument: u64) -> u64 {
    u64::from(operation) | argument << 4
}

/// The varint of a number below [`ONE_BYTE`].
#[inline]
pub(super) fn one_byte(number: u64) -> u64 {
    number << 1 | 1
}

/// Writes a word at the beginning of a buffer that has room for it. An assignment of an array is one instruction in every build; copying slices is two calls
/// where nothing is optimised at link time.
#[inline]
pub(super) fn put_word(bytes: &mut [u8], word: u64) {
    *bytes.first_chunk_mut().expect("there is room behind every block") = word.to_le_bytes();
}

/// Writes an event behind the others. The bounds of the buffer are looked at once per event and not once per number: what it takes in hand is an array,
/// whose bounds the compiler knows.
pub(super) struct Pen<'b> {
    window: &'b mut [u8; WINDOW],
    pub(super) written: usize,
}

impl<'b> Pen<'b> {
    #[inline]
    pub(super) fn new(bytes: &'b mut [u8], from: usize) -> Pen<'b> {
        let window = bytes[from..].first_chunk_mut().expect("there is as much room behind every block");
        Pen { window, written: 0 }
    }

    /// The first `len` bytes of a word.
    #[inline]
    pub(super) fn word(&mut self, word: u64, len: usize) {
        put_word(&mut self.window[self.written % WRITTEN_MAX..], word);
        self.written += len;
    }

    /// The operation and its argument.
    #[inline]
    pub(super) fn head(&mut self, operation: u8, argument: u64) {
        if argument < u64::from(code::ARGUMENT_FOLLOWS) {
            self.byte(head(operation, argument) as u8);
        } else {
            self.byte(head(operation, code::ARGUMENT_FOLLOWS.into()) as u8);
            self.number(argument);
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.window[self.written % WRITTEN_MAX] = byte;
        self.written += 1;
    }

    /// A number that mostly takes one byte.
    #[inline]
    pub(super) fn small(&mut self, value: u64) {
        if value < ONE_BYTE {
            self.byte(one_byte(value) as u8);
        } else {
            self.written = long(self.window, self.written, value);
        }
    }

    #[inline]
    pub(super) fn number(&mut self, value: u64) {
        let len = code::varint_len(value);
        self.word(code::varint_of(value, len), len);
    }
}

/// Writes a number at a place and answers where it ends. Takes the pen apart, which so can stay in registers elsewhere.
#[cold]
fn long(window: &mut [u8; WINDOW], written: usize, value: u64) -> usize {
    let mut pen = Pen { window, written };
    pen.number(value);
    pen.written
}
