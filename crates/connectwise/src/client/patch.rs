//! The operations of a PATCH, which ConnectWise takes as a JSON array.

use serde::Serialize;
use serde_json::value::RawValue;

/// One operation. Only whole fields by name: indexes and paths into references answer 200 and do nothing on some fields.
#[derive(Debug, Clone, Serialize)]
pub struct PatchOp {
    op: &'static str,
    path: &'static str,
    value: Box<RawValue>,
}

impl PatchOp {
    /// Sets a field to an absolute value, so that repeating the call changes nothing more.
    ///
    /// # Errors
    /// Where the value cannot be written as JSON.
    pub fn replace<T: Serialize + ?Sized>(path: &'static str, value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self { op: "replace", path, value: serde_json::value::to_raw_value(value)? })
    }

    /// Empties a field.
    #[must_use]
    pub fn clear(path: &'static str) -> Self {
        Self { op: "replace", path, value: RawValue::NULL.to_owned() }
    }

    /// The field.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::client::value::{Number, WireDate};

    #[test]
    fn decimals_are_json_numbers_and_dates_are_midnight() {
        let ops = [
            PatchOp::replace("quantity", &Number(Decimal::new(80, 1))).unwrap(),
            PatchOp::replace("cancelledDate", &WireDate(jiff::civil::date(2026, 2, 28))).unwrap(),
            PatchOp::clear("cancelledDate"),
        ];
        assert_eq!(
            serde_json::to_string(&ops).unwrap(),
            r#"[{"op":"replace","path":"quantity","value":8},{"op":"replace","path":"cancelledDate","value":"2026-02-28T00:00:00Z"},{"op":"replace","path":"cancelledDate","value":null}]"#
        );
    }
}
