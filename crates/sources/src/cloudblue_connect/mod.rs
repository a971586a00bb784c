//! CloudBlue Connect: what its public API answers, saved as files.
//!
//! | Connect | feed |
//! |---|---|
//! | tier account `TA-…` (also inside other objects) | customer with parent, contact |
//! | product `PRD-…`, item | product (an item's id is its global id) |
//! | subscription `AS-…` (also inside requests: the newest) | subscription |
//! | fulfilment request `PR-…` | order: purchase = sales, change and adjustment = change, cancel = cancellation, renew = renewal, transfer = transfer; approved = completed |
//! | suspend, resume | change without lines that says `billing_pause` (`begins`, `ends`): its task is ignored, and that is told |
//! | billing request `BRP-…`, `BRV-…` | billing order; the vendor's own is kept under the status `vendor` |
//! | usage record `UR-…` | usage |
//! | helpdesk case `CA-…` | alert |
//! | marketplace `MP-…` | the currency of its subscriptions |
//!
//! Workbooks of Connect's own tools are read as well: the sheet `Customers` gives tier accounts, `General Information` and
//! `Items` a product and its items.
//!
//! Streams, contracts, listing requests and accounts are reference data and reported as such. A file holds one object or
//! an array of them; what an object is shows in its content. Connect's requests carry no prices and their subscriptions no
//! currency: both are reported. Each record keeps its whole source text, without secrets, as `source` in its `ext`.

mod parties;
mod requests;
mod sheets;
mod subscriptions;
mod usage;
mod workbook;

use crate::fields::{Fault, REFUSED};
use crate::input::elements::{Around, Elements};
use crate::input::{self, Input, Next, fill};
use crate::json::{Kind, Room, Value};
use crate::refusal;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use trueup_domain::feed::{Customer, Ext, Product, Record, RecordKind, Subscription};
use trueup_domain::money::Currency;
use trueup_engine::ports::Refusal;

/// The records of saved answers.
pub(crate) struct ConnectReader {
    files: VecDeque<PathBuf>,
    current: Option<(String, Elements<Input>)>,
    buffer: Vec<u8>,
    room: Room,
    world: World,
    ended: bool,
}

/// What objects say about each other.
struct World {
    /// Of each marketplace.
    currencies: HashMap<String, Currency>,
    default_currency: Option<Currency>,
    /// Ids that came as objects of their own, which stand over what is said of them elsewhere.
    seen: HashSet<String>,
    customers: BTreeMap<String, Customer>,
    products: BTreeMap<String, Product>,
    /// With the instant of the request they came in.
    subscriptions: BTreeMap<String, (i64, Subscription)>,
    out: VecDeque<Result<Record, Refusal>>,
    file: String,
    line: u64,
}

impl World {
    fn emit(&mut self, record: Record) {
        self.out.push_back(Ok(record));
    }

    fn warn(&mut self, field: &str, code: &str, reason: String) {
        let mut warning = refusal(&self.file, self.line, code, reason);
        warning.field = Some(field.to_owned());
        warning.warning = true;
        self.out.push_back(Err(warning));
    }

    fn refuse(&mut self, line: u64, reason: String) {
        self.out.push_back(Err(refusal(&self.file, line, REFUSED, reason)));
    }

