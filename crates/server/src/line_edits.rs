//! Edits of the lines of a plan, as people and programs write them: one form for the API and for the command line.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use trueup_domain::amendment::{Amendment, Decision, Ending, Values};
use trueup_domain::plan::OperationKey;
use trueup_domain::psa::BillFlag;
use trueup_engine::planning::LineEdit;
use utoipa::ToSchema;

/// Longest text of a line.
const LONGEST: usize = 6000;

/// What is set of one line that a plan proposes; what is not named stays as it is proposed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineEditDoc {
    /// The `key` of the change; of one that was edited already, its `edited.proposal_key`.
    pub key: String,
    /// True: the line is not written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leave_out: bool,
    /// True: what was set of the line before is taken back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub as_proposed: bool,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "5")]
    pub quantity: Option<String>,
    /// Price of one unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "22.00")]
    pub unit_price: Option<String>,
    /// Cost of one unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "17.60")]
    pub unit_cost: Option<String>,
    /// First billed day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-04-01")]
    pub effective: Option<String>,
    /// Last billed day; an empty text leaves the line open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-04-30")]
    pub cancelled: Option<String>,
    /// Text of the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Text on the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice_description: Option<String>,
    /// `billable`, `do_not_bill` or `no_charge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<String>,
    /// Whether it is taxed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taxable: Option<bool>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Which field of an edit is wrong, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongEdit {
    /// `edits.KEY.quantity`.
    pub field: String,
    /// Why.
    pub reason: String,
}

/// The words of the bill flag.
fn bill_flag(word: &str) -> Option<BillFlag> {
    [BillFlag::Billable, BillFlag::DoNotBill, BillFlag::NoCharge]
        .into_iter()
        .find(|flag| bill_word(*flag) == word)
}

fn bill_word(flag: BillFlag) -> &'static str {
    match flag {
        BillFlag::Billable => "billable",
        BillFlag::DoNotBill => "do_not_bill",
        BillFlag::NoCharge => "no_charge",
    }
}

impl LineEditDoc {
    /// The edit that it means.
    ///
    /// # Errors
    /// The first field that means nothing.
    pub fn parse(&self) -> Result<LineEdit, WrongEdit> {
        let wrong =
            |field: &str, reason: String| WrongEdit { field: format!("edits.{}.{field}", self.key), reason };
        if !trueup_domain::plan::looks_like_key(&self.key) {
            return Err(wrong("key", "it is not the key of a change".into()));
        }
        let values = self.values(&wrong)?;
        let is_set = values != Values::default();
        let decision = match (self.as_proposed, self.leave_out, is_set) {
            (true, false, false) => None,
            (false, true, false) => Some(Decision::LeaveOut),
            (false, false, true) => Some(Decision::Set(Box::new(values))),
            (false, false, false) => return Err(wrong("key", "name at least one value for it".into())),
            (true, ..) => {
                return Err(wrong("as_proposed", "a line as it is proposed has no other values".into()));
            }
            (false, true, true) => {
                return Err(wrong("leave_out", "a line that is left out has no other values".into()));
            }
        };
        Ok(LineEdit { proposal: OperationKey(self.key.clone()), decision })
    }

    fn values(&self, wrong: &dyn Fn(&str, String) -> WrongEdit) -> Result<Values, WrongEdit> {
        fn decimal<T: std::str::FromStr>(
            text: Option<&String>,
            refuse: impl Fn(String) -> WrongEdit,
        ) -> Result<Option<T>, WrongEdit> {
            let read = |t: &String| t.trim().parse().map_err(|_| refuse(format!("`{t}` is not a number")));
            text.map(read).transpose()
        }
        let day = |field: &str, text: &str| {
            text.trim()
                .parse::<Date>()
                .map_err(|_| wrong(field, format!("`{text}` is not a day: write YYYY-MM-DD")))
        };
        let text = |field: &str, text: Option<&String>| match text {
            Some(long) if long.chars().count() > LONGEST => {
                Err(wrong(field, format!("it is longer than {LONGEST} characters")))
            }
            Some(text) => Ok(Some(trueup_domain::planner::safe_text(text))),
            None => Ok(None),
        };
        let ending = match self.cancelled.as_deref() {
            None => None,
            Some(nothing) if nothing.trim().is_empty() => Some(Ending::Open),
            Some(last) => Some(Ending::On(day("cancelled", last)?)),
        };
        let bill = match self.bill.as_deref() {
            None => None,
            Some(word) => Some(bill_flag(word).ok_or_else(|| {
                wrong("bill", format!("`{word}` is none of billable, do_not_bill, no_charge"))
            })?),
        };
        Ok(Values {
            quantity: decimal(self.quantity.as_ref(), |reason| wrong("quantity", reason))?,
            unit_price: decimal(self.unit_price.as_ref(), |reason| wrong("unit_price", reason))?,
            unit_cost: decimal(self.unit_cost.as_ref(), |reason| wrong("unit_cost", reason))?,
            effective: self.effective.as_deref().map(|first| day("effective", first)).transpose()?,
            ending,
            bill,
            taxable: self.taxable,
            description: text("description", self.description.as_ref())?,
            invoice_description: text("invoice_description", self.invoice_description.as_ref())?,
        })
    }
}

