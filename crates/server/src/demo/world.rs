//! The invented world: twenty companies, what they buy, and what ConnectWise holds before the demonstration begins.

use rust_decimal::Decimal;
use serde_json::{Value, json};

/// The day on which the demonstration takes place.
pub const TODAY: &str = "2026-03-20";
/// The first day of the month that is invoiced.
pub const MONTH: &str = "2026-03-01";
/// The first day after it.
pub const NEXT_MONTH: &str = "2026-04-01";
/// The catalog item of the cancellation fee.
pub const FEE_ITEM: i64 = 190;

/// A company and what happens to its subscriptions in the month.
#[derive(Clone, Copy, Debug)]
pub struct Company {
    /// Its place in the list; ids are made from it.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
    /// The currency of its agreements.
    pub currency: Currency,
    /// Seats of the office suite at the beginning.
    pub seats: i64,
    /// What happens in the month.
    pub events: &'static [Event],
}

/// The three currencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Currency {
    /// US dollar.
    Usd,
    /// Euro.
    Eur,
    /// Pound sterling.
    Gbp,
}

impl Currency {
    /// The code of ISO 4217.
    pub fn code(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
        }
    }

    /// Its id in the sandbox.
    fn id(self) -> i64 {
        match self {
            Self::Usd => 1,
            Self::Eur => 2,
            Self::Gbp => 3,
        }
    }
}

/// What happens at a company in the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The suite is sold on this day of the month, not on the first.
    Starts(i8),
    /// The sale has a setup fee.
    Setup,
    /// On a day, so many seats more.
    Grows(i8, i64),
    /// So many units of storage are used, and billed by a billing order.
    Uses(i64),
    /// The suite is cancelled on a day, with a fee and the last overuse.
    Cancels(i8),
    /// A yearly subscription is renewed: seats before and after.
    Renews(i64, i64),
    /// So many telephone lines, which go to another company on a day.
    HandsOver(i64, i8, i64),
    /// The addition of the suite was made by hand before.
    ByHand,
}

use Currency::{Eur, Gbp, Usd};
use Event::{ByHand, Cancels, Grows, HandsOver, Renews, Setup, Starts, Uses};

const fn company(
    number: i64,
    name: &'static str,
    currency: Currency,
    seats: i64,
    events: &'static [Event],
) -> Company {
    Company { number, name, currency, seats, events }
}

/// The companies.
pub const COMPANIES: [Company; 20] = [
    company(1, "Alder Street Dental", Usd, 12, &[Renews(10, 12)]),
    company(2, "Brightwater Logistics", Eur, 34, &[Setup]),
    company(3, "Cobalt Yard Brewing", Gbp, 9, &[Grows(15, 3)]),
    company(4, "Dunmore Accountants", Usd, 21, &[Uses(140)]),
    company(5, "Elmfield Schools", Eur, 85, &[Starts(10)]),
    company(6, "Fernhill Veterinary", Gbp, 7, &[Setup, Grows(9, 2), Renews(4, 4)]),
    company(7, "Granite Bay Surveyors", Usd, 15, &[Cancels(12)]),
    company(8, "Harrow Lane Architects", Eur, 18, &[Uses(65)]),
    company(9, "Inverness Seafoods", Gbp, 27, &[Grows(19, 5), Setup]),
    company(10, "Juniper Home Care", Usd, 44, &[Setup, Starts(17)]),
    company(11, "Kestrel Print Works", Eur, 11, &[Renews(6, 8)]),
    company(12, "Lindenhof Law", Gbp, 23, &[Grows(12, 4)]),
    company(13, "Marlow & Finch", Usd, 6, &[Uses(310)]),
    company(14, "Northgate Motors", Eur, 31, &[Cancels(19), Setup]),
    company(15, "Orchard Row Bakery", Gbp, 5, &[Starts(6)]),
    company(16, "Pinecrest Realty", Usd, 16, &[]),
    company(17, "Quayside Hotels", Eur, 58, &[HandsOver(20, 15, 20)]),
    company(18, "Redbrick Recruiting", Gbp, 13, &[Grows(5, 2), Grows(18, 4)]),
    company(19, "Silverton Clinics", Usd, 29, &[ByHand]),
    company(20, "Tidewater Hospitality", Eur, 40, &[]),
];