    /// What nobody described in an object of its own is known from where it was mentioned.
    fn finish(&mut self) {
        for (id, customer) in std::mem::take(&mut self.customers) {
            if !self.seen.contains(&id) {
                self.emit(Record::Customer(Customer { ext: Ext::mentioned(), ..customer }));
            }
        }
        for (id, product) in std::mem::take(&mut self.products) {
            if !self.seen.contains(&id) {
                self.emit(Record::Product(Product { ext: Ext::mentioned(), ..product }));
            }
        }
        for (id, (_, subscription)) in std::mem::take(&mut self.subscriptions) {
            if !self.seen.contains(&id) {
                self.emit(Record::Subscription(subscription));
            }
        }
    }
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Marketplace,
    TierAccount,
    Item,
    Product,
    Subscription,
    Fulfilment,
    Billing,
    Usage,
    TierConfig,
    Helpdesk,
    /// Reference data with a name for people.
    Reference(&'static str),
    Unknown,
}

fn shape(value: Value<'_>) -> Shape {
    let id = value.text_at(&["id"]).unwrap_or_default();
    let has = |field: &str| value.get(field).is_some();
    let prefix = id.split('-').next().unwrap_or_default();
    match prefix {
        "MP" => Shape::Marketplace,
        "TA" => Shape::TierAccount,
        "PRD" if has("mpn") || has("local_id") => Shape::Item,
        "PRD" => Shape::Product,
        "AS" => Shape::Subscription,
        "PR" if has("asset") => Shape::Fulfilment,
        "BRP" | "BRV" => Shape::Billing,
        "UR" if has("usage") || has("usagefile") => Shape::Usage,
        "TCR" => Shape::TierConfig,
        "CA" => Shape::Helpdesk,
        "STR" => Shape::Reference("stream"),
        "SCOL" => Shape::Reference("column of a stream"),
        "STF" | "STRA" => Shape::Reference("transformation of a stream"),
        "PA" | "VA" => Shape::Reference("account"),
        "LSTR" => Shape::Reference("listing request"),
        "LST" => Shape::Reference("listing"),
        prefix if prefix.starts_with("CR") => Shape::Reference("contract"),
        _ if has("function") && has("columns") => Shape::Reference("transformation of a stream"),
        _ => Shape::Unknown, // open set: ids of a foreign system
    }
}

impl ConnectReader {
    pub(crate) fn new(files: &[PathBuf], default_currency: Option<Currency>) -> Self {
        Self {
            files: sorted(files),
            current: None,
            buffer: Vec::new(),
            room: Room::default(),
            world: World {
                currencies: HashMap::new(),
                default_currency,
                seen: HashSet::new(),
                customers: BTreeMap::new(),
                products: BTreeMap::new(),
                subscriptions: BTreeMap::new(),
                out: VecDeque::new(),
                file: String::new(),
                line: 0,
            },
            ended: false,
        }
    }

    fn open_next(&mut self) {
        let Some(path) = self.files.pop_front() else {
            self.ended = true;
            self.world.finish();
            return;
        };
        let name = input::shown_name(&path);
        self.world.file.clone_from(&name);
        match open(&path) {
            Ok(Opened::Json(elements)) => self.current = Some((name, elements)),
            Ok(Opened::Workbook(input)) => match workbook::read(input) {
                Ok(Ok(sheets)) => sheets::take_in(sheets, &mut self.world),
                Ok(Err(broken)) => self.world.refuse(broken.row, broken.reason),
                Err(error) => self.world.out.push_back(Err(input::not_opened(&name, &error))),
            },
            Err(error) => self.world.out.push_back(Err(input::not_opened(&name, &error))),
        }
    }

    fn step(&mut self) {
        let Some((name, elements)) = &mut self.current else { return self.open_next() };
        let next = match elements.next_element(&mut self.buffer) {
            Ok(next) => next,
            Err(error) => {
                let error = input::not_opened(name, &error);
                self.world.out.push_back(Err(error));
                self.current = None;
                return;
            }
        };
        match next {
            Next::End => self.current = None,
            Next::Record(line) => self.element(line),
            Next::TooLong(line) => {
                self.world.refuse(line, "the object is longer than 8 MiB and is passed over".into())
            }
            Next::Stray(line) => self.world.refuse(line, "what stands here is no object of the list".into()),
            Next::Cut(line) => {
                let reason = "the file ends in the middle of the list; fetch it again, whole".to_owned();
                let cut = refusal(&self.world.file, line, crate::fields::INCOMPLETE, reason);
                self.world.out.push_back(Err(cut));
            }
        }
    }