impl From<&Amendment> for LineEditDoc {
    fn from(known: &Amendment) -> Self {
        let key = known.proposal.to_string();
        let values = match &known.decision {
            Decision::LeaveOut => return Self { key, leave_out: true, ..Self::default() },
            Decision::Set(values) => values,
        };
        Self {
            key,
            leave_out: false,
            as_proposed: false,
            quantity: values.quantity.map(|q| q.display()),
            unit_price: values.unit_price.map(|p| p.decimal().to_string()),
            unit_cost: values.unit_cost.map(|c| c.decimal().to_string()),
            effective: values.effective.map(|d| d.to_string()),
            cancelled: values.ending.map(|ending| match ending {
                Ending::Open => String::new(),
                Ending::On(last) => last.to_string(),
            }),
            description: values.description.clone(),
            invoice_description: values.invoice_description.clone(),
            bill: values.bill.map(|flag| bill_word(flag).to_owned()),
            taxable: values.taxable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "tu0123456789abcdefghjkmnpqrs";

    fn edit() -> LineEditDoc {
        LineEditDoc { key: KEY.into(), ..LineEditDoc::default() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = LineEditDoc {
            quantity: Some("4.5".into()),
            unit_price: Some("19.50".into()),
            cancelled: Some(String::new()),
            bill: Some("no_charge".into()),
            taxable: Some(false),
            ..edit()
        };
        let LineEdit { proposal, decision: Some(decision) } = written.parse().expect("it is right") else {
            panic!("a decision")
        };
        let kept = Amendment { proposal, decision, by: "a".into(), at_us: 0 };
        let shown = LineEditDoc::from(&kept);
        assert_eq!(
            serde_json::to_value(&shown).expect("a document"),
            serde_json::json!({
                "key": KEY, "quantity": "4.5", "unit_price": "19.50", "cancelled": "", "bill": "no_charge", "taxable": false
            })
        );
    }

    #[test]
    fn each_wrong_field_is_named() {
        let cases = [
            (LineEditDoc { key: "c1".into(), leave_out: true, ..edit() }, "edits.c1.key"),
            (edit(), "edits.K.key"),
            (LineEditDoc { quantity: Some("many".into()), ..edit() }, "edits.K.quantity"),
            (LineEditDoc { unit_price: Some("1e999".into()), ..edit() }, "edits.K.unit_price"),
            (LineEditDoc { unit_cost: Some("NaN".into()), ..edit() }, "edits.K.unit_cost"),
            (LineEditDoc { effective: Some("01/02/2028".into()), ..edit() }, "edits.K.effective"),
            (LineEditDoc { cancelled: Some("2028-02-30".into()), ..edit() }, "edits.K.cancelled"),
            (LineEditDoc { bill: Some("Billable".into()), ..edit() }, "edits.K.bill"),
            (LineEditDoc { description: Some("x".repeat(6001)), ..edit() }, "edits.K.description"),
            (LineEditDoc { leave_out: true, quantity: Some("1".into()), ..edit() }, "edits.K.leave_out"),
            (LineEditDoc { as_proposed: true, leave_out: true, ..edit() }, "edits.K.as_proposed"),
        ];
        for (wrong, field) in cases {
            let said = wrong.parse().expect_err(field);
            assert_eq!(said.field, field.replace(".K.", &format!(".{KEY}.")));
        }
    }
}
