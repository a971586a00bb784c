//! The chain from what a source counted to the quantity that is billed, with every step in words.
//!
//! The steps, in this order: each level in the unit that is billed; the levels put together; what is excluded; what is
//! included; minimum; maximum; rounding; packs; tiers; the ratio of a bundle. A step that a rule does not ask for leaves
//! no trace, so that an explanation holds only what moved the number. Arithmetic is exact up to the rounding.

use super::reading::{Origin, Reading};
use crate::ids::ProductId;
use crate::money::{Exact, MoneyError, Quantity, RoundingMode};
use serde::{Deserialize, Serialize};

/// The most decimals of a billed quantity.
pub const MOST_DECIMALS: u32 = 6;

/// A unit of storage. Sources count bytes; nobody bills them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageUnit {
    /// 10^9 bytes.
    #[serde(rename = "GB")]
    Gb,
    /// 2^30 bytes.
    #[serde(rename = "GiB")]
    Gib,
    /// 10^12 bytes.
    #[serde(rename = "TB")]
    Tb,
    /// 2^40 bytes.
    #[serde(rename = "TiB")]
    Tib,
}

impl StorageUnit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gb, Self::Gib, Self::Tb, Self::Tib];

    /// How people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gb => "GB",
            Self::Gib => "GiB",
            Self::Tb => "TB",
            Self::Tib => "TiB",
        }
    }

    /// The unit that a word means, letter for letter: `GB` and `GiB` differ by seven percent.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// Bytes of one.
    pub fn bytes(self) -> i128 {
        match self {
            Self::Gb => 1_000_000_000,
            Self::Gib => 1 << 30,
            Self::Tb => 1_000_000_000_000,
            Self::Tib => 1 << 40,
        }
    }
}

/// How several levels become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Their sum.
    #[default]
    Sum,
    /// The smallest of them: a bundle is there as often as the rarest of its parts.
    Smallest,
    /// The largest of them.
    Largest,
}

/// What is not billed of a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// Why, for the explanation.
    pub reason: String,
    /// So many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// As many as the source counts of this service for the same customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ProductId>,
}

/// How a quantity is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Bytes up to the next whole unit; everything else has to come out whole by itself.
    #[default]
    Auto,
    /// Up.
    Up,
    /// Down.
    Down,
    /// To the nearest, a half up.
    Nearest,
}

/// What is billed of packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackBills {
    /// The number of packs.
    #[default]
    Packs,
    /// The units in them.
    Units,
}

/// Things sold in packs: a pack that is begun counts whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Units of one pack, above 0.
    pub size: Quantity,
    /// What is billed.
    #[serde(default)]
    pub bill: PackBills,
}

/// From this quantity on, so many are billed, up to the next tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The least quantity of the tier.
    pub from: Quantity,
    /// What is billed in it.
    pub bill: Quantity,
}

/// `of` are billed for every `per`; a part counts whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// Billed.
    pub of: Quantity,
    /// Counted, above 0.
    pub per: Quantity,
}

/// How the levels of the services on one catalog item become its quantity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Whether several services, or several customers on one agreement, may be billed on one addition.
    pub add_up: bool,
    /// How several levels become one.
    pub combine: Combine,
    /// The unit in which bytes are billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<StorageUnit>,
    /// What is taken away first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Exclusion>,
    /// What the customer has for nothing.
    pub included: Quantity,
    /// The least that is billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Quantity>,
    /// The most that is billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Quantity>,
    /// How it is rounded.
    pub rounding: Rounding,
    /// Decimals that rounding leaves, 0 to [`MOST_DECIMALS`].
    pub decimals: u32,
    /// Packs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<Pack>,
    /// Tiers, in rising order; below the first one nothing is billed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// The ratio of a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
}

/// A rule that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub struct RuleError {
    /// The field of the rule.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

