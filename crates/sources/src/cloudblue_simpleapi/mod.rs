//! The SimpleAPI of CloudBlue Commerce, version 1.15: its answers, saved as files in any order.
//!
//! Lists (`{"data": […], "pagination": …}`) and single objects are told apart by their content. Lists of subscriptions and
//! orders carry no products, and orders there no subscription: only the answers for single ones make records, and the
//! lists are held against them. Everything is read before the first record is handed out, since an order needs the costs of
//! its subscription and the quantities that earlier orders left.
//!
//! Rules, where the API leaves a choice:
//! - A product's id is its `mpn`.
//! - `type: unknown` with a number `BO…`, or with lines of use only, is a billing order.
//! - The quantity of a product in a change order is its new total; the old one is what the completed orders before it left.
//! - An order is completed when it says so (`completed`, status code `CP`); other words are kept and not synchronised.
//! - It takes effect on the civil date of its `provisioningDate`.
//! - Its period is the billing period of that day. Periods are laid from the first of a month, so a monthly one is a
//!   calendar month. A billing order of a subscription charged after its period is for the period before.
//! - A refund of a whole period, cancelled on the last day of a period, is for the period after it, billed in advance.
//! - A refund is below zero by its type, whatever sign it was written with.
//! - An order line has no cost: that of the subscription counts, else that of the product.
//! - An order about several subscriptions is one order of each. A charge goes to the one that has its product; where that is none
//!   of them or more than one, the whole order is refused.
//! - A charge before the whole term, and billing by the statement day, are said in a plain field (`billing_charge`,
//!   `billing_alignment`) of the subscription and its orders: their tasks are ignored (TU4004).

mod catalogue;
mod lines;
mod orders;
mod subscriptions;

use crate::fields::{Fault, INCOMPLETE, REFUSED};
use crate::input;
use crate::json::{Kind, Room, Value};
use crate::place::Place;
use orders::RawOrder;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use trueup_domain::feed::{Contact, Customer, Product, Record, Subscription};
use trueup_engine::ports::Refusal;

/// The records of saved answers.
pub(crate) struct SimpleApiReader {
    files: Vec<PathBuf>,
    results: Option<std::vec::IntoIter<Result<Record, Refusal>>>,
}

impl SimpleApiReader {
    pub(crate) fn new(files: &[PathBuf]) -> Self {
        Self { files: files.to_vec(), results: None }
    }
}

impl Iterator for SimpleApiReader {
    type Item = Result<Record, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let files = &self.files;
        self.results
            .get_or_insert_with(|| {
                let mut world = World::default();
                for path in files {
                    world.read(path);
                }
                world.into_results().into_iter()
            })
            .next()
    }
}

/// A row of a list whose records come from elsewhere.
struct Listed {
    place: Place,
    total: Option<String>,
}

/// How much of a list was read.
#[derive(Default)]
struct Pages {
    place: Place,
    read: u64,
    total: u64,
}

/// All that was read.
#[derive(Default)]
struct World {
    customers: BTreeMap<String, Customer>,
    contacts: BTreeMap<String, Contact>,
    products: BTreeMap<String, (Product, catalogue::Prices)>,
    subscriptions: BTreeMap<String, Subscription>,
    /// Subscriptions that are billed in a way that is not supported, also those that were refused for it.
    unsupported: BTreeMap<String, catalogue::Unsupported>,
    orders: BTreeMap<String, RawOrder>,
    listed_subscriptions: BTreeMap<String, Listed>,
    listed_orders: BTreeMap<String, Listed>,
    pages: BTreeMap<Shape, Pages>,
    /// Ids of objects that were refused: they are reported, not missing.
    refused: BTreeSet<String>,
    said: Vec<Refusal>,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Customer,
    Product,
    Subscription,
    Order,
    Token,
    Unknown,
}

impl Shape {
    fn plural(self) -> &'static str {
        match self {
            Self::Customer => "customers",
            Self::Product => "products",
            Self::Subscription => "subscriptions",
            Self::Order => "orders",
            Self::Token => "tokens",
            Self::Unknown => "objects",
        }
    }
}

fn shape(value: Value<'_>) -> Shape {
    let has = |field: &str| value.get(field).is_some();
    if has("token") && has("expiresInSeconds") {
        Shape::Token
    } else if has("orderNumber") || has("provisioningDate") {
        Shape::Order
    } else if has("customerId") && has("billingPeriod") {
        Shape::Subscription
    } else if has("mpn") && (has("prices") || has("costs")) {
        Shape::Product
    } else if has("contactPersons") || (has("address") && has("name")) {
        Shape::Customer
    } else {
        Shape::Unknown
    }
}

impl World {
    fn read(&mut self, path: &std::path::Path) {
        let file = input::shown_name(path);
        let text = match crate::answers::text_of(path) {
            Ok(text) => text,
            Err(refusal) => return self.said.push(refusal),
        };
        let text = text.as_str();
        let mut room = Room::default();
        let value = match room.parse(text) {
            Ok(value) => value,
            Err(error) => {
                let place = Place { file, line: crate::feed::line_of(text, error.at, 1) };
                let reason =
                    format!("the file is not good JSON: {}; save the answer again, whole", error.what);
                return self.said.push(place.refusal(REFUSED, "", reason));
            }
        };
        match value.get("data").filter(|data| data.kind() == Kind::Array) {
            Some(data) => self.page(value, data, text, &file),
            None => self.object(value, true, text, &file),
        }
    }

