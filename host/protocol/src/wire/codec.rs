//! How values lie in a frame: little endian, in the order of their declaration, without padding; a list is its length in 32 bits and its entries.
//!
//! 1. `take` of what `put` wrote gives the value back.
//! 2. `take` never reads past its bytes, and never allocates more than a small multiple of them: a list longer than the bytes that are left is refused
//!    before its memory is taken.

use crate::ids::{CycleId, Incarnation, Life, MembershipEpoch, NodeId, Object, Reference};

use super::WireError;

/// What can stand in a frame.
pub(crate) trait Field: Sized {
    /// Fewest bytes that a value takes.
    const BYTES_MIN: usize;

    fn put(&self, out: &mut Vec<u8>);

    fn take(bytes: &mut &[u8]) -> Result<Self, WireError>;
}

fn split<'bytes>(bytes: &mut &'bytes [u8], count: usize) -> Result<&'bytes [u8], WireError> {
    let (head, rest) = bytes.split_at_checked(count).ok_or(WireError::Truncated)?;
    *bytes = rest;
    Ok(head)
}

macro_rules! integers {
    ($($integer:ty)*) => { $(
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
        }
    )* };
}

integers!(u8 u16 u32 u64);

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
        for entry in self {
            entry.put(out);
        }
    }

    fn take(bytes: &mut &[u8]) -> Result<Self, WireError> {
        let length = u32::take(bytes)? as usize;
        if length > bytes.len() / Entry::BYTES_MIN {
            return Err(WireError::Truncated);
        }
        (0..length).map(|_| Entry::take(bytes)).collect()
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
        }
    )* };
}

wrapped!(NodeId(u32) Incarnation(u64) MembershipEpoch(u64) CycleId(u64));
fields!(Life { node: NodeId, incarnation: Incarnation });
fields!(Object { cell: u32, generation: u32 });
fields!(Reference { home: Life, object: Object });

pub(crate) use {fields, layout};
