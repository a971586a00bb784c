//! The keys of the sums of a part, one behind the other, each as long as it is.

/// How many bytes lie in one piece of memory; a power of two. What is longer has one of its own.
const PIECE: usize = 1 << 14;

/// Keys, each behind its length. They are never moved.
#[derive(Default)]
pub(super) struct Keys(Vec<Vec<u8>>);

impl Keys {
    /// Keeps a key and tells where. None where there is no more room.
    pub(super) fn push(&mut self, key: &[u8]) -> Option<u32> {
        let length = u32::try_from(key.len()).ok()?;
        let (short, long) =
            (u8::try_from(key.len()).ok().filter(|length| *length < u8::MAX), length.to_le_bytes());
        let needed = key.len() + if short.is_some() { 1 } else { 5 };
        let fits = self.0.last().is_some_and(|piece| piece.len() + needed <= PIECE);
        if !fits {
            self.0.push(Vec::with_capacity(needed.max(PIECE)));
        }
        let piece = self.0.len().checked_sub(1)?;
        let keys = self.0.get_mut(piece)?;
        let at = u32::try_from(piece.checked_mul(PIECE)? + keys.len()).ok().filter(|at| *at < u32::MAX)?;
        match short {
            Some(length) => keys.push(length),
            None => {
                keys.push(u8::MAX);
                keys.extend_from_slice(&long);
            }
        }
        keys.extend_from_slice(key);
        Some(at)
    }

    /// The key that was kept there.
    pub(super) fn get(&self, at: u32) -> &[u8] {
        self.find(at).unwrap_or_default()
    }

    fn find(&self, at: u32) -> Option<&[u8]> {
        let piece = self.0.get(at as usize / PIECE)?;
        let (length, rest) = piece.get(at as usize % PIECE..)?.split_first()?;
        if *length < u8::MAX {
            return rest.get(..usize::from(*length));
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        rest.get(..u32::from_le_bytes(*length) as usize)
    }

    /// Reads both ends of a key of that length, which may lie on two lines of the cache; 0 where none was kept.
    pub(super) fn ends(&self, at: u32, length: usize) -> u8 {
        let Some(piece) = self.0.get(at as usize / PIECE) else { return 0 };
        let begin = at as usize % PIECE;
        let byte = |at: usize| piece.get(at).copied().unwrap_or(0);
        byte(begin) ^ byte(begin + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_are_found_again() {
        let lengths = [0, 1, 14, 254, 255, 256, PIECE - 6, PIECE - 5, PIECE, 3 * PIECE, 7];
        let all: Vec<Vec<u8>> =
            lengths.iter().cycle().take(200).zip(0_u8..).map(|(length, byte)| vec![byte; *length]).collect();
        let mut keys = Keys::default();
        let places: Vec<u32> = all.iter().map(|key| keys.push(key).unwrap()).collect();
        for (key, at) in all.iter().zip(&places) {
            assert_eq!(keys.get(*at), key.as_slice());
        }
        assert!(keys.get(u32::MAX).is_empty());
        assert_eq!(keys.ends(u32::MAX, 7), 0);
    }
}