    fn element(&mut self, line: u64) {
        self.world.line = line;
        let text = match std::str::from_utf8(&self.buffer) {
            Ok(text) if !text.contains('\0') => text,
            Ok(_) | Err(_) => {
                return self
                    .world
                    .refuse(line, "the object is not UTF-8 text without NUL; fetch it again".into());
            }
        };
        let value = match self.room.parse(text) {
            Ok(value) => value,
            Err(error) => {
                let line = crate::feed::line_of(text, error.at, line);
                return self.world.refuse(line, format!("the object is not good JSON: {}", error.what));
            }
        };
        let before = self.world.out.len();
        if let Err(fault) = convert(value, &mut self.world) {
            self.world.out.truncate(before);
            let line = crate::feed::line_of(text, fault.at, line);
            let mut refusal = refusal(&self.world.file, line, fault.code, fault.reason);
            refusal.field = Some(fault.field).filter(|field| !field.is_empty());
            refusal.record = order_of(value).map(|id| Box::new((RecordKind::Order, id)));
            self.world.out.push_back(Err(refusal));
        }
    }
}

/// The order that a request would have been: what is refused of it is known until it comes in.
fn order_of(value: Value<'_>) -> Option<String> {
    let id = value.text_at(&["id"])?;
    (id.starts_with("PR-") || id.starts_with("BRP-")).then(|| id.into_owned())
}

fn convert(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    if value.kind() != Kind::Object {
        return Err(Fault::of(
            value,
            format!("an object of Connect was expected, and here is {}", value.kind().shown()),
        ));
    }
    match shape(value) {
        Shape::Marketplace => {
            let id = crate::fields::req(value, "id", crate::fields::id)?;
            if let Some(currency) = crate::fields::opt(value, "currency", crate::fields::currency)? {
                world.currencies.insert(id, currency);
            }
            report(value, "marketplace, known here by its currency", world);
        }
        Shape::TierAccount => parties::tier_account(value, world)?,
        Shape::TierConfig => parties::tier_config(value, world)?,
        Shape::Item => parties::item(value, world)?,
        Shape::Product => parties::product(value, world)?,
        Shape::Subscription => subscriptions::asset(value, world)?,
        Shape::Fulfilment => requests::fulfilment(value, world)?,
        Shape::Billing => requests::billing(value, world)?,
        Shape::Usage => usage::usage(value, world)?,
        Shape::Helpdesk => usage::helpdesk(value, world)?,
        Shape::Reference(what) => report(value, what, world),
        Shape::Unknown => {
            let id = value.text_at(&["id"]).unwrap_or_default();
            let lacking = match id.split('-').next().unwrap_or_default() {
                "PR" => Some(("asset", "the subscription that the request is about")),
                "UR" => Some(("usage", "the records of the usage report, or `usagefile` with them")),
                _ => None, // open set: ids of a foreign system
            };
            if let Some((field, what)) = lacking {
                let reason = format!("{id} has no `{field}`, {what}: read it whole from Connect");
                return Err(Fault::of(value, reason).under(field));
            }
            let reason = "this is no object of Connect that is known here: its id begins with none of the known prefixes \
                          (PR, BRP, BRV, AS, TA, TCR, PRD, UR, CA, MP, STR, …)";
            return Err(Fault::of(value.get("id").unwrap_or(value), reason).under("id"));
        }
    }
    Ok(())
}

fn report(value: Value<'_>, what: &str, world: &mut World) {
    let id = value.text_at(&["id"]).unwrap_or_default();
    let reason = format!("{id} is reference data (a {what}): it sells nothing, so no record is made of it");
    world.warn("id", REFUSED, reason);
}

enum Opened {
    Json(Elements<Input>),
    Workbook(Input),
}

fn open(path: &std::path::Path) -> std::io::Result<Opened> {
    let mut input = input::open(path)?;
    input::skip_bom(&mut input)?;
    let start = fill(&mut input)?;
    if start.starts_with(b"PK\x03\x04") {
        return Ok(Opened::Workbook(input));
    }
    let array = start.trim_ascii_start().first() == Some(&b'[');
    Ok(Opened::Json(Elements::new(input, if array { Around::Array } else { Around::Nothing })))
}

/// The files in an order in which what describes comes before what mentions: marketplaces, accounts, products first. Only
/// the first object of each file is looked at; standard input, which cannot be read twice, comes last.
fn sorted(files: &[PathBuf]) -> VecDeque<PathBuf> {
    let mut ranked: Vec<(Shape, PathBuf)> =
        files.iter().map(|path| (first_shape(path), path.clone())).collect();
    ranked.sort_by_key(|(shape, _)| *shape);
    ranked.into_iter().map(|(_, path)| path).collect()
}

fn first_shape(path: &std::path::Path) -> Shape {
    if path == std::path::Path::new("-") {
        return Shape::Unknown;
    }
    let Ok(Opened::Json(mut elements)) = open(path) else { return Shape::Unknown };
    let mut buffer = Vec::new();
    if !matches!(elements.next_element(&mut buffer), Ok(Next::Record(_))) {
        return Shape::Unknown;
    }
    let mut room = Room::default();
    std::str::from_utf8(&buffer)
        .ok()
        .and_then(|text| room.parse(text).ok().map(shape))
        .unwrap_or(Shape::Unknown)
}

impl Iterator for ConnectReader {
    type Item = Result<Record, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.world.out.pop_front() {
                return Some(item);
            }
            if self.ended {
                return None;
            }
            self.step();
        }
    }
}