    fn page(&mut self, page: Value<'_>, data: Value<'_>, text: &str, file: &str) {
        if let Some(first) = data.children().next() {
            let total = page.at(&["pagination", "total"]).and_then(|total| total.raw().parse().ok());
            let pages = self.pages.entry(shape(first)).or_default();
            pages.place = Place { file: file.to_owned(), line: 1 };
            pages.read += data.children().count() as u64;
            pages.total = pages.total.max(total.unwrap_or(0));
        }
        for item in data.children() {
            self.object(item, false, text, file);
        }
    }

    fn object(&mut self, value: Value<'_>, alone: bool, text: &str, file: &str) {
        let place = Place { file: file.to_owned(), line: crate::feed::line_of(text, value.offset(), 1) };
        let taken = match shape(value) {
            Shape::Token => Ok(()),
            Shape::Customer => catalogue::customer(value, self),
            Shape::Product => catalogue::product(value, self),
            Shape::Subscription if alone || value.get("products").is_some() => {
                subscriptions::subscription(value, self)
            }
            Shape::Order if alone || value.get("subscriptionId").is_some() => {
                orders::read(value, place.clone()).map(|order| {
                    self.orders.insert(order.id.clone(), order);
                })
            }
            Shape::Subscription | Shape::Order => self.list_row(value, place.clone()),
            Shape::Unknown => {
                let reason =
                    "this is none of the SimpleAPI's objects (customer, product, subscription, order)";
                Err(Fault::of(value, reason))
            }
        };
        if let Err(fault) = taken {
            self.refused.extend(value.text_at(&["id"]).map(|id| id.into_owned()));
            let place = Place { line: crate::feed::line_of(text, fault.at, 1), ..place };
            self.said.push(place.refusal(fault.code, &fault.field, fault.reason));
        }
    }

    fn list_row(&mut self, value: Value<'_>, place: Place) -> Result<(), Fault> {
        let id = crate::fields::req(value, "id", crate::fields::id)?;
        let total = value.text_at(&["total", "amount"]).map(|text| text.into_owned());
        let rows = if shape(value) == Shape::Order {
            &mut self.listed_orders
        } else {
            &mut self.listed_subscriptions
        };
        rows.insert(id, Listed { place, total });
        Ok(())
    }

    fn into_results(mut self) -> Vec<Result<Record, Refusal>> {
        self.compare_lists();
        subscriptions::complete(&mut self);
        let orders = lines::orders(&mut self);
        let mut results: Vec<Result<Record, Refusal>> = self.said.into_iter().map(Err).collect();
        results.extend(self.customers.into_values().map(|r| Ok(Record::Customer(r))));
        results.extend(self.contacts.into_values().map(|r| Ok(Record::Contact(r))));
        results.extend(self.products.into_values().map(|(r, _)| Ok(Record::Product(r))));
        results.extend(self.subscriptions.into_values().map(|r| Ok(Record::Subscription(r))));
        results.extend(orders.into_iter().map(|r| Ok(Record::Order(r))));
        results
    }

    /// Lists against single answers, and both against what the pages said they hold.
    fn compare_lists(&mut self) {
        let mut said = Vec::new();
        for (id, listed) in &self.listed_orders {
            match self.orders.get(id) {
                None if self.refused.contains(id) => {}
                None => {
                    let reason = format!(
                        "order {id} is on the list, which has neither its subscription nor its products; save the answer \
                         of GET /orders/{id} as well"
                    );
                    said.push(listed.place.refusal(INCOMPLETE, "id", reason));
                }
                Some(order) if listed.total != order.total => {
                    let shown =
                        |total: &Option<String>| total.clone().unwrap_or_else(|| "nothing".to_owned());
                    let reason = format!(
                        "order {id} adds up to {} on the list and to {} in its own answer, which is taken; save both \
                         again at one time",
                        shown(&listed.total),
                        shown(&order.total)
                    );
                    said.push(order.place.warning(INCOMPLETE, "total", reason));
                }
                Some(_) => {}
            }
        }
        for (id, listed) in &self.listed_subscriptions {
            if !self.subscriptions.contains_key(id) && !self.refused.contains(id) {
                let reason = format!(
                    "subscription {id} is on the list, which has no products; save the answer of GET /subscriptions/{id} \
                     as well"
                );
                said.push(listed.place.refusal(INCOMPLETE, "id", reason));
            }
        }
        for (shape, pages) in &self.pages {
            if pages.read < pages.total {
                let reason = format!(
                    "the pages hold {} of {} {}; what is missing is not taken as gone. Save the other pages as well",
                    pages.read,
                    pages.total,
                    shape.plural()
                );
                said.push(pages.place.warning(INCOMPLETE, "pagination.total", reason));
            }
        }
        self.said.extend(said);
    }
}
