//! What the file must hold.

use super::operation::Span;

/// The bytes of the file.
#[derive(Debug, Default)]
pub struct Oracle {
    bytes: Vec<u8>,
}

impl Oracle {
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The part of a range that lies in the file.
    pub fn clip(&self, span: Span) -> Span {
        let len = span.len.min(self.size().saturating_sub(span.at));
        Span { len, ..span }
    }

    /// What a read of this range returns.
    pub fn read(&self, span: Span) -> &[u8] {
        let end = self.bytes.len().min(span.end() as usize);
        &self.bytes[end.min(span.at as usize)..end]
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.grow(at + bytes.len() as u64);
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    pub fn truncate(&mut self, size: u64) {
        self.bytes.resize(size as usize, 0);
    }

    pub fn grow(&mut self, size: u64) {
        if size > self.size() {
            self.truncate(size);
        }
    }

    /// Zeros, up to the end of the file.
    pub fn zero(&mut self, span: Span) {
        let end = self.bytes.len().min(span.end() as usize);
        self.bytes[end.min(span.at as usize)..end].fill(0);
    }

    /// Err: where what was read differs.
    pub fn compare(&self, span: Span, read: &[u8], how: &str) -> Result<(), String> {
        let wanted = self.read(span);
        if read == wanted {
            return Ok(());
        }
        let differs = |(read, wanted): (&u8, &u8)| read != wanted;
        let first = read.iter().zip(wanted).position(differs);
        let place = first.unwrap_or(read.len().min(wanted.len()));
        let around = |bytes: &[u8]| {
            let end = bytes.len().min(place + 16);
            format!("{:02x?}", &bytes[place.min(end)..end])
        };
        Err(format!(
            "{how}: {} bytes, expected {}; they differ at {}: {}, expected {}",
            read.len(),
            wanted.len(),
            span.at + place as u64,
            around(read),
            around(wanted)
        ))
    }

    /// Err unless the pieces of data, as SEEK_DATA and SEEK_HOLE tell them, hold all that is not
    /// zero and lie on blocks.
    pub fn check_map(&self, data: &[Span], block: u64) -> Result<(), String> {
        let mut at = 0;
        for piece in data {
            let ends_well = piece.end() % block == 0 || piece.end() == self.size();
            if piece.at < at || piece.at % block != 0 || !ends_well || piece.end() > self.size() {
                return Err(format!("data at {piece:?} of {} bytes", self.size()));
            }
            self.check_hole(at, piece.at)?;
            at = piece.end();
        }
        self.check_hole(at, self.size())
    }

    fn check_hole(&self, from: u64, to: u64) -> Result<(), String> {
        let hole = &self.bytes[from as usize..to as usize];
        match hole.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(at) => Err(format!(
                "data at {} in the hole {from}..{to}",
                from + at as u64
            )),
        }
    }
}
