//! The table of settings: key, default, what is allowed and what it means.

use crate::approval;
use crate::schedule::{self, Cadence, Freeze};
use jiff::civil::Date;
use rust_decimal::Decimal;

/// What a setting's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// One of these words; the first is the default.
    Choice(&'static [&'static str]),
    /// A non-negative decimal.
    Number,
    /// A whole number from 0 on.
    Count,
    /// A non-negative decimal, or nothing.
    OptionalNumber,
    /// A whole number of seconds.
    Seconds,
    /// A whole number of runs, from 1 on.
    Runs,
    /// A whole number of days; 0 is for ever.
    Days,
    /// A whole number of hours; 0 is for ever.
    Hours,
    /// A date, or empty.
    OptionalDate,
    /// `auto`, `serial_number`, `custom_field:CAPTION` or `none`.
    Marker,
    /// How often something happens: `off`, `5m`, `hourly`, `daily 06:30`.
    Cadence,
    /// The name of a time zone.
    TimeZone,
    /// Days of the month and dates, or nothing.
    Freeze,
    /// `off`, or a time of the day: `daily 07:00`.
    Daily,
    /// E-mail addresses, or nothing.
    Addresses,
    /// Limits of approval for single customers and products, or nothing.
    Exceptions,
}

/// One row of the settings table.
#[derive(Clone, Copy, Debug)]
pub struct SettingRow {
    /// The key that people write.
    pub key: &'static str,
    /// The default value.
    pub default: &'static str,
    /// What is allowed.
    pub kind: ValueKind,
    /// One sentence.
    pub meaning: &'static str,
}

