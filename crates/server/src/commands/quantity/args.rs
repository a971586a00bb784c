//! Flags of `trueup quantity`.

use clap::{Args, ValueEnum};

/// A source.
#[derive(Args, Debug)]
pub struct OfSource {
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
}

/// Flags of `quantity assign`.
#[derive(Args, Debug)]
pub struct AssignArgs {
    /// The service: a product of the source
    #[arg(value_name = "SERVICE")]
    pub(super) service: String,
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// For this customer alone
    #[arg(long, value_name = "ID")]
    pub(super) customer: Option<String>,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
    /// Assigns a service that is deprecated at its source
    #[arg(long)]
    pub(super) confirm: bool,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    pub(super) connection: Option<String>,
}

/// One of the three.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct TargetArgs {
    /// The catalog item with this id
    #[arg(long, value_name = "ID")]
    pub(super) item: Option<i64>,
    /// The catalog item with exactly this Product ID, letter for letter
    #[arg(long, value_name = "TEXT")]
    pub(super) product: Option<String>,
    /// Nothing is written for the service any more
    #[arg(long)]
    pub(super) not_assigned: bool,
}

/// Flags of `quantity unassign`.
#[derive(Args, Debug)]
pub struct UnassignArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(super) service: String,
    /// What was set for this customer alone
    #[arg(long, value_name = "ID")]
    pub(super) customer: Option<String>,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Toggle {
    /// On.
    On,
    /// Off.
    Off,
}

/// How several levels become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CombineArg {
    /// Their sum.
    Sum,
    /// The smallest of them.
    Smallest,
    /// The largest of them.
    Largest,
}

/// How a quantity is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoundingArg {
    /// Bytes up to a whole unit; everything else has to be whole.
    Auto,
    /// Up.
    Up,
    /// Down.
    Down,
    /// To the nearest.
    Nearest,
}

/// One of the two.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct RuledArgs {
    /// The catalog item with this id
    #[arg(long, value_name = "ID")]
    pub(super) item: Option<i64>,
    /// The catalog item with exactly this Product ID, letter for letter
    #[arg(long, value_name = "TEXT")]
    pub(super) product: Option<String>,
}

/// Flags of `quantity rule`.
#[derive(Args, Debug)]
pub struct RuleArgs {
    #[command(flatten)]
    pub(super) of: RuledArgs,
    /// For this customer alone
    #[arg(long, value_name = "ID")]
    pub(super) customer: Option<String>,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    pub(super) connection: Option<String>,
    /// Whether several services, or customers on one agreement, are billed as their sum
    #[arg(long, value_enum)]
    pub(super) add_up: Option<Toggle>,
    /// How several levels become one
    #[arg(long, value_enum)]
    pub(super) combine: Option<CombineArg>,
    /// The unit in which bytes are billed: GB, GiB, TB or TiB
    #[arg(long, value_name = "UNIT")]
    pub(super) unit: Option<String>,
    /// Takes so many away first, with a reason: 2=our own accounts
    #[arg(long, value_name = "N=REASON")]
    pub(super) exclude: Vec<String>,
    /// Takes away what the source counts of another service, with a reason: shared=free of charge
    #[arg(long, value_name = "SERVICE=REASON")]
    pub(super) exclude_service: Vec<String>,
    /// How many the customer has for nothing
    #[arg(long, value_name = "N")]
    pub(super) included: Option<String>,
    /// The least that is billed
    #[arg(long, value_name = "N")]
    pub(super) minimum: Option<String>,
    /// The most that is billed
    #[arg(long, value_name = "N")]
    pub(super) maximum: Option<String>,
    /// How it is rounded
    #[arg(long, value_enum)]
    pub(super) rounding: Option<RoundingArg>,
    /// Decimals that rounding leaves
    #[arg(long, value_name = "0..6")]
    pub(super) decimals: Option<u32>,
    /// Sold in packs of so many: 5 bills the packs, 5:units the units in them
    #[arg(long, value_name = "N[:units]")]
    pub(super) pack: Option<String>,
    /// From so many on, so many are billed: 11=2
    #[arg(long, value_name = "FROM=BILL")]
    pub(super) tier: Vec<String>,
    /// So many for every so many: 1/3
    #[arg(long, value_name = "OF/PER")]
    pub(super) ratio: Option<String>,
    /// Begins with the plain count, instead of the rule that holds
    #[arg(long)]
    pub(super) anew: bool,
    /// Removes what this organization set, so that the level above counts again
    #[arg(long)]
    pub(super) reset: bool,
}

/// Flags of `quantity customer`.
#[derive(Args, Debug)]
pub struct CustomerArgs {
    /// The customer
    #[arg(value_name = "ID")]
    pub(super) customer: String,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
    /// Whether anything is billed
    #[arg(long, value_enum)]
    pub(super) billing: Option<Toggle>,
    /// These services are billed, and no others
    #[arg(long, value_name = "SERVICE", num_args = 1.., conflicts_with = "tick_all")]
    pub(super) tick: Vec<String>,
    /// Every assigned service is billed
    #[arg(long)]
    pub(super) tick_all: bool,
}

/// Flags of `quantity pick`.
#[derive(Args, Debug)]
pub struct PickArgs {
    /// The customer
    #[arg(long, value_name = "ID")]
    pub(super) customer: String,
    /// The catalog item
    #[arg(long, value_name = "ID")]
    pub(super) item: i64,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    pub(super) connection: Option<String>,
    #[command(flatten)]
    pub(super) what: PickWhat,
}

/// One of the two.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct PickWhat {
    /// It is this addition
    #[arg(long, value_name = "ID")]
    pub(super) addition: Option<i64>,
    /// A new one is created
    #[arg(long)]
    pub(super) create: bool,
}

/// Flags of `quantity show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Lines of this customer alone
    #[arg(long, value_name = "ID")]
    pub(super) customer: Option<String>,
    /// Lines of this source alone
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
}

/// Whom a comparison is for.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// These customers alone
    #[arg(long, value_name = "ID", num_args = 1..)]
    pub(super) customer: Vec<String>,
    /// The source that knows them [default: default]
    #[arg(long, value_name = "NAME", requires = "customer")]
    pub(super) source: Option<String>,
    /// Takes over a single open addition that is there
    #[arg(long)]
    pub(super) adopt: bool,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    pub(super) connection: Option<String>,
}

/// Flags of `quantity run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub(super) compare: CompareArgs,
    /// Writes also what waits for a person
    #[arg(long)]
    pub(super) approve: bool,
    /// Only agreements whose next invoice is near (quantity.before_invoice_days)
    #[arg(long)]
    pub(super) due: bool,
}
