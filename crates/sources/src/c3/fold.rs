//! Rows one after the other: what each of them changes, and what a subscription is after the last.

use super::World;
use super::rows::{Commitment, Event, Status};
use crate::answers;
use crate::fields::REFUSED;
use jiff::civil::Date;
use std::collections::{BTreeMap, HashMap};
use trueup_domain::feed::{
    BillingModel, Charge, Customer, Ext, Order, OrderKind, OrderLine, Product, Record, Subscription,
    SubscriptionItem, SubscriptionStatus, Term,
};
use trueup_domain::money::{Currency, Money, Quantity};
use trueup_domain::period::{BillingCycle, Period, PeriodError, next_day};
use trueup_engine::ports::Refusal;

/// A change between two rows is missing.
const GAP: &str = "TU8005";

/// What is known of a subscription so far.
#[derive(Default)]
struct State {
    /// How many are billed.
    billed: Quantity,
    /// How many the last row left.
    reported: Option<Quantity>,
    price: Option<Money>,
    cycle: Option<BillingCycle>,
    commitment: Option<Commitment>,
    sold_on: Option<Date>,
    first_period: Option<Period>,
    currency: Option<Currency>,
    gap: bool,
    deleted_on: Option<Date>,
}

/// The records, customers and products first.
pub(super) fn into_results(mut world: World) -> Vec<Result<Record, Refusal>> {
    let mut events = std::mem::take(&mut world.events);
    events.sort_by_key(|event| event.instant.micros);
    let mut first: HashMap<String, usize> = HashMap::new();
    let mut by_subscription: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        let Some(known) = first.get(&event.id).and_then(|known| events.get(*known)) else {
            first.insert(event.id.clone(), place);
            by_subscription.entry(event.subscription.clone()).or_default().push(place);
            continue;
        };
        if !known.says_the_same(event) {
            let reason = "another row tells something else of the same change (subscription, instant, new quantity and \
                          status), and nothing tells which is right; it is passed over";
            world.said.push(event.place.refusal(REFUSED, "", reason.to_owned()));
        }
    }
    let mut orders = Vec::new();
    let mut subscriptions = Vec::new();
    for places in by_subscription.values() {
        let mut state = State::default();
        let of_it: Vec<&Event> = places.iter().filter_map(|place| events.get(*place)).collect();
        for event in &of_it {
            match state.order(event, &mut world) {
                Ok(order) => orders.extend(order),
                Err(refusal) => {
                    // What follows starts from what nobody knows now.
                    state.gap = true;
                    world.said.push(refusal);
                }
            }
        }
        subscriptions.extend(of_it.last().and_then(|last| state.subscription(last)));
    }
    let mut results: Vec<Result<Record, Refusal>> = world.said.into_iter().map(Err).collect();
    let (customers, products) = mentioned(&world.customers, &events);
    results.extend(world.customers.into_values().chain(customers).map(|r| Ok(Record::Customer(r))));
    results.extend(products.into_iter().map(|r| Ok(Record::Product(r))));
    results.extend(subscriptions.into_iter().map(|r| Ok(Record::Subscription(r))));
    results.extend(orders.into_iter().map(|r| Ok(Record::Order(r))));
    results
}

/// Customers and products that rows name in passing.
fn mentioned(known: &BTreeMap<String, Customer>, events: &[Event]) -> (Vec<Customer>, Vec<Product>) {
    let mut customers = BTreeMap::new();
    let mut products = BTreeMap::new();
    for event in events {
        if !known.contains_key(&event.customer) {
            let name = event.customer_name.clone().unwrap_or_else(|| event.customer.clone());
            let customer = answers::customer(event.customer.clone(), name, None);
            customers.insert(event.customer.clone(), Customer { ext: Ext::mentioned(), ..customer });
        }
        let product = answers::service(&event.product, &event.product, "licence");
        products.insert(event.product.clone(), Product { ext: Ext::mentioned(), ..product });
    }
    (customers.into_values().collect(), products.into_values().collect())
}