const fn choice(key: &'static str, values: &'static [&'static str], meaning: &'static str) -> SettingRow {
    SettingRow { key, default: values[0], kind: ValueKind::Choice(values), meaning }
}

const fn row(key: &'static str, default: &'static str, kind: ValueKind, meaning: &'static str) -> SettingRow {
    SettingRow { key, default, kind, meaning }
}

/// Every setting, in the order they are listed.
pub const SETTINGS: &[SettingRow] = &[
    choice("price_source", &["marketplace", "connectwise"], "where unit price and cost come from"),
    choice(
        "rounding_place",
        &["unit", "line"],
        "a prorated amount is rounded per unit and multiplied, or once per line",
    ),
    choice(
        "day_count",
        &["actual", "actual_30", "strict_30_360", "seconds", "none", "cloudblue_literal"],
        "how the days of a part period are counted",
    ),
    choice("proration_by", &["trueup", "connectwise", "none"], "who bills a part period"),
    choice("line_mode", &["prorate_line", "single", "dual", "commitment"], "how a part period is shown"),
    choice("rounding_mode", &["half_up", "half_even", "floor", "ceil"], "how a prorated amount is rounded"),
    choice("change_day", &["new", "old"], "to which state the day of a change belongs"),
    choice(
        "credits",
        &["off", "on"],
        "whether refunds and decreases inside a paid period are written as negative lines",
    ),
    choice("quantity_change", &["end_and_create", "edit_in_place"], "history by dates, or one line edited"),
    choice(
        "cancelled_date",
        &["last_billed_day", "first_unbilled_day"],
        "what ConnectWise's cancelled date means on this tenant; to be known before the first line is dated",
    ),
    row("marker", "auto", ValueKind::Marker, "where the key of a line lives in ConnectWise"),
    choice(
        "create_missing_products",
        &["off", "on"],
        "whether automatic runs create catalog items that are missing",
    ),
    choice("trim_descriptions", &["off", "on"], "whether a line's text is the product's name alone"),
    row("go_live", "", ValueKind::OptionalDate, "the day before which nothing is billed by trueup"),
    row(
        "rounding_tolerance",
        "0.05",
        ValueKind::Number,
        "rounding drift of one line that is worth a warning",
    ),
    row(
        "price_limit_percent",
        "50",
        ValueKind::OptionalNumber,
        "a unit price that moves by more percent is worth a warning; empty does not count",
    ),
    row(
        "margin_floor_percent",
        "0",
        ValueKind::OptionalNumber,
        "a price that leaves less percent of itself over the cost is worth a warning; empty does not count",
    ),
    row(
        "brakes.percent",
        "5",
        ValueKind::Number,
        "a run that ends or changes more percent of the open additions waits",
    ),
    row("brakes.cancels", "50", ValueKind::Count, "a run that ends more additions than this waits"),
    row(
        "brakes.value_percent",
        "10",
        ValueKind::Number,
        "a run that moves the monthly value by more percent waits",
    ),
    row("brakes.min_changes", "20", ValueKind::Count, "below this many changes the percentages do not count"),
    choice(
        "approval.persons",
        &["0", "1", "2"],
        "how many people approve a subscription's changes that are over a limit of approval.*; 0 asks nobody",
    ),
    row(
        "approval.amount",
        "0",
        ValueKind::OptionalNumber,
        "what moves a subscription's bill by more is over the limit; empty does not count",
    ),
    row(
        "approval.percent",
        "",
        ValueKind::OptionalNumber,
        "what moves what a subscription was billed by more percent is over the limit; empty does not count",
    ),
    choice("approval.new", &["off", "on"], "whether a product that begins to be billed is over the limit"),
    choice(
        "approval.decrease",
        &["off", "on"],
        "whether a product that is billed less, or money that goes back, is over the limit",
    ),
    choice("approval.cancel", &["off", "on"], "whether a product that is billed no more is over the limit"),
    row(
        "approval.two_above",
        "",
        ValueKind::OptionalNumber,
        "what moves a subscription's bill by more waits for two people; empty does not count",
    ),
    row(
        "approval.except",
        "",
        ValueKind::Exceptions,
        "limits that hold for a customer or a product instead of those above; a product's own limits weigh it by itself",
    ),
    choice("approval.self", &["on", "off"], "whether who made a plan may be one of those who approve it"),
    row(
        "approval.days",
        "30",
        ValueKind::Days,
        "how many days an approval counts that was not carried out yet",
    ),
    row(
        "validation.hours",
        "24",
        ValueKind::Hours,
        "how long a validation may be uploaded, where nothing changed since",
    ),
    row(
        "apply.settle_seconds",
        "120",
        ValueKind::Seconds,
        "how long an operation in doubt waits before it is looked up",
    ),
    choice(
        "calls.at_once",
        &["auto", "1", "2", "4", "6", "8", "10"],
        "how many calls to ConnectWise are under way at once in one process: auto begins with 4 and finds out, up to 10",
    ),
    row(
        "observe.rotation",
        "7",
        ValueKind::Runs,
        "every agreement is read at least once in so many pulls of what changed, of those by schedule one a day; 1 reads all",
    ),
    row(
        "source.keeps_days",
        "0",
        ValueKind::Days,
        "how many days back a source can still tell what was sold; where more pass between two imports, orders may be missing",
    ),
    row(
        "retention.feed_days",
        "730",
        ValueKind::Days,
        "how long a version of a feed record is kept after another replaced it",
    ),
    row("retention.runs_days", "180", ValueKind::Days, "how long a run is kept after it ended"),
    row(
        "retention.findings_days",
        "365",
        ValueKind::Days,
        "how long a resolved finding is kept after it was last seen",
    ),
    row(
        "retention.approvals_days",
        "365",
        ValueKind::Days,
        "how long a question to people is kept after it was closed",
    ),
    row(
        "schedule.check",
        "off",
        ValueKind::Cadence,
        "how often the service turns new orders into tasks by itself",
    ),
    row(
        "schedule.sync",
        "off",
        ValueKind::Cadence,
        "how often the service checks, reads what changed, and writes what may be written by itself",
    ),
    choice(
        "schedule.customers",
        &["all", "chosen"],
        "whom a sync by schedule writes for: all but those whose mapping says auto_sync=off, or only auto_sync=on",
    ),
    row(
        "schedule.pull",
        "off",
        ValueKind::Cadence,
        "how often the service reads what changed in ConnectWise",
    ),
    row(
        "schedule.time_zone",
        "UTC",
        ValueKind::TimeZone,
        "the time zone of daily schedules, of the freeze, and of the days and months of quantities",
    ),
    row(
        "schedule.freeze",
        "",
        ValueKind::Freeze,
        "days of the month and dates on which no run writes that nobody approved",
    ),
    row(
        "notify.to",
        "",
        ValueKind::Addresses,
        "the mail addresses that are told of findings; nobody where it is empty",
    ),
    choice("notify.findings", &["errors", "all"], "which findings are told by mail"),
    choice(
        "notify.errors",
        &["at_once", "digest"],
        "whether errors are told by mail when they come up, or once a day with the others",
    ),
    row(
        "notify.digest",
        "daily 07:00",
        ValueKind::Daily,
        "when what was not told at once is told by mail, in the zone of schedule.time_zone",
    ),
    choice("notify.language", &["en", "de"], "the language of mails"),
    row(
        "schedule.quantity",
        "off",
        ValueKind::Cadence,
        "when the service writes the quantities of what is only counted: nightly, or on a push day",
    ),
    choice("billing", &["on", "off"], "whether anything is billed: off makes tickets of alerts alone"),
    choice("alerts", &["on", "off"], "whether tickets are made at all; alerts are kept in any case"),
    row(
        "schedule.alerts",
        "off",
        ValueKind::Cadence,
        "how often the service brings tickets to where their alerts are; each feed with alerts starts a run as well",
    ),
    row(
        "retention.activity_days",
        "365",
        ValueKind::Days,
        "how long an entry of the log of what went on is kept",
    ),
    row(
        "retention.alerts_days",
        "365",
        ValueKind::Days,
        "how long an alert that is over, with nothing left to do about its ticket, is kept after it was told last",
    ),
    choice(
        "quantity.customers",
        &["all", "ticked"],
        "whether a customer is billed for every assigned service, or for those alone that are ticked",
    ),
    choice(
        "quantity.adopt",
        &["propose", "take"],
        "whether a single open addition of the item that is there waits for somebody's word, or is taken over",
    ),
    choice("quantity.create_missing", &["on", "off"], "whether lines that are missing are created"),
    choice(
        "quantity.decrease",
        &["follow", "hold", "never"],
        "whether a quantity that falls is written, waits for a person, or stays",
    ),
    row(
        "quantity.fall_percent",
        "50",
        ValueKind::Number,
        "a quantity that falls below so many percent waits for a person in any case",
    ),
    row(
        "quantity.drop_percent",
        "25",
        ValueKind::OptionalNumber,
        "where more percent of a source's lines fall in one run, and five at least, all falls wait; empty does not count",
    ),
    row("quantity.stale_days", "7", ValueKind::Days, "a counter that is older is not billed"),
    choice(
        "quantity.children",
        &["off", "without_company"],
        "whether levels of customers that have no company count for the nearest one above them",
    ),
    row(
        "quantity.before_invoice_days",
        "",
        ValueKind::OptionalNumber,
        "a scheduled run writes only where the next invoice is so many days away at most; empty writes always",
    ),
    choice(
        "quantity.usage_month",
        &["previous", "current"],
        "over which calendar month the use of a service is summed",
    ),
    choice(
        "mapping.customer_company",
        &["one", "many"],
        "whether a company is one customer of a source, or may be many",
    ),
    choice(
        "mapping.product_agreement",
        &["one", "many"],
        "whether a person may choose several agreements for a customer's product of one cycle",
    ),
    choice(
        "mapping.product_item",
        &["agreement", "one", "many"],
        "whether a catalog item is one product on each agreement, one everywhere, or may be many",
    ),
    choice(
        "mapping.cycles",
        &["any", "month_year"],
        "whether agreements of any billing cycle are chosen and billed on, or monthly and yearly ones alone",
    ),
    choice(
        "mapping.again",
        &["replace", "release_first"],
        "whether a new mapping takes the place of the one that stands, or that one has to be released first",
    ),
    choice(
        "mapping.customers_by",
        &["off", "tax_id", "domain", "code", "name"],
        "customers that are mapped by themselves at a check: where this agrees with exactly one company",
    ),
    choice(
        "mapping.products_by",
        &["off", "sku", "name"],
        "products that are mapped by themselves at a check: where this agrees with exactly one catalog item",
    ),
];

/// A value that the table does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No such key.
    #[error("there is no setting `{0}`; `trueup setting list` shows them all")]
    UnknownKey(String),
    /// The value is not allowed.
    #[error("`{value}` is not a value of {key}: {allowed}")]
    BadValue {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What would be accepted.
        allowed: String,
    },
}

