//! What the bytes of a block mean. `docs/trace-format.md` says it in prose.
//!
//! An event begins with a byte: the operation in its low half, an argument in its high half; [`ARGUMENT_FOLLOWS`] there means that the argument is the
//! varint behind it. Objects are written as places in the [`Table`] of those that the stream has come upon.

/// Time passes: a varint with the microseconds since the stamp before, or since the beginning of the block.
pub const STAMP: u8 = 0;
/// A scope opens. The first open one is the outermost.
pub const SCOPE_OPEN: u8 = 1;
/// The innermost scope ends.
pub const SCOPE_CLOSE: u8 = 2;
/// An object: argument slots; bytes of payload, distance of its cell from the one expected, one code per slot.
pub const ALLOC: u8 = 3;
/// A reference is read: argument slot; object, and what was found as distance from the object.
pub const LOAD: u8 = 4;
/// A reference is written: argument slot; object, value.
pub const STORE: u8 = 5;
/// A payload is read: object. Heaps do not record this, for it is no concern of a collector; other programs may.
pub const READ: u8 = 6;
/// An object is retired: object.
pub const RETIRE: u8 = 7;
/// A handle was looked up and its object was there: its cell as distance from the one that was found before.
pub const FOUND: u8 = 8;
/// A handle was looked up in vain.
pub const GONE: u8 = 9;
/// A named root is set or, with null, removed: argument name; turn, value.
pub const ROOT_SET: u8 = 10;
/// A named root is read: argument name; turn, and what was found as distance from the youngest object.
pub const ROOT_GET: u8 = 11;
/// An object is pinned: argument place; turn, object.
pub const PIN: u8 = 12;
/// A pin is read: argument place; its object as distance from the youngest.
pub const PINNED: u8 = 13;
/// A pin ends: argument place; turn.
pub const UNPIN: u8 = 14;
/// Something rare: the argument says what.
pub const RARE: u8 = 15;

/// Argument of [`RARE`]: a name of a root, with its length and its bytes. It gets the next number.
pub const RARE_NAME: u64 = 0;
/// Argument of [`RARE`]: the mutator goes. Nothing follows in this stream.
pub const RARE_LEAVE: u64 = 1;

/// The argument stands behind the byte.
pub const ARGUMENT_FOLLOWS: u8 = 15;

/// Code of null, and of nothing found.
pub const NULL: u64 = 0;
/// Code in a list of slots: this one and all that follow are null.
pub const REST_IS_NULL: u64 = 1;
/// Code of the object at place 0 of the table; the other places follow.
pub const FIRST_PLACE: u64 = 2;
/// Code of the youngest object, where it is not in the table; other objects are this and their distance from it.
pub const FIRST_FAR: u64 = FIRST_PLACE + PLACES as u64;

/// Places of the [`Table`]. All of it stays in the fastest cache beside what a program does, and nearly every place is a code of one byte.
pub const PLACES: usize = 128;

/// Largest number that a varint holds: seven bits per byte, eight bytes.
pub const VARINT_MAX: u64 = (1 << 56) - 1;

/// Bytes that a varint takes.
#[inline]
#[must_use]
pub fn varint_len(value: u64) -> usize {
    // A seventh of the number of its highest bit, which is below 64: a multiplication is enough for that.
    (((value | 1).ilog2() * 37) >> 8) as usize + 1
}

/// A varint as a little-endian word of which the first [`varint_len`] bytes count. As many zero bits as there are further bytes, a one, the value.
#[inline]
#[must_use]
pub fn varint(value: u64) -> u64 {
    varint_of(value, varint_len(value))
}

/// The same where the length is known.
#[inline]
pub(super) fn varint_of(value: u64, len: usize) -> u64 {
    ((value << 1) | 1) << (len - 1)
}

/// Reads a varint from the beginning of `bytes`; answers its value and length, or nothing when it is cut off.
#[inline]
#[must_use]
pub fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let len = bytes.first()?.trailing_zeros() as usize + 1;
    if len > 8 || bytes.len() < len {
        return None;
    }
    let mut word = [0; 8];
    word[..len].copy_from_slice(&bytes[..len]);
    Some((u64::from_le_bytes(word) >> len, len))
}

/// A signed number as an unsigned one: small in either direction is small.
#[inline]
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Cells that a stream has come upon. Each has a place, by its number; what comes upon a place takes it over. Writer and reader keep the same table; it is
/// emptied at the beginning of a block.
///
/// To find a cell takes one load, to put one in takes one store. An order by age would keep more of what is used again and cost four times as many instructions;
/// what is lost that way costs two bytes each.
#[derive(Debug, Clone)]
pub struct Table {
    cells: [u32; PLACES],
}

impl Default for Table {
    fn default() -> Table {
        Table { cells: [0; PLACES] }
    }
}

impl Table {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.cells.fill(0);
    }

    /// Puts a cell at its place.
    #[inline]
    pub fn put(&mut self, cell: u32) {
        self.cells[place_of(cell)] = cell;
    }

    /// The place of a cell other than 0, if it is there.
    #[inline]
    #[must_use]
    pub fn find(&self, cell: u32) -> Option<u32> {
        let place = place_of(cell);
        (self.cells[place] == cell).then_some(place as u32)
    }

    /// The cell at a place; 0 where none is.
    #[inline]
    #[must_use]
    pub fn at(&self, place: u32) -> u32 {
        self.cells.get(place as usize).copied().unwrap_or(0)
    }
}

/// Cells one after the other go to places far from each other (Knuth, *The Art of Computer Programming*, volume 3, section 6.4: the golden ratio).
#[inline]
fn place_of(cell: u32) -> usize {
    (cell.wrapping_mul(0x9e37_79b1) >> (32 - PLACES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_are_read_as_they_were_written() {
        let edges = (0..8).flat_map(|len| [(1 << (7 * len)) - 1, 1 << (7 * len)]);
        for value in edges.chain([VARINT_MAX, 300, 77_777]) {
            let len = varint_len(value);
            let bytes = varint(value).to_le_bytes();
            assert_eq!(read_varint(&bytes), Some((value, len)), "{value}");
            assert_eq!(read_varint(&bytes[..len - 1]), None, "{value}");
        }
        assert_eq!((varint_len(127), varint_len(128), varint_len(VARINT_MAX)), (1, 2, 8));
        assert_eq!(read_varint(&[0; 9]), None);
    }

    #[test]
    fn cells_in_a_row_share_no_place() {
        for first in [1, 1000, 77_777, u32::MAX - 100] {
            let mut table = Table::default();
            (first..first + 64).for_each(|cell| table.put(cell));
            assert!((first..first + 64).all(|cell| table.find(cell).is_some()), "{first}");
            assert_eq!(table.find(first + 64), None);
            let place = table.find(first).unwrap();
            assert_eq!(table.at(place), first);
            table.clear();
            assert_eq!((table.find(first), table.at(place), table.at(PLACES as u32)), (None, 0, 0));
        }
    }

    #[test]
    fn small_numbers_of_either_sign_stay_small() {
        for value in [0, 1, -1, 63, -64, i64::from(u32::MAX), -i64::from(u32::MAX)] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!((zigzag(0), zigzag(-1), zigzag(1), zigzag(-64)), (0, 1, 2, 127));
    }
}