/// Companies that the marketplace wins after the invoiced month: nobody has mapped them.
pub const NEWCOMERS: [Company; 2] =
    [company(21, "Sable Coast Diving", Usd, 14, &[]), company(22, "Wren & Partners", Eur, 9, &[])];

impl Company {
    /// Its id at the marketplace.
    pub fn customer(&self) -> String {
        customer(self.number)
    }

    /// The agreement that is invoiced each month.
    pub fn monthly(&self) -> i64 {
        1_000 + self.number
    }

    /// The agreement that is invoiced each year, where it has one.
    pub fn yearly(&self) -> Option<i64> {
        self.events.iter().any(|e| matches!(e, Renews(..))).then_some(2_000 + self.number)
    }

    /// Its agreements.
    pub fn agreements(&self) -> impl Iterator<Item = i64> + use<> {
        std::iter::once(self.monthly()).chain(self.yearly())
    }
}

/// The id of a customer at the marketplace.
pub fn customer(number: i64) -> String {
    format!("c-{number:02}")
}

/// A product of the marketplace and its catalog item.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Its id at the marketplace.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The kind of the feed.
    pub kind: &'static str,
    /// Its catalog item.
    pub item: i64,
    /// Prices in cents: US dollar, euro, pound.
    cents: [i64; 3],
}

impl Product {
    /// The price of a unit for a whole period.
    pub fn price(&self, currency: Currency) -> Decimal {
        let [usd, eur, gbp] = self.cents;
        let cents = match currency {
            Usd => usd,
            Eur => eur,
            Gbp => gbp,
        };
        Decimal::new(cents, 2)
    }

    /// What the seller pays: four fifths.
    pub fn cost(&self, currency: Currency) -> Decimal {
        crate::demo::orders::cents(self.price(currency) * Decimal::new(8, 1))
    }
}

/// The office suite, by the month.
pub const SUITE: Product =
    Product { id: "suite", name: "Office Suite", kind: "seat", item: 101, cents: [2_200, 2_040, 1_790] };
/// The office suite, by the year.
pub const SUITE_YEAR: Product = Product {
    id: "suite-year",
    name: "Office Suite Annual",
    kind: "seat",
    item: 102,
    cents: [24_200, 22_440, 19_690],
};
/// Telephone lines.
pub const PHONE: Product =
    Product { id: "phone", name: "Cloud Telephone Line", kind: "seat", item: 103, cents: [815, 755, 660] };
/// Storage by use.
pub const STORAGE: Product =
    Product { id: "storage", name: "Backup Storage (GB)", kind: "metered", item: 104, cents: [12, 11, 9] };
/// Setting a customer up.
pub const ONBOARDING: Product = Product {
    id: "onboarding",
    name: "Onboarding",
    kind: "one_time",
    item: 105,
    cents: [7_500, 6_900, 5_900],
};
/// A product that the marketplace begins to sell after the invoiced month.
pub const VAULT: Product =
    Product { id: "vault", name: "Password Vault", kind: "seat", item: 106, cents: [390, 360, 315] };
/// The fee of a cancellation. The marketplace's product is not mapped; the fee is.
pub const FEE: Product = Product {
    id: "early-termination",
    name: "Cancellation Fee",
    kind: "one_time",
    item: FEE_ITEM,
    cents: [5_000, 4_500, 4_000],
};

/// All products.
pub const PRODUCTS: [Product; 6] = [SUITE, SUITE_YEAR, PHONE, STORAGE, ONBOARDING, FEE];

