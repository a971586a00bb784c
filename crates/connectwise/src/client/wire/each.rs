//! Lists of which one record may not be understood, and the others are.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Record, Reference};

/// A record of a list, or what is known of one that is not understood.
#[derive(Debug, Clone)]
pub enum Each<T> {
    /// It was understood.
    Read(Box<T>),
    /// It was not.
    Unread(Unread),
}

/// What is known of a record that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its id.
    pub id: i64,
    /// The company that it names.
    pub company: Option<i64>,
    /// Why it is not understood.
    pub why: String,
}

/// A record without an id, or one whose id is no number, is not understood at all: the list is none then.
#[derive(Deserialize)]
struct Stub {
    id: i64,
    #[serde(default)]
    company: Option<Box<RawValue>>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let why = match serde_json::from_str::<T>(raw.get()) {
            Ok(record) => return Ok(Self::Read(Box::new(record))),
            Err(why) => why,
        };
        let Stub { id, company } = serde_json::from_str(raw.get())
            .map_err(|_| D::Error::custom(format!("a record without id: {why}")))?;
        let company = company.and_then(|raw| serde_json::from_str::<Reference>(raw.get()).ok()?.id);
        Ok(Self::Unread(Unread { id, company, why: why.to_string() }))
    }
}

impl<T: Record> Record for Each<T> {
    fn id(&self) -> i64 {
        match self {
            Self::Read(record) => record.id(),
            Self::Unread(unread) => unread.id,
        }
    }
}