impl Rule {
    /// Refuses a rule that means nothing.
    ///
    /// # Errors
    /// [`RuleError`] with the field.
    pub fn check(&self) -> Result<(), RuleError> {
        let wrong = |field, why: &str| Err(RuleError { field, why: why.to_owned() });
        if self.included.is_negative() {
            return wrong("included", "is below 0; write how many the customer has for nothing");
        }
        if self.minimum.is_some_and(Quantity::is_negative) {
            return wrong("minimum", "is below 0");
        }
        if self.maximum.is_some_and(Quantity::is_negative) {
            return wrong("maximum", "is below 0");
        }
        if let (Some(least), Some(most)) = (self.minimum, self.maximum)
            && least > most
        {
            return wrong("maximum", "is less than the minimum");
        }
        if self.decimals > MOST_DECIMALS {
            return wrong("decimals", "is more than 6");
        }
        if self.pack.is_some_and(|pack| !is_above_zero(pack.size)) {
            return wrong("pack", "has a size that is not above 0");
        }
        if self.ratio.is_some_and(|ratio| !is_above_zero(ratio.per) || ratio.of.is_negative()) {
            return wrong("ratio", "needs `per` above 0 and `of` from 0 on");
        }
        if self.tiers.iter().any(|tier| tier.from.is_negative() || tier.bill.is_negative())
            || !self.tiers.is_sorted_by(|one, next| one.from < next.from)
        {
            return wrong("tiers", "have to rise and may not be below 0");
        }
        let named = |one: &Exclusion| one.quantity.is_some() != one.service.is_some();
        if !self.exclude.iter().all(named) {
            return wrong("exclude", "names a quantity or a service, and one of the two alone");
        }
        if self.exclude.iter().any(|one| one.quantity.is_some_and(Quantity::is_negative)) {
            return wrong("exclude", "takes away less than 0");
        }
        Ok(())
    }

    /// The services whose levels are taken away.
    pub fn excluded_services(&self) -> impl Iterator<Item = &ProductId> {
        self.exclude.iter().filter_map(|one| one.service.as_ref())
    }
}

fn is_above_zero(quantity: Quantity) -> bool {
    !quantity.is_negative() && !quantity.is_zero()
}

/// One step of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done: `count`, `unit`, `sum`, `smallest`, `largest`, `exclude`, `included`, `minimum`, `maximum`,
    /// `rounding`, `pack`, `tier`, `ratio`.
    pub step: String,
    /// In words, with the numbers.
    pub text: String,
    /// The value after it.
    pub value: String,
}

/// A quantity and how it came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The steps, first to last.
    pub steps: Vec<Step>,
    /// What is to be billed.
    pub quantity: Quantity,
}

impl Chain {
    /// All steps in one line.
    pub fn formula(&self) -> String {
        self.steps.iter().map(|step| step.text.as_str()).collect::<Vec<_>>().join("; ")
    }
}

/// Why a chain gives no quantity (TU5004), with the steps up to there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ChainError {
    /// The steps that could be made.
    pub steps: Vec<Step>,
    /// Why it ends, in words.
    pub why: String,
}

struct Maker {
    steps: Vec<Step>,
}

impl Maker {
    fn step(&mut self, step: &str, text: String, value: Exact) {
        self.steps.push(Step { step: step.to_owned(), text, value: value.approx() });
    }

    fn stop(&mut self, why: impl Into<String>) -> ChainError {
        ChainError { steps: std::mem::take(&mut self.steps), why: why.into() }
    }
}

/// A level with whom it was counted for, where an addition bills several customers.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Whose, where that has to be told.
    pub whose: Option<&'a str>,
    /// What was counted.
    pub reading: &'a Reading,
}

/// The quantity of one addition. `parts` are the levels that make it up, `excluded` those of the services that the rule
/// takes away.
///
/// # Errors
/// [`ChainError`] where the levels cannot be billed as they are.
pub fn compute(rule: &Rule, parts: &[Part<'_>], excluded: &[Part<'_>]) -> Result<Chain, ChainError> {
    let mut maker = Maker { steps: Vec::new() };
    let levels = levels(&mut maker, rule, parts)?;
    let bytes = parts.iter().any(|part| part.reading.is_bytes());
    let outcome = rest(&mut maker, rule, &levels, excluded, bytes);
    match outcome {
        Ok(quantity) => Ok(Chain { steps: maker.steps, quantity: Quantity::new(quantity) }),
        Err(Wrong::Why(why)) => Err(maker.stop(why)),
        Err(Wrong::Money(error)) => Err(maker.stop(format!("it cannot be reckoned: {error}"))),
    }
}

enum Wrong {
    Why(String),
    Money(MoneyError),
}

impl From<MoneyError> for Wrong {
    fn from(error: MoneyError) -> Self {
        Self::Money(error)
    }
}

