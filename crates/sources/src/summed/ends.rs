//! Where the cells and the rows of a block end.

/// So many bytes are looked at in one go.
const PIECE: usize = 64;

/// Places that are found ahead: of some rows, so that the way through a row has seldom to look for more.
const AHEAD: usize = 512;

/// So many places are written at once, however few of them count: how many there are differs from piece to piece, and a
/// processor that guesses when a loop over them ends guesses wrong each time.
const AT_ONCE: usize = 8;

/// The places of all delimiters and line ends in a block, one after the other. They are found for whole pieces, whatever
/// stands there: a search from each cell for the next would wait for each length by itself.
pub(super) struct Ends<'b> {
    block: &'b [u8],
    delimiter: u8,
    /// How far the block was looked at.
    looked: usize,
    found: [u32; AHEAD + AT_ONCE],
    count: usize,
    next: usize,
}

impl<'b> Ends<'b> {
    pub(super) fn of(block: &'b [u8], delimiter: u8) -> Self {
        Self { block, delimiter, looked: 0, found: [0; AHEAD + AT_ONCE], count: 0, next: 0 }
    }

    // On its own, so that what is done for each cell is short enough to stand where it is used.
    #[inline(never)]
    fn look(&mut self) {
        (self.count, self.next) = (0, 0);
        // As long as the places of one piece more are sure to fit.
        while self.count + PIECE <= AHEAD
            && let Some(rest) = self.block.get(self.looked..).filter(|rest| !rest.is_empty())
        {
            let mut ends = match rest.first_chunk::<PIECE>() {
                Some(piece) => ends_in(piece, self.delimiter),
                None => {
                    let mut piece = [0; PIECE];
                    piece.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
                    ends_in(&piece, self.delimiter)
                }
            };
            let mut left = ends.count_ones() as usize;
            while left > 0 {
                if let Some(places) = self.found.get_mut(self.count..self.count + AT_ONCE) {
                    for place in places {
                        // A block is shorter than that by far.
                        *place = self.looked as u32 + ends.trailing_zeros();
                        ends &= ends.wrapping_sub(1);
                    }
                }
                self.count += left.min(AT_ONCE);
                left = left.saturating_sub(AT_ONCE);
            }
            self.looked += PIECE;
        }
    }
}

impl Iterator for Ends<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.next == self.count {
            self.look();
        }
        let place = self.found.get(self.next).filter(|_| self.next < self.count)?;
        self.next += 1;
        Some(*place as usize)
    }
}

/// A bit for each byte that is a delimiter or a line end. Neither is 0.
fn ends_in(piece: &[u8; PIECE], delimiter: u8) -> u64 {
    // Each byte becomes its bit of eight, many at once; then the sum of each eight, which comes together in the highest byte
    // of the product, is the bits of these eight.
    let mut bits = [0; PIECE];
    for (at, (bit, byte)) in bits.iter_mut().zip(piece).enumerate() {
        *bit = if (*byte == delimiter) | (*byte == b'\n') { 1 << (at % 8) } else { 0 };
    }
    let (eights, _) = bits.as_chunks::<8>();
    let words =
        eights.iter().rev().map(|eight| u64::from_le_bytes(*eight).wrapping_mul(super::plain::EACH) >> 56);
    words.fold(0, |all, bits| all << 8 | bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_delimiter_and_line_end_is_found_in_order(block in "[a,\n;]{0,300}([a]{0,200}[,\n]){0,12}[,]{0,700}") {
            for delimiter in [b',', b';'] {
                let is_end = |byte: u8| byte == delimiter || byte == b'\n';
                let expected: Vec<usize> = block.bytes().zip(0..).filter(|(byte, _)| is_end(*byte)).map(|(_, at)| at).collect();
                prop_assert_eq!(Ends::of(block.as_bytes(), delimiter).collect::<Vec<_>>(), expected);
            }
        }
    }
}
