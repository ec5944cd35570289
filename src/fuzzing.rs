//! Entry points for fuzzing: one function per target, which takes any bytes and asserts what must
//! hold of them. Bytes are refused with an error, never with a panic, and cost memory in
//! proportion to their length; what is accepted encodes to itself.
//!
//! Formats with checksums are fed twice: as the bytes are, and with the checksums corrected, since
//! no mutation would get past them otherwise. What is asserted stands in each layer's own
//! `fuzzing` module. The same functions run as ordinary tests over the committed seeds.

pub use targets::*;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;

mod targets {
    use crate::{block, daemon, journal, pool, tree, volume};

    macro_rules! targets {
        ($($(#[$doc:meta])* $name:ident: $check:expr;)*) => {$(
            $(#[$doc])*
            pub fn $name(bytes: &[u8]) {
                let check: fn(&[u8]) = $check;
                check(bytes);
            }
        )*};
    }

    targets! {
        /// A frame of the block store, with its content.
        frame: block::fuzzing::frame;
        /// A whole segment file: header, frames, table of contents, trailer.
        segment: block::fuzzing::segment;
        /// A tree node's payload.
        node: tree::fuzzing::node;
        /// A journal record's header.
        record: journal::fuzzing::record;
        /// The files of a journal, scanned and opened.
        log: journal::fuzzing::log;
        /// The body of a transaction's record, applied.
        transaction: |bytes| {
            if let Some(transaction) = journal::fuzzing::transaction(bytes) {
                volume::fuzzing::apply(&transaction);
            }
        };
        /// A slot of the superblock.
        superblock: pool::fuzzing::superblock;
        /// A record of the catalog, of any kind.
        catalog: pool::fuzzing::catalog;
        /// The body of a cut's or a watermark's record.
        cut: pool::fuzzing::cut;
        /// `pool.toml`.
        settings: pool::fuzzing::settings;
        /// A record of a volume, of any kind, or an ACL.
        volume: volume::fuzzing::records;
        /// A request to the control API, or an answer.
        request: daemon::fuzzing::request;
        /// `mounts.json`.
        mounts: daemon::fuzzing::mounts;
    }
}