/// The row of a key.
///
/// # Errors
/// [`SettingError::UnknownKey`].
pub fn row_of(key: &str) -> Result<&'static SettingRow, SettingError> {
    SETTINGS.iter().find(|r| r.key == key).ok_or_else(|| SettingError::UnknownKey(key.to_owned()))
}

impl SettingRow {
    /// What is accepted, in words.
    pub fn allowed(&self) -> String {
        match self.kind {
            ValueKind::Choice(values) => format!("one of {}", values.join(", ")),
            ValueKind::Number => "a number from 0 on".into(),
            ValueKind::Count => "a whole number from 0 on".into(),
            ValueKind::OptionalNumber => "a number from 0 on, or nothing".into(),
            ValueKind::Seconds => "a whole number of seconds from 0 to 86400".into(),
            ValueKind::Runs => "a whole number from 1 to 366".into(),
            ValueKind::Days => "a whole number of days from 1 to 36500, or 0 for ever".into(),
            ValueKind::Hours => "a whole number of hours from 1 to 8760, or 0 for ever".into(),
            ValueKind::OptionalDate => "a date as YYYY-MM-DD, or nothing".into(),
            ValueKind::Marker => "auto, serial_number, custom_field:CAPTION or none".into(),
            ValueKind::Cadence => {
                "off, 1m, 2m, 5m, 10m, 15m, 20m, 30m, hourly, daily HH:MM such as daily 06:30, or monthly DAY HH:MM with \
                 a day from 1 to 31 or last, such as monthly 15 02:00"
                    .into()
            }
            ValueKind::TimeZone => "the name of a time zone such as Europe/Berlin or UTC".into(),
            ValueKind::Daily => "off, or daily HH:MM such as daily 07:00".into(),
            ValueKind::Exceptions => "customers and products with limits of their own, such as `customer ID: amount=500, cancel=off; \
                 product ID: persons=2`, each of persons (0 to 2), amount, percent, two_above (a limit or off), new, decrease, \
                 cancel (on or off), or nothing"
                .into(),
            ValueKind::Addresses => "up to 20 mail addresses with commas between, or nothing".into(),
            ValueKind::Freeze => {
                "days of the month (28..31), last, or dates (2026-12-24..2027-01-02), with commas between, or nothing"
                    .into()
            }
        }
    }