fn counted(part: &Part<'_>) -> String {
    let reading = part.reading;
    let whose = part.whose.map(|name| format!(" of {name}")).unwrap_or_default();
    let unit = reading.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
    match &reading.origin {
        Origin::Counter => {
            format!(
                "{}{whose}: {}{unit} counted {}",
                reading.name,
                reading.value.display(),
                day_of(&reading.as_of)
            )
        }
        Origin::LeftOut => {
            format!(
                "{}{whose}: 0{unit}, left out of the complete list of {}",
                reading.name,
                day_of(&reading.as_of)
            )
        }
        Origin::Usage { records, from, until } => format!(
            "{}{whose}: {}{unit} used from {from} up to {until}, the sum of {records} records",
            reading.name,
            reading.value.display()
        ),
    }
}

fn day_of(instant: &str) -> &str {
    instant.get(..10).unwrap_or(instant)
}

/// Every level in the unit that is billed.
fn levels(maker: &mut Maker, rule: &Rule, parts: &[Part<'_>]) -> Result<Vec<Exact>, ChainError> {
    let mut levels = Vec::with_capacity(parts.len());
    for part in parts {
        let reading = part.reading;
        maker.step("count", counted(part), reading.value.exact());
        if reading.value.is_negative() {
            return Err(maker.stop(format!(
                "{} counts {}, less than nothing",
                reading.name,
                reading.value.display()
            )));
        }
        match in_unit(rule, reading) {
            Ok(None) => levels.push(reading.value.exact()),
            Ok(Some((unit, level))) => {
                let text = format!(
                    "{} / {} bytes = {} {}",
                    reading.value.display(),
                    unit.bytes(),
                    level.approx(),
                    unit.name()
                );
                maker.step("unit", text, level);
                levels.push(level);
            }
            Err(error) => return Err(maker.stop(format!("it cannot be reckoned: {error}"))),
        }
    }
    Ok(levels)
}

fn in_unit(rule: &Rule, reading: &Reading) -> Result<Option<(StorageUnit, Exact)>, MoneyError> {
    if !reading.is_bytes() {
        return Ok(None);
    }
    let unit = rule.unit.unwrap_or(StorageUnit::Gb);
    let level = reading.value.exact().over(Exact::ratio(unit.bytes(), 1)?)?;
    Ok(Some((unit, level)))
}

fn rest(
    maker: &mut Maker,
    rule: &Rule,
    levels: &[Exact],
    excluded: &[Part<'_>],
    bytes: bool,
) -> Result<rust_decimal::Decimal, Wrong> {
    let mut value = combined(maker, rule.combine, levels)?;
    value = without(maker, rule, value, excluded)?;
    if !rule.included.is_zero() {
        let left = floor(value.minus(rule.included.exact())?);
        maker.step(
            "included",
            format!("{} are included: {} remain", rule.included.shown(), left.approx()),
            left,
        );
        value = left;
    }
    if let Some(least) = rule.minimum.filter(|least| is_less(value, least.exact())) {
        value = least.exact();
        maker.step("minimum", format!("the minimum is {}", least.shown()), value);
    }
    if let Some(most) = rule.maximum.filter(|most| is_less(most.exact(), value)) {
        value = most.exact();
        maker.step("maximum", format!("the maximum is {}", most.shown()), value);
    }
    value = rounded(maker, rule, value, bytes)?;
    if let Some(pack) = rule.pack {
        let packs = whole_up(value.over(pack.size.exact())?)?;
        value = match pack.bill {
            PackBills::Packs => packs,
            PackBills::Units => packs.times(pack.size.exact())?,
        };
        let text =
            format!("{} packs of {}: {} are billed", packs.approx(), pack.size.shown(), value.approx());
        maker.step("pack", text, value);
    }
    if !rule.tiers.is_empty() {
        let tier = rule.tiers.iter().rev().find(|tier| !is_less(value, tier.from.exact()));
        let bill = tier.map_or(Quantity::ZERO, |tier| tier.bill);
        let text = match tier {
            Some(tier) => {
                format!(
                    "{} is in the tier from {} on: {} are billed",
                    value.approx(),
                    tier.from.shown(),
                    bill.shown()
                )
            }
            None => format!("{} is below the first tier: nothing is billed", value.approx()),
        };
        value = bill.exact();
        maker.step("tier", text, value);
    }
    if let Some(ratio) = rule.ratio {
        let billed = whole_up(value.times(ratio.of.exact())?.over(ratio.per.exact())?)?;
        let text = format!(
            "{} for every {} of {}: {}",
            ratio.of.shown(),
            ratio.per.shown(),
            value.approx(),
            billed.approx()
        );
        value = billed;
        maker.step("ratio", text, value);
    }
    if !value.fits(MOST_DECIMALS) {
        return Err(Wrong::Why(format!(
            "{} has more than {MOST_DECIMALS} decimals; set a rounding",
            value.approx()
        )));
    }
    Ok(value.round(MOST_DECIMALS, RoundingMode::HalfUp)?.normalize())
}

fn combined(maker: &mut Maker, combine: Combine, levels: &[Exact]) -> Result<Exact, Wrong> {
    let Some(first) = levels.first().copied() else {
        return Err(Wrong::Why("nothing is counted".to_owned()));
    };
    let mut value = first;
    for level in levels.iter().skip(1).copied() {
        value = match combine {
            Combine::Sum => value.plus(level)?,
            Combine::Smallest if is_less(level, value) => level,
            Combine::Largest if is_less(value, level) => level,
            Combine::Smallest | Combine::Largest => value,
        };
    }
    if levels.len() > 1 {
        let all: Vec<String> = levels.iter().map(|level| level.approx()).collect();
        let (step, text) = match combine {
            Combine::Sum => ("sum", format!("{} = {}", all.join(" + "), value.approx())),
            Combine::Smallest => {
                ("smallest", format!("the smallest of {} is {}", all.join(", "), value.approx()))
            }
            Combine::Largest => {
                ("largest", format!("the largest of {} is {}", all.join(", "), value.approx()))
            }
        };
        maker.step(step, text, value);
    }
    Ok(value)
}

fn without(maker: &mut Maker, rule: &Rule, value: Exact, excluded: &[Part<'_>]) -> Result<Exact, Wrong> {
    let mut value = value;
    for one in &rule.exclude {
        let (taken, what) = match (&one.service, one.quantity) {
            (Some(service), _) => {
                let mut sum = Exact::ZERO;
                let of_service = excluded.iter().filter(|part| &part.reading.service == service);
                let mut any = false;
                for part in of_service {
                    any = true;
                    let level =
                        in_unit(rule, part.reading)?.map_or(part.reading.value.exact(), |(_, level)| level);
                    sum = sum.plus(level)?;
                }
                if !any {
                    return Err(Wrong::Why(format!(
                        "{service} is to be taken away ({}) and was not counted",
                        one.reason
                    )));
                }
                (sum, format!("{service}, {}", one.reason))
            }
            (None, Some(quantity)) => (quantity.exact(), one.reason.clone()),
            (None, None) => continue,
        };
        let left = floor(value.minus(taken)?);
        let text = format!("{} - {} ({what}) = {}", value.approx(), taken.approx(), left.approx());
        maker.step("exclude", text, left);
        value = left;
    }
    Ok(value)
}

fn rounded(maker: &mut Maker, rule: &Rule, value: Exact, bytes: bool) -> Result<Exact, Wrong> {
    if value.fits(rule.decimals) {
        return Ok(value);
    }
    let (mode, word) = match rule.rounding {
        Rounding::Up => (RoundingMode::Ceil, "up"),
        Rounding::Auto if bytes => (RoundingMode::Ceil, "up"),
        Rounding::Down => (RoundingMode::Floor, "down"),
        Rounding::Nearest => (RoundingMode::HalfUp, "to the nearest"),
        Rounding::Auto => {
            return Err(Wrong::Why(format!(
                "{} is no whole number, and no rounding is set for the product",
                value.approx()
            )));
        }
    };
    let rounded = Exact::from_decimal(value.round(rule.decimals, mode)?);
    let places = match rule.decimals {
        0 => "a whole number".to_owned(),
        1 => "1 decimal".to_owned(),
        more => format!("{more} decimals"),
    };
    maker.step(
        "rounding",
        format!("{} rounded {word} to {places} = {}", value.approx(), rounded.approx()),
        rounded,
    );
    Ok(rounded)
}

fn whole_up(value: Exact) -> Result<Exact, MoneyError> {
    Ok(Exact::from_decimal(value.round(0, RoundingMode::Ceil)?))
}

fn floor(value: Exact) -> Exact {
    if value.is_negative() { Exact::ZERO } else { value }
}

/// Whether one is less than another; what cannot be told apart is not.
fn is_less(one: Exact, other: Exact) -> bool {
    one.minus(other).is_ok_and(Exact::is_negative)
}
