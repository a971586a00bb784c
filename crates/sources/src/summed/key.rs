//! What a line is added to, as bytes: month, currency, and each text behind its length, so that no two keys run together.

use trueup_domain::money::Currency;

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
    /// Writes the key in the place of what stands there.
    pub(super) fn write(&self, key: &mut Vec<u8>) {
        let [m1, m2, m3, m4] = self.month.to_le_bytes();
        let [c1, c2, c3] = self.currency;
        key.clear();
        key.extend_from_slice(&[m1, m2, m3, m4, c1, c2, c3]);
        for text in [self.subscription, self.customer, self.product] {
            match u8::try_from(text.len()) {
                Ok(length) if length < u8::MAX => key.push(length),
                Ok(_) | Err(_) => {
                    key.push(u8::MAX);
                    // A record is shorter than that by far.
                    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    key.extend_from_slice(&length.to_le_bytes());
                }
            }
            key.extend_from_slice(text);
        }
        if let Some(unit) = self.unit {
            key.push(1);
            key.extend_from_slice(unit);
        }
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