    /// Refuses a value that is not allowed.
    ///
    /// # Errors
    /// [`SettingError::BadValue`].
    pub fn check(&self, value: &str) -> Result<(), SettingError> {
        let good = match self.kind {
            ValueKind::Choice(values) => values.contains(&value),
            ValueKind::Number => value.parse::<Decimal>().is_ok_and(|n| !n.is_sign_negative()),
            ValueKind::Count => value.parse::<u32>().is_ok(),
            ValueKind::OptionalNumber => {
                value.is_empty() || value.parse::<Decimal>().is_ok_and(|n| !n.is_sign_negative())
            }
            ValueKind::Seconds => value.parse::<u64>().is_ok_and(|n| n <= 86_400),
            ValueKind::Runs => value.parse::<u32>().is_ok_and(|n| (1..=366).contains(&n)),
            ValueKind::Days => value.parse::<u32>().is_ok_and(|n| n <= 36_500),
            ValueKind::Hours => value.parse::<u32>().is_ok_and(|n| n <= 8_760),
            ValueKind::OptionalDate => value.is_empty() || value.parse::<Date>().is_ok(),
            ValueKind::Marker => {
                matches!(value, "auto" | "serial_number" | "none")
                    || value.strip_prefix("custom_field:").is_some_and(|caption| !caption.trim().is_empty())
            }
            ValueKind::Cadence => Cadence::parse(value).is_some(),
            ValueKind::TimeZone => schedule::time_zone(value).is_some(),
            ValueKind::Freeze => Freeze::parse(value).is_some(),
            ValueKind::Daily => {
                matches!(Cadence::parse(value), Some(Cadence::Off | Cadence::Daily(_)))
            }
            ValueKind::Addresses => addresses(value).is_some(),
            ValueKind::Exceptions => approval::parse_exceptions(value).is_some(),
        };
        if good {
            Ok(())
        } else {
            Err(SettingError::BadValue { key: self.key.into(), value: value.into(), allowed: self.allowed() })
        }
    }
}

/// Mail addresses with commas between them, each once; none where one of them is no address.
pub fn addresses(text: &str) -> Option<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, host) = part.split_once('@')?;
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"<>()[]\\,;:\"@".contains(&b))
        };
        if part.len() > 254 || !plain(name) || !plain(host) || host.starts_with('.') || host.ends_with('.') {
            return None;
        }
        if !all.iter().any(|known| known.eq_ignore_ascii_case(part)) {
            all.push(part.to_owned());
        }
    }
    (all.len() <= 20).then_some(all)
}
