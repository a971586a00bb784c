//! Who has to say yes to a plan: the policy, what of a plan it concerns and why, and whether enough people said so.
//!
//! The policy looks at each subscription for itself, so that one of them waits for people and the others go on. Brakes
//! are another thing ([`crate::brakes`]): they look at the whole run, and hold it where it cannot be meant.

mod exceptions;

pub use exceptions::{Exception, parse as parse_exceptions};

use crate::billing::extended;
use crate::ids::{CustomerId, ProductId, SourceId, SubscriptionId};
use crate::money::{Currency, Money, MoneyError, Quantity};
use crate::plan::{Action, Change, DraftPlan, Role, Target, short_hash};
use crate::psa::AdditionState;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The policy, from the settings `approval.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many people approve what is over a limit; 0 asks nobody.
    pub persons: u8,
    /// What a subscription's bill may move by, in what a period costs or once, whichever is more; none where it does
    /// not count.
    pub amount: Option<Decimal>,
    /// By how many percent of what it was; none where it does not count.
    pub percent: Option<Decimal>,
    /// Whether a product that begins to be billed is over the limit.
    pub new: bool,
    /// Whether a product that is billed less, or money that goes back, is.
    pub decrease: bool,
    /// Whether a product that is billed no more is.
    pub cancel: bool,
    /// What moves by more than this waits for two people.
    pub two_above: Option<Decimal>,
    /// Whether who made a plan may approve it.
    pub by_maker: bool,
    /// How many days a yes counts; 0 for ever.
    pub days: u32,
    /// What holds for some customers and products instead.
    #[serde(default)]
    pub except: Vec<Exception>,
}

/// A limit of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The amount.
    Amount,
    /// The percentage.
    Percent,
    /// Something new.
    New,
    /// Less than before.
    Decrease,
    /// Something that ends.
    Cancel,
    /// The amount above which two people are asked.
    TwoAbove,
    /// A brake that holds the run.
    Brake,
}

/// Why people are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The limit.
    pub limit: Limit,
    /// In words.
    pub message: String,
}

/// How many people are asked, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// How many.
    pub persons: u8,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl Need {
    /// Both together: the greater number, and every reason.
    pub fn join(&mut self, other: Self) {
        self.persons = self.persons.max(other.persons);
        self.reasons.extend(other.reasons);
    }
}

/// A subscription of a source.
pub type Whose = (SourceId, SubscriptionId);

/// What a plan does to one product of a subscription, in what a period costs.
#[derive(Default)]
struct OfProduct {
    before: Money,
    after: Money,
    /// Whether an addition that bills it continuously is there already.
    was_there: bool,
    /// Whether one is there afterwards that the plan wrote.
    is_there: bool,
    /// Money that goes back beside that.
    given_back: Money,
    /// What is billed or given back once.
    once: Money,
}

struct OfSubscription<'p> {
    customer: &'p CustomerId,
    currency: Currency,
    products: BTreeMap<&'p ProductId, OfProduct>,
}

fn is_continuous(change: &Change) -> bool {
    match change.role {
        Role::Recurring | Role::Quantity => true,
        Role::Setup | Role::Prorate | Role::Overuse | Role::Cancellation | Role::Refund | Role::OneTime => {
            false
        }
    }
}

impl<'p> OfSubscription<'p> {
    fn new(change: &'p Change) -> Self {
        Self { customer: &change.customer, currency: change.currency, products: BTreeMap::new() }
    }

    fn add(&mut self, change: &'p Change) -> Result<(), MoneyError> {
        let of = self.products.entry(&change.product).or_default();
        if !is_continuous(change) {
            of.once = of.once.plus(change.amount)?;
            if change.amount.is_negative() && matches!(change.action, Action::Create { .. }) {
                of.given_back = of.given_back.plus(change.amount.abs())?;
            }
            return Ok(());
        }
        let worth = |state: &AdditionState| Ok(extended(state, Quantity::ZERO, change.currency)?.price);
        if let Some(before) = change.action.before() {
            match change.action.target() {
                Some(Target::Existing(_)) => {
                    of.was_there = true;
                    of.before = of.before.plus(worth(before)?)?;
                }
                // Made by this plan: it was counted with what follows it, and is not any more.
                Some(Target::CreatedBy(_)) | None => of.after = of.after.minus(worth(before)?)?,
            }
        }
        match &change.action {
            Action::Create { wanted } | Action::Update { wanted, .. } => {
                of.is_there = true;
                of.after = of.after.plus(worth(wanted)?)?;
            }
            Action::Cancel { .. } | Action::Delete { .. } | Action::Keep { .. } => {}
        }
        Ok(())
    }
}

/// What of a plan people have to approve, by subscription.
pub fn needs(plan: &DraftPlan, policy: &Policy) -> BTreeMap<Whose, Need> {
    if policy.asks_nobody() {
        return BTreeMap::new();
    }
    let mut all: BTreeMap<(Whose, Currency), OfSubscription<'_>> = BTreeMap::new();
    let mut needs: BTreeMap<Whose, Need> = BTreeMap::new();
    for change in plan.changes.iter().filter(|change| change.writes()) {
        let whose = (change.source.clone(), change.subscription.clone());
        let of = all.entry((whose.clone(), change.currency)).or_insert_with(|| OfSubscription::new(change));
        if of.add(change).is_err() {
            // More than can be reckoned is more than any limit.
            let message = format!("Subscription {} moves an amount that cannot be reckoned.", whose.1);
            let reasons = vec![Reason { limit: Limit::Amount, message }];
            needs.entry(whose).or_default().join(Need { persons: policy.persons.max(1), reasons });
        }
    }
    for ((whose, _), of) in all {
        let need = need(&whose.1, of, policy);
        if need.persons > 0 {
            needs.entry(whose).or_default().join(need);
        }
    }
    needs
}

/// A product with limits of its own is looked at for itself, and the others together.
fn need(subscription: &SubscriptionId, of: OfSubscription<'_>, policy: &Policy) -> Need {
    let policy = policy.of_customer(of.customer);
    let who = format!("ubscription {subscription} of customer {}", of.customer);
    let mut need = Need::default();
    let mut others = BTreeMap::new();
    for (product, moves) in of.products {
        match policy.of_product(product) {
            Some(own) => {
                let alone = BTreeMap::from([(product, moves)]);
                need.join(need_of_products(&format!("{product} of s{who}"), of.currency, &alone, &own));
            }
            None => drop(others.insert(product, moves)),
        }
    }
    need.join(need_of_products(&format!("S{who}"), of.currency, &others, &policy));
    need
}

fn need_of_products(
    who: &str,
    currency: Currency,
    products: &BTreeMap<&ProductId, OfProduct>,
    policy: &Policy,
) -> Need {
    let mut need = Need::default();
    let mut say = |limit: Limit, persons: u8, what: String| {
        if persons > 0 {
            let message = format!("{who} {what}.");
            need.join(Need { persons, reasons: vec![Reason { limit, message }] });
        }
    };
    let (mut before, mut after, mut once) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    for product in products.values() {
        once = once.saturating_add(product.once.decimal());
        before = before.saturating_add(product.before.decimal());
        after = after.saturating_add(product.after.decimal());
    }
    let level = after.saturating_sub(before).abs();
    let moved = once.abs().max(level);
    let shown = |amount: Decimal| format!("{} {}", places(amount, currency), currency);
    let words = || format!("moves {}", shown(moved));
    if let Some(limit) = policy.amount.filter(|limit| moved > *limit) {
        say(Limit::Amount, policy.persons, format!("{}; the limit is {}", words(), limit.normalize()));
    }
    if let Some(limit) = policy.two_above.filter(|limit| moved > *limit) {
        say(Limit::TwoAbove, 2, format!("{}; two people approve above {}", words(), limit.normalize()));
    }
    if let Some(limit) = policy.percent
        && before > Decimal::ZERO
        && level.saturating_mul(Decimal::ONE_HUNDRED) > limit.saturating_mul(before)
    {
        let what = format!(
            "goes from {} to {} a period; the limit is {} percent",
            shown(before),
            shown(after),
            limit.normalize()
        );
        say(Limit::Percent, policy.persons, what);
    }
    for (product, moves) in products {
        let (old, new) = (moves.before.decimal(), moves.after.decimal());
        if policy.new && moves.is_there && !moves.was_there {
            say(Limit::New, policy.persons, format!("gets {product} for {} a period", shown(new)));
        }
        if policy.cancel && moves.was_there && !moves.is_there {
            say(Limit::Cancel, policy.persons, format!("loses {product}, {} a period", shown(old)));
        }
        if policy.decrease && moves.is_there && new < old {
            let what = format!("bills {} a period for {product} where it was {}", shown(new), shown(old));
            say(Limit::Decrease, policy.persons, what);
        }
        if policy.decrease && !moves.given_back.is_zero() {
            let what = format!("gets {} back for {product}", shown(moves.given_back.decimal()));
            say(Limit::Decrease, policy.persons, what);
        }
    }
    need
}

fn places(amount: Decimal, currency: Currency) -> Decimal {
    let mut amount = amount.normalize();
    if amount.scale() < currency.places() {
        amount.rescale(currency.places());
    }
    amount
}

/// The whole plan's need.
pub fn need_of(plan: &DraftPlan, policy: &Policy) -> Need {
    let mut whole = Need::default();
    for need in needs(plan, policy).into_values() {
        whole.join(need);
    }
    whole
}

/// The name of exactly what a plan would write (of these subscriptions): two plans that would write the same have the
/// same, and whatever differs in what is written, or in what was seen of it, gives another.
pub fn mark(connection: &str, plan: &DraftPlan, of: Option<&BTreeSet<Whose>>) -> String {
    let is_of = |source: &SourceId, subscription: &SubscriptionId| {
        of.is_none_or(|some| some.contains(&(source.clone(), subscription.clone())))
    };
    let mut parts: Vec<String> = Vec::new();
    let changes = plan.changes.iter().filter(|c| c.writes() && is_of(&c.source, &c.subscription));
    for change in changes {
        let target = match change.action.target() {
            Some(Target::Existing(id)) => id.to_string(),
            // Ids within a plan depend on what else is in it; the key does not.
            Some(Target::CreatedBy(_)) | None => String::new(),
        };
        let mut text = format!(
            "{}\u{1f}{}\u{1f}{target}\u{1f}{}\u{1f}{}\u{1f}{}\u{1f}{}",
            change.key,
            change.action.op(),
            change.agreement,
            change.amount,
            change.cost,
            change.currency
        );
        for field in change.fields() {
            let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "\u{0}".to_owned());
            text.push_str(&format!(
                "\u{1f}{}\u{1f}{}\u{1f}{}",
                field.field.name(),
                value(&field.from),
                value(&field.to)
            ));
        }
        parts.push(text);
    }
    for adoption in plan.adoptions.iter().filter(|a| is_of(&a.source, &a.subscription)) {
        parts.push(format!("adopt\u{1f}{}\u{1f}{}", adoption.addition, adoption.subscription));
    }
    // Companies are planned side by side: the order of two that have nothing in common says nothing.
    parts.sort();
    parts.insert(0, connection.to_owned());
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    short_hash("ap", &parts, 26)
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Who, as one and the same person everywhere.
    pub person: String,
    /// The name in the audit.
    pub actor: String,
    /// Yes, or no.
    pub approves: bool,
    /// Why.
    pub reason: Option<String>,
    /// When, in milliseconds.
    pub at: i64,
}

/// Where a question stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'w> {
    /// Enough people said yes.
    Given,
    /// So many more are asked.
    Missing(u8),
    /// Somebody said no, and nobody yes since.
    Refused(&'w Word),
}

const DAY_MS: i64 = 86_400_000;

/// The people whose yes counts: said after the last no, and not too long ago. Each counts once.
pub fn counted<'w>(words: &'w [Word], policy: &Policy, maker: &str, now: i64) -> Vec<&'w Word> {
    let since = words.iter().rposition(|word| !word.approves).map_or(0, |at| at + 1);
    let mut people: BTreeSet<&str> = BTreeSet::new();
    let counts = |word: &&Word| {
        let is_young = policy.days == 0 || now.saturating_sub(word.at) <= i64::from(policy.days) * DAY_MS;
        is_young && (policy.by_maker || word.actor != maker)
    };
    words.iter().skip(since).filter(counts).filter(|word| people.insert(&word.person)).collect()
}

/// Where a question stands that asks for so many people about a plan that `maker` made.
pub fn answer<'w>(words: &'w [Word], persons: u8, policy: &Policy, maker: &str, now: i64) -> Answer<'w> {
    if let Some(last) = words.last().filter(|word| !word.approves) {
        return Answer::Refused(last);
    }
    let given = u8::try_from(counted(words, policy, maker, now).len()).unwrap_or(u8::MAX);
    match persons.saturating_sub(given) {
        0 => Answer::Given,
        missing => Answer::Missing(missing),
    }
}