/// What a row asks for.
enum Deed {
    Sale,
    Change,
    Renewal(Commitment),
    Pause(&'static str),
    Nothing,
}

impl State {
    fn deed(&self, event: &Event) -> Deed {
        let same_price = event.price.is_none() || event.old_price.is_none() || event.price == event.old_price;
        let renews = event
            .commitment
            .filter(|term| term.first >= event.instant.date && Some(*term) != self.commitment);
        match event.status {
            Status::Paused if event.new.is_zero() || (event.new == self.billed && same_price) => {
                Deed::Pause("begins")
            }
            Status::Deleted if self.billed.is_zero() => Deed::Nothing,
            Status::Deleted | Status::Paused => Deed::Change,
            Status::Active if self.billed.is_zero() && event.new.is_zero() => Deed::Nothing,
            Status::Active if self.billed.is_zero() => Deed::Sale,
            Status::Active => match renews {
                Some(term) => Deed::Renewal(term),
                None if self.billed != event.new || !same_price => Deed::Change,
                None if event.old_status == Some(Status::Paused) => Deed::Pause("ends"),
                None => Deed::Nothing,
            },
        }
    }

    /// The order of a row, if it asks for one.
    fn order(&mut self, event: &Event, world: &mut World) -> Result<Option<Order>, Refusal> {
        match self.reported {
            None => self.billed = event.old,
            Some(reported) if reported != event.old => {
                let reason = format!(
                    "the change before this one left {} and this one starts from {}: a change between is missing. It and \
                     those after it are kept and not synchronised; import the history that has it, or a complete list, \
                     and reconcile",
                    reported.display(),
                    event.old.display()
                );
                world.said.push(event.place.refusal(GAP, "OldQuantity", reason));
                self.gap = true;
            }
            Some(_) => {}
        }
        self.reported = Some(event.new);
        let of_customer = world.customers.get(&event.customer).and_then(|customer| customer.currency);
        let known = event.currency.or(of_customer).or(self.currency).or(world.currency);
        let currency = known.ok_or_else(|| {
            let reason =
                "nothing says its currency: save the active customers beside it, or name one for all";
            event.place.refusal(REFUSED, "CurrencyCode", reason.to_owned())
        })?;
        self.currency = Some(currency);
        self.cycle = event.cycle.or(self.cycle);
        let deed = self.deed(event);
        if matches!(deed, Deed::Sale) {
            self.sold_on = Some(event.instant.date);
        }
        self.commitment = event.commitment.or(self.commitment);
        if matches!(deed, Deed::Nothing) {
            let reason = "the row changes nothing that is billed".to_owned();
            world.said.push(event.place.warning(REFUSED, "", reason));
            return Ok(None);
        }
        let (period, effective) = self
            .days(event, &deed)
            .map_err(|reason| event.place.refusal("TU4006", "DateofChange", reason))?;
        self.first_period = self.first_period.or(Some(period));
        let lines = self.lines(event, &deed);
        let kind = match deed {
            Deed::Sale => OrderKind::Sales,
            Deed::Renewal(_) => OrderKind::Renewal,
            Deed::Change | Deed::Pause(_) | Deed::Nothing => OrderKind::Change,
        };
        let mut ext = event.ext.clone();
        if let Deed::Pause(word) = deed {
            ext.0.extend(
                serde_json::value::to_raw_value(word).ok().map(|word| ("billing_pause".to_owned(), word)),
            );
        } else {
            self.billed = if event.status == Status::Deleted { Quantity::ZERO } else { event.new };
        }
        self.price = event.price.or(self.price);
        self.deleted_on = (event.status == Status::Deleted).then_some(effective);
        Ok(Some(Order {
            id: event.id.clone().into(),
            number: None,
            kind,
            subscription: event.subscription.as_str().into(),
            customer: Some(event.customer.as_str().into()),
            completed_at: event.at.clone(),
            completed_us: event.instant.micros,
            created_at: None,
            effective,
            effective_given: true,
            period,
            currency,
            status: if self.gap { "gap" } else { "completed" }.to_owned(),
            po_number: None,
            lines,
            ext,
        }))
    }

