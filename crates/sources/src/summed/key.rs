//! What a line is added to, as bytes: month, currency, and each text behind its length, so that no two keys run together.

use hashbrown::DefaultHashBuilder;
use std::hash::{BuildHasher, Hasher};
use trueup_domain::money::Currency;

/// The longest key that stands beside its sum; a longer one lies elsewhere.
pub(super) const SHORT: usize = 72;

/// A short key, filled up with zeros.
pub(super) type ShortKey = [u8; SHORT];

/// Of what a line is, before it is a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names<'a> {
    pub(super) month: u32,
    /// Zeros where it names none.
    pub(super) currency: [u8; 3],
    pub(super) subscription: &'a [u8],
    pub(super) customer: &'a [u8],
    pub(super) product: &'a [u8],
    pub(super) unit: Option<&'a [u8]>,
}

impl Names<'_> {
    pub(super) fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        let mut hash = hasher.build_hasher();
        let [a, b, c] = self.currency;
        hash.write_u64(u64::from(self.month) << 32 | u64::from(u32::from_le_bytes([a, b, c, 0])));
        hash.write(self.subscription);
        hash.write(self.customer);
        hash.write(self.product);
        hash.write(self.unit.unwrap_or_default());
        hash.finish()
    }

    /// Writes the key where it is short, and tells its length.
    pub(super) fn write(&self, key: &mut ShortKey) -> Option<u8> {
        let mut at = 0;
        let mut push = |bytes: &[u8]| {
            key.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
            at += bytes.len();
            Some(())
        };
        self.each(&mut push)?;
        u8::try_from(at).ok()
    }

    /// The key in memory of its own.
    pub(super) fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(SHORT);
        // Memory has no end here: each piece is taken.
        let _ = self.each(&mut |bytes| {
            key.extend_from_slice(bytes);
            Some(())
        });
        key
    }

    fn each(&self, push: &mut impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
        push(&self.month.to_le_bytes())?;
        push(&self.currency)?;
        for text in [self.subscription, self.customer, self.product] {
            match u8::try_from(text.len()) {
                Ok(length) if length < u8::MAX => push(&[length])?,
                Ok(_) | Err(_) => {
                    push(&[u8::MAX])?;
                    push(&u32::try_from(text.len()).ok()?.to_le_bytes())?;
                }
            }
            push(text)?;
        }
        if let Some(unit) = self.unit {
            push(&[1])?;
            push(unit)?;
        }
        Some(())
    }
}

/// What a key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyParts {
    pub(super) month: u32,
    pub(super) currency: Option<Currency>,
    pub(super) subscription: Option<String>,
    pub(super) customer: Option<String>,
    pub(super) product: String,
    pub(super) unit: Option<String>,
}

/// The letters of the currency that a key names.
pub(super) fn currency_of(key: &[u8]) -> Option<[u8; 3]> {
    let (code, _) = key.get(4..)?.split_first_chunk::<3>()?;
    Some(*code).filter(|code| *code != [0; 3])
}

pub(super) fn as_currency(code: [u8; 3]) -> Option<Currency> {
    std::str::from_utf8(&code).ok()?.parse().ok()
}

impl KeyParts {
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        let (month, rest) = key.split_first_chunk::<4>()?;
        let (_, mut rest) = rest.split_first_chunk::<3>()?;
        let mut text = || {
            let (length, after) = rest.split_first()?;
            let (length, after) = if *length == u8::MAX {
                let (length, after) = after.split_first_chunk::<4>()?;
                (u32::from_le_bytes(*length) as usize, after)
            } else {
                (usize::from(*length), after)
            };
            let (text, after) = after.split_at_checked(length)?;
            rest = after;
            String::from_utf8(text.to_vec()).ok()
        };
        let [subscription, customer, product] = [text()?, text()?, text()?];
        let unit = match rest.split_first() {
            Some((_, unit)) => Some(String::from_utf8(unit.to_vec()).ok()?),
            None => None,
        };
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        Some(Self {
            month: u32::from_le_bytes(*month),
            currency: currency_of(key).and_then(as_currency),
            subscription: filled(subscription),
            customer: filled(customer),
            product,
            unit,
        })
    }
}
