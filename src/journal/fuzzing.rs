//! What must hold of records, of a whole log and of transactions with any bytes.

use std::sync::Arc;

use super::header::{
    HEADER_BYTES, RecordHeader, body_check, chain_behind, pool_seed, record_bytes,
};
use super::{Journal, JournalOptions, JournalPosition, Transaction, slots};
use crate::base::{Lsn, PoolId};
use crate::disk::ImageDisk;

const POOL: PoolId = PoolId(*b"0123456789abcdef");
/// Length of each of the log's two files in bytes.
const FILE_BYTES: usize = JournalOptions::FILE_UNIT_BYTES as usize;

/// A record's header is refused, or is what it encodes to.
pub(crate) fn record(bytes: &[u8]) {
    check_header(bytes);
    let mut sealed = bytes.to_vec();
    if seal(&mut sealed, 0).is_some() {
        check_header(&sealed);
    }
}

fn check_header(bytes: &[u8]) {
    let seed = pool_seed(POOL);
    let Some((header, _)) = RecordHeader::decode(bytes, seed) else {
        return;
    };
    assert!(header.end() > header.start);
    // The chain is stated, not checked by itself.
    let (encoded, _) = header.encode(seed, 0);
    assert_eq!(encoded[..HEADER_BYTES - 8], bytes[..HEADER_BYTES - 8]);
}

/// A log of two files is read to an end behind each record that it has, and can be opened there.
pub(crate) fn log(bytes: &[u8]) {
    let mut files = bytes.to_vec();
    files.resize(2 * FILE_BYTES, 0);
    check_log(&files);
    seal_log(&mut files);
    check_log(&files);
}

fn check_log(files: &[u8]) {
    let named = files
        .chunks(FILE_BYTES)
        .zip(0..)
        .map(|(file, number)| (slots::slot_path(number), file.to_vec()));
    let disk = ImageDisk::new(named);
    let options = JournalOptions {
        file_bytes: FILE_BYTES as u32,
        files_max: 2,
    };
    let start = JournalPosition {
        lsn: Lsn(0),
        chain: pool_seed(POOL),
    };
    let mut last = start;
    let mut records = 0;
    let scanned = Journal::scan(&disk, POOL, &options, start, &mut |record| {
        assert!(record.lsn.0 >= last.lsn.0 + record_bytes(record.body.len()) as u64);
        last = JournalPosition {
            lsn: record.lsn,
            chain: record.chain,
        };
        records += 1;
        Ok(())
    });
    let Ok(end) = scanned else { return };
    assert_eq!((end.position, end.records), (last, records));
    assert!(end.position.lsn.0 <= files.len() as u64);
    let (at, released, incarnation) = (end.position, Lsn(0), end.incarnation + 1);
    let opened = Journal::open(Arc::new(disk), POOL, options, at, released, incarnation);
    if let Ok(journal) = opened {
        assert_eq!(journal.appended(), last);
    }
}

/// Corrects positions, checksums and chain of one record behind the other.
fn seal_log(files: &mut [u8]) {
    let mut chain = pool_seed(POOL);
    for (file, base) in files.chunks_mut(FILE_BYTES).zip((0..).step_by(FILE_BYTES)) {
        let mut at = 0;
        while at + HEADER_BYTES <= FILE_BYTES {
            let start = (base + at) as u64;
            file[at + 8..at + 16].copy_from_slice(&start.to_le_bytes());
            let Some((len, behind)) = seal(&mut file[at..], chain) else {
                break;
            };
            (at, chain) = (at + len, behind);
        }
    }
}

/// Corrects the checksums of the record at the start of `bytes`; its length, and its chain value
/// behind a record with chain `previous`. None if it does not fit.
fn seal(bytes: &mut [u8], previous: u64) -> Option<(usize, u64)> {
    let body_len = u32::from_le_bytes(bytes.get(40..44)?.try_into().ok()?) as usize;
    let body = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(body_len)?)?;
    let check = body_check(&[body]);
    bytes[48..56].copy_from_slice(&check.to_le_bytes());
    let header = bytes.first_chunk_mut::<HEADER_BYTES>()?;
    let check = xxhash_rust::xxh3::xxh3_64_with_seed(&header[..56], pool_seed(POOL));
    header[56..64].copy_from_slice(&check.to_le_bytes());
    let chain = chain_behind(header, previous);
    header[64..].copy_from_slice(&chain.to_le_bytes());
    let len = record_bytes(body_len);
    bytes.get_mut(HEADER_BYTES + body_len..len)?.fill(0);
    Some((len, chain))
}

/// A transaction is refused, or is what it encodes to.
pub(crate) fn transaction(bytes: &[u8]) -> Option<Transaction> {
    let transaction = Transaction::decode(bytes).ok()?;
    let encoded = transaction.encode();
    assert_eq!(encoded.len(), bytes.len());
    assert_eq!(encoded.slices().concat(), bytes);
    assert!(transaction.places().count() <= transaction.changes.len());
    drop(encoded);
    Some(transaction)
}

/// One record.
#[cfg(test)]
pub(crate) fn record_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![("cut", one_record(2, 0, 0, b"a body").0)]
}

/// A log that goes on in its second file, and one with remains of a record behind its end.
#[cfg(test)]
pub(crate) fn log_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let (first, chain) = one_record(1, 0, pool_seed(POOL), b"the first record");
    let (second, chain) = one_record(3, first.len() as u64, chain, &[5; 40]);
    let mut whole = [first.clone(), second.clone()].concat();
    whole.resize(FILE_BYTES, 0);
    whole.extend(one_record(1, FILE_BYTES as u64, chain, b"in the second file").0);
    let mut torn = [first, second].concat();
    let last = torn.len() - 1;
    torn[last] ^= 1;
    vec![("two-files", whole), ("torn", torn)]
}

/// A record's bytes and its chain value.
#[cfg(test)]
fn one_record(kind: u8, start: u64, previous: u64, body: &[u8]) -> (Vec<u8>, u64) {
    let header = RecordHeader {
        kind,
        start,
        incarnation: 7,
        durable: 0,
        volume: 3,
        body_len: body.len() as u32,
        body_check: body_check(&[body]),
    };
    let (raw, chain) = header.encode(pool_seed(POOL), previous);
    let mut record = [&raw[..], body].concat();
    record.resize(record_bytes(body.len()), 0);
    (record, chain)
}

/// Every kind of change.
#[cfg(test)]
pub(crate) fn transaction_seeds() -> Vec<(&'static str, Vec<u8>)> {
    use super::Change;
    use crate::base::{Key, Place, SegmentId, Value};

    let place = Place {
        segment: SegmentId(3),
        offset: 64,
        len: 4096,
    };
    let put = |key, place| {
        let bytes = [7; 32].as_slice().into();
        Change::Put(key, Value { bytes, place })
    };
    let changes = vec![
        put(Key::new(1, 16, 0), None),
        put(Key::new(1, 20, 5), Some(place)),
        Change::Delete(Key::new(2, 16, 0)),
        Change::DeleteRange(Key::new(3, 0, 0), Key::new(4, 0, 0)),
        Change::DeleteRange(Key::new(5, 20, 1), Key::new(5, 20, 9)),
        Change::Data {
            first: Key::new(5, 20, 3),
            offset: 4000,
            bytes: [9; 200].into(),
        },
    ];
    let transaction = Transaction {
        changes,
        blocks_delta: -1,
        inodes_delta: 2,
        unique: 300,
    };
    vec![
        ("changes", transaction.encode().slices().concat()),
        ("empty", Transaction::default().encode().slices().concat()),
    ]
}