    /// The billing period of a row, and the first day of its new state.
    fn days(&self, event: &Event, deed: &Deed) -> Result<(Period, Date), String> {
        let day = event.instant.date;
        let begins = match deed {
            Deed::Sale => self.commitment.map_or(day, |term| term.first),
            Deed::Renewal(term) => term.first,
            Deed::Change | Deed::Pause(_) | Deed::Nothing => day,
        };
        let cycle = self.cycle.unwrap_or(BillingCycle::MONTHLY);
        let anchor = if cycle == BillingCycle::MONTHLY {
            begins.first_of_month()
        } else {
            self.commitment.map(|term| term.first).or(self.sold_on).ok_or_else(|| {
                "when its year begins is not known: the row needs CommitmentStartDate, or the sale before it"
                    .to_owned()
            })?
        };
        let fault = |error: PeriodError| format!("no billing period can be laid around {begins}: {error}");
        let period = cycle.period_containing(anchor, begins).map_err(fault)?;
        let all_used = event.status == Status::Deleted && day == period.last_day();
        Ok((period, if all_used { next_day(day) } else { begins }))
    }

    fn lines(&self, event: &Event, deed: &Deed) -> Vec<OrderLine> {
        let line = OrderLine {
            id: "1".into(),
            charge: Charge::Recurring,
            product: event.product.as_str().into(),
            item: None,
            quantity: event.new,
            unit_price: event.price,
            unit_cost: event.cost,
            old_unit_price: None,
            old_unit_cost: None,
            old_quantity: None,
            new_quantity: None,
            amount: None,
            cost_amount: None,
            period: None,
            description: None,
        };
        match deed {
            Deed::Pause(_) | Deed::Nothing => Vec::new(),
            Deed::Sale | Deed::Renewal(_) => vec![line],
            Deed::Change => {
                let new = if event.status == Status::Deleted { Quantity::ZERO } else { event.new };
                vec![OrderLine {
                    // Both are at least zero, so that nothing overflows.
                    quantity: new.minus(self.billed).unwrap_or_default(),
                    unit_price: event.price.or(event.old_price),
                    old_unit_price: event.old_price,
                    old_quantity: Some(self.billed),
                    new_quantity: Some(new),
                    ..line
                }]
            }
        }
    }

    /// The subscription as the last row left it; none where nothing of it could be placed.
    fn subscription(&self, last: &Event) -> Option<Subscription> {
        let (currency, first) = (self.currency?, self.first_period?);
        let start = self.sold_on.or(self.commitment.map(|term| term.first)).unwrap_or(first.start());
        let quantity = if self.deleted_on.is_some() { last.old } else { self.billed };
        Some(Subscription {
            id: last.subscription.as_str().into(),
            customer: last.customer.as_str().into(),
            name: Some(last.product.clone()),
            status: match last.status {
                Status::Active => SubscriptionStatus::Active,
                Status::Paused => SubscriptionStatus::Suspended,
                Status::Deleted => SubscriptionStatus::Cancelled,
            },
            currency,
            billing_cycle: self.cycle.unwrap_or(BillingCycle::MONTHLY),
            billing_model: BillingModel::Advance,
            start,
            end: None,
            period: None,
            anchor_day: None,
            plan: None,
            parent: None,
            term: self.commitment.map(|term| Term {
                start: term.first,
                end: term.last.map(next_day),
                auto_renew: None,
            }),
            vendor_id: None,
            trial_until: None,
            cancelled_on: self.deleted_on,
            items: vec![SubscriptionItem {
                id: "1".to_owned(),
                product: last.product.as_str().into(),
                quantity,
                included_quantity: None,
                unit_price: self.price,
                unit_cost: last.cost,
                overuse_price: None,
                overuse_cost: None,
            }],
            ext: Ext::default(),
        })
    }
}