/// A JSON number with the digits of the amount.
fn number(amount: Decimal) -> Value {
    amount.to_string().parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}

/// What ConnectWise holds at the beginning.
pub fn seed() -> Value {
    let mut companies = Vec::new();
    let mut contacts = Vec::new();
    let mut agreements = Vec::new();
    let mut additions = serde_json::Map::new();
    for company in COMPANIES.iter().chain(&NEWCOMERS) {
        let id = company.number;
        let identifier: String = company.name.chars().filter(char::is_ascii_alphanumeric).collect();
        companies.push(json!({"id": id, "identifier": identifier, "name": company.name}));
        contacts
            .push(json!({"id": id, "firstName": "Accounts", "lastName": "Payable", "company": {"id": id}}));
        agreements.push(agreement(company, company.monthly(), "Cloud monthly", 2, "2026-01-01"));
        if let Some(yearly) = company.yearly() {
            agreements.push(agreement(company, yearly, "Cloud yearly", 7, "2025-03-01"));
        }
        for event in company.events {
            let line = match event {
                ByHand => addition(company, company.monthly(), SUITE, company.seats, MONTH),
                Renews(before, _) => {
                    addition(company, 2_000 + company.number, SUITE_YEAR, *before, "2025-03-01")
                }
                Starts(_) | Setup | Grows(..) | Uses(_) | Cancels(_) | HandsOver(..) => continue,
            };
            let (agreement, line) = line;
            additions.insert(agreement.to_string(), json!([line]));
        }
    }
    json!({"today": TODAY, "resources": {
        "company/companies": companies,
        "company/contacts": contacts,
        "procurement/catalog": PRODUCTS.iter().chain([&VAULT]).map(item).collect::<Vec<_>>(),
        "finance/agreements": agreements,
        "finance/agreements/{id}/additions": additions,
    }})
}

fn item(product: &Product) -> Value {
    json!({
        "id": product.item, "identifier": product.id.to_uppercase(), "description": product.name,
        "customerDescription": product.name, "subcategory": {"id": 1}, "type": {"id": 1},
        "price": number(product.price(Usd)), "cost": number(product.cost(Usd)),
    })
}

fn agreement(company: &Company, id: i64, name: &str, cycle: i64, start: &str) -> Value {
    let values = [
        ("NAME", name.to_owned()),
        ("COMPANY", company.number.to_string()),
        ("STARTT", format!("{start}T")),
        ("MONTH", MONTH.to_owned()),
        ("CYCLE", cycle.to_string()),
        ("CURRENCY", company.currency.id().to_string()),
        ("ID", id.to_string()),
    ];
    filled(include_str!("agreement.json"), &values)
}

fn addition(company: &Company, agreement: i64, product: Product, quantity: i64, from: &str) -> (i64, Value) {
    let values = [
        ("ITEM", product.item.to_string()),
        ("QUANTITY", quantity.to_string()),
        ("PRICE", product.price(company.currency).to_string()),
        ("COST", product.cost(company.currency).to_string()),
        ("FROMT", format!("{from}T")),
        ("ID", (5_000 + agreement).to_string()),
    ];
    (agreement, filled(include_str!("addition.json"), &values))
}

/// A record of a template. A template that does not fit gives null, which the sandbox refuses by name.
fn filled(template: &str, values: &[(&str, String)]) -> Value {
    let text = values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// The mappings, as the file that `trueup mapping import` takes.
pub fn mappings() -> String {
    let mut text = String::from("kind,source_id,psa_id,scope,options\n");
    for company in &COMPANIES {
        text.push_str(&format!("customer,{},{},,\n", company.customer(), company.number));
    }
    for product in PRODUCTS.iter().filter(|p| p.id != FEE.id) {
        text.push_str(&format!("product,{},{},,\n", product.id, product.item));
    }
    text.push_str(&format!("fee,cancellation,{FEE_ITEM},,\n"));
    text
}
