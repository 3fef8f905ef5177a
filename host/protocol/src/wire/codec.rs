//! How values lie in a frame: little endian, in the order of their declaration, without padding; a list is its length in 32 bits and its entries.
//!
//! In a list each number of 32 or 64 bits is written as the step from the same field of the entry before, the first from zero: signs in the lowest bit (zigzag), seven
//! bits to a byte, lowest first, the highest bit of a byte set where another follows (LEB128). Entries of one list are neighbours most of the time: numbers that rise by one,
//! the same home, cells that were allocated one after the other. A mention then takes 3 bytes, and 20 at most.
//!
//! 1. `take` of what `put` wrote gives the value back, and no other bytes give it: a number in more bytes than it needs is refused.
//! 2. `take` never reads past its bytes, and never allocates more than eight times as many: a list longer than the bytes that are left is refused
//!    before its memory is taken.

use crate::ids::{CycleId, Incarnation, Life, MembershipEpoch, NodeId, Object, Reference};

use super::WireError;

/// What can stand in a frame.
pub(crate) trait Field: Sized {
    /// Fewest bytes that a value takes.
    const BYTES_MIN: usize;

    fn put(&self, out: &mut Vec<u8>);

    fn take(bytes: &mut &[u8]) -> Result<Self, WireError>;

    /// Fewest bytes that a value takes in a list.
    const ENTRY_BYTES_MIN: usize = Self::BYTES_MIN;

    /// As an entry of a list, behind another.
    fn put_entry(&self, _before: Option<&Self>, out: &mut Vec<u8>) {
        self.put(out);
    }

    fn take_entry(_before: Option<&Self>, bytes: &mut &[u8]) -> Result<Self, WireError> {
        Self::take(bytes)
    }
}

fn split<'bytes>(bytes: &mut &'bytes [u8], count: usize) -> Result<&'bytes [u8], WireError> {
    let (head, rest) = bytes.split_at_checked(count).ok_or(WireError::Truncated)?;
    *bytes = rest;
    Ok(head)
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = u8::take(bytes)?;
        let bits = u64::from(byte & 0x7f);
        // Of the tenth byte one bit is left.
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return Err(WireError::Value);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(WireError::Value)
}

macro_rules! integer {
    ($integer:ty { $($entry:tt)* }) => {
        impl Field for $integer {
            const BYTES_MIN: usize = size_of::<$integer>();

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(bytes: &mut &[u8]) -> Result<Self, WireError> {
                let (head, rest) = bytes.split_first_chunk().ok_or(WireError::Truncated)?;
                *bytes = rest;
                Ok(<$integer>::from_le_bytes(*head))
            }

            $($entry)*
        }
    };
    ($integer:ty, $signed:ty) => {
        integer!($integer {
            const ENTRY_BYTES_MIN: usize = 1;

            fn put_entry(&self, before: Option<&Self>, out: &mut Vec<u8>) {
                let step = self.wrapping_sub(before.copied().unwrap_or(0)) as $signed;
                let zigzag = (step << 1 ^ step >> (<$signed>::BITS - 1)) as $integer;
                put_number(u64::from(zigzag), out);
            }

            fn take_entry(before: Option<&Self>, bytes: &mut &[u8]) -> Result<Self, WireError> {
                let zigzag = <$integer>::try_from(take_number(bytes)?).map_err(|_| WireError::Value)?;
                let step = zigzag >> 1 ^ (zigzag & 1).wrapping_neg();
                Ok(before.copied().unwrap_or(0).wrapping_add(step))
            }
        });
    };
}

integer!(u8 {});
integer!(u16 {});
integer!(u32, i32);
integer!(u64, i64);

impl Field for bool {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(bytes: &mut &[u8]) -> Result<Self, WireError> {
        match u8::take(bytes)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Value),
        }
    }
}

impl<const LEN: usize> Field for [u8; LEN] {
    const BYTES_MIN: usize = LEN;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(bytes: &mut &[u8]) -> Result<Self, WireError> {
        let (head, rest) = bytes.split_first_chunk().ok_or(WireError::Truncated)?;
        *bytes = rest;
        Ok(*head)
    }
}

/// Bytes that mean nothing here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Payload(pub Vec<u8>);

impl Field for Payload {
    const BYTES_MIN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) {
        (self.0.len() as u32).put(out);
        out.extend_from_slice(&self.0);
    }

    fn take(bytes: &mut &[u8]) -> Result<Self, WireError> {
        let length = u32::take(bytes)? as usize;
        Ok(Payload(split(bytes, length)?.to_vec()))
    }
}

impl<Entry: Field> Field for Vec<Entry> {
    const BYTES_MIN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        let mut before = None;
        for entry in self {
            entry.put_entry(before, out);
            before = Some(entry);
        }
    }

    fn take(bytes: &mut &[u8]) -> Result<Self, WireError> {
        let length = u32::take(bytes)? as usize;
        if length > bytes.len() / Entry::ENTRY_BYTES_MIN {
            return Err(WireError::Truncated);
        }
        let mut list = Vec::with_capacity(length);
        for _ in 0..length {
            let entry = Entry::take_entry(list.last(), bytes)?;
            list.push(entry);
        }
        Ok(list)
    }
}

/// Declares structs that stand in frames: their fields in this order.
macro_rules! layout {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty,)* })*) => { $(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name { $($(#[$doc])* pub $field: $kind,)* }

        fields!($name { $($field: $kind,)* });
    )* };
}

/// Says how a struct lies in a frame.
macro_rules! fields {
    ($name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        impl Field for $name {
            const BYTES_MIN: usize = 0 $(+ <$kind as Field>::BYTES_MIN)*;

            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn take(bytes: &mut &[u8]) -> Result<Self, WireError> {
                Ok($name { $($field: Field::take(bytes)?,)* })
            }

            const ENTRY_BYTES_MIN: usize = 0 $(+ <$kind as Field>::ENTRY_BYTES_MIN)*;

            fn put_entry(&self, before: Option<&Self>, out: &mut Vec<u8>) {
                $(self.$field.put_entry(before.map(|before| &before.$field), out);)*
            }

            fn take_entry(before: Option<&Self>, bytes: &mut &[u8]) -> Result<Self, WireError> {
                Ok($name { $($field: Field::take_entry(before.map(|before| &before.$field), bytes)?,)* })
            }
        }
    };
}

macro_rules! wrapped {
    ($($name:ident($inner:ty))*) => { $(
        impl Field for $name {
            const BYTES_MIN: usize = <$inner as Field>::BYTES_MIN;

            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(bytes: &mut &[u8]) -> Result<Self, WireError> {
                <$inner>::take(bytes).map($name)
            }

            const ENTRY_BYTES_MIN: usize = <$inner as Field>::ENTRY_BYTES_MIN;

            fn put_entry(&self, before: Option<&Self>, out: &mut Vec<u8>) {
                self.0.put_entry(before.map(|before| &before.0), out);
            }

            fn take_entry(before: Option<&Self>, bytes: &mut &[u8]) -> Result<Self, WireError> {
                <$inner>::take_entry(before.map(|before| &before.0), bytes).map($name)
            }
        }
    )* };
}

wrapped!(NodeId(u32) Incarnation(u64) MembershipEpoch(u64) CycleId(u64));
fields!(Life { node: NodeId, incarnation: Incarnation });
fields!(Object { cell: u32, generation: u32 });
fields!(Reference { home: Life, object: Object });

pub(crate) use {fields, layout};
