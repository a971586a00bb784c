//! Where a year happens: a sandbox behind a wire, a store, the customers, and what was set at the beginning.

use super::bug::Bug;
use super::clock::StormClock;
use super::counts::{ITEMS, SERVICES, item_of, rules};
use super::http::Conn;
use super::psa::StormPsa;
use super::rng::Rng;
use super::store::StormStore;
use super::wire::{Net, Terrain};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use jiff::civil::{Date, date};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use trueup_connectwise::adapter::PsaAdapter;
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::{ClientConfig, ConnectWiseClient, Credentials};
use trueup_domain::ids::{CatalogItemId, CustomerId, OrganizationId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::settings::Settings;
use trueup_engine::alerts::{self, Setting, Wish};
use trueup_engine::feed::{BATCH, Destination, ImportReport, import};
use trueup_engine::mappings::Site;
use trueup_engine::ports::{Clock, Store, WriteStyle};
use trueup_engine::quantity::{self, WhichItem};
use trueup_engine::settings::Overlays;
use trueup_sandbox::{Sandbox, SandboxConfig};
use trueup_sources::{FeedFormat, FeedOptions, incoming, read_feed};
use trueup_store::{SqlStore, StoreConfig};

/// The first day: a leap year has every kind of month.
pub const FIRST: Date = date(2024, 1, 1);
/// Customers.
pub const CUSTOMERS: usize = 5;
/// Customers with a second agreement.
pub const TWO_AGREEMENTS: usize = 2;
/// What means nothing to trueup.
pub const FOREIGN: i64 = 90;
/// The tenant that item ids belong to.
pub const TENANT: &str = "year|training";

/// The company of a customer.
pub fn company(customer: usize) -> i64 {
    101 + i64::try_from(customer).unwrap()
}

/// The first agreement of a customer.
pub fn agreement(customer: usize) -> i64 {
    201 + i64::try_from(customer).unwrap()
}

/// Everything in which a year happens.
pub struct Desk {
    pub seed: u64,
    pub sandbox: Sandbox,
    pub net: Arc<Net>,
    wire: String,
    pub clock: StormClock,
    pub store: StormStore,
    pub org: OrganizationId,
    pub source: SourceId,
    pub settings: Settings,
    pub overlays: Overlays,
    page_size: u32,
    _dir: TempDir,
}

fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

impl Desk {
    pub async fn new(seed: u64, rng: &mut Rng) -> Self {
        let config = SandboxConfig { port: 0, seed: Some(world()), today: Some(FIRST.to_string()) };
        let sandbox = trueup_sandbox::start(config).await.unwrap();
        sandbox.control().set_rules(json!({"delete_invoiced_addition": true})).unwrap();
        let terrain = Terrain {
            agreements: (0..CUSTOMERS).map(|n| (agreement(n), n >= 3)).collect(),
            foreign_item: FOREIGN,
        };
        let nobody = "127.0.0.1:9".parse().unwrap();
        let net = Net::new(seed, &sandbox, nobody, None::<Bug>, terrain);
        net.advance(FIRST.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond()).await;
        let wire = format!("http://{}", net.listen().await);
        let dir = temporary();
        let config = StoreConfig { data_dir: dir.path().to_owned(), database_url: None };
        let inner = Arc::new(SqlStore::open(config).await.unwrap());
        let overlays = Overlays {
            flags: BTreeMap::from([
                ("quantity.adopt".to_owned(), (if rng.chance(500) { "take" } else { "propose" }).to_owned()),
                (
                    "quantity.decrease".to_owned(),
                    (if rng.chance(700) { "follow" } else { "hold" }).to_owned(),
                ),
                // Where it is a day earlier for most of the night, a day later for most of the day, or neither.
                (
                    "schedule.time_zone".to_owned(),
                    ["Pacific/Auckland", "America/Los_Angeles", "UTC"][usize::try_from(seed % 3).unwrap()]
                        .to_owned(),
                ),
            ]),
            ..Overlays::default()
        };
        let desk = Self {
            seed,
            sandbox,
            wire,
            clock: StormClock { net: Arc::clone(&net), day: None },
            store: StormStore::new(inner, &net, None),
            net,
            org: "default".into(),
            source: "counted".into(),
            settings: Settings::from_values(&overlays.flags).unwrap(),
            overlays,
            page_size: u32::try_from(rng.within(2, 9)).unwrap(),
            _dir: dir,
        };
        desk.set_up().await;
        desk
    }

    /// Everything that people set once.
    async fn set_up(&self) {
        self.store.ensure_organization(&self.org).await.unwrap();
        let mut feed = String::new();
        for n in 0..CUSTOMERS {
            feed.push_str(&format!(
                "{}\n",
                json!({"type": "customer", "id": format!("c-{n}"), "name": format!("Customer {n}")})
            ));
        }
        for service in SERVICES {
            feed.push_str(&format!("{}\n", json!({"type": "product", "id": service, "name": service})));
        }
        assert!(!self.take_in(&feed).await.has_refusals());
        for n in 0..CUSTOMERS {
            // The last one is linked to its company later.
            if n + 1 < CUSTOMERS {
                self.link(n, agreement(n)).await;
            }
        }
        let psa = self.psa();
        for (item, rule) in rules() {
            let rule = serde_json::from_value(rule).unwrap();
            let item = WhichItem::Item(CatalogItemId(item));
            let item = quantity::ruled_item(self.site(), (&psa, TENANT), &self.source, &item).await.unwrap();
            quantity::set_rule(self.site(), &self.source, &item, None, rule).await.unwrap();
        }
        for service in SERVICES {
            let (id, wanted) = (service.into(), WhichItem::Item(CatalogItemId(item_of(service))));
            quantity::assign(self.site(), (&psa, TENANT), &self.source, (&id, None), Some(&wanted), false)
                .await
                .unwrap();
        }
        self.rule("*", &[("psa", "on"), ("board", "Alerts")]).await;
        self.rule("quota_reached", &[("quiet_hours", "22:00-06:00")]).await;
        self.rule("account_locked", &[("reopen_closed", "on")]).await;
        self.rule("disk_usage", &[("close_when_cleared", "off")]).await;
        self.rule("sync_conflict", &[("board", "Conflicts")]).await;
    }

    pub fn site(&self) -> Site<'_> {
        Site {
            store: &self.store,
            clock: &self.clock,
            org: &self.org,
            actor: "ann",
            overlays: &self.overlays,
        }
    }

    /// Links a customer to its company, and to an agreement of it.
    pub async fn link(&self, customer: usize, agreement: i64) {
        let mapping = |kind: MappingKind, id: String, psa_id: i64| Mapping {
            kind,
            source: self.source.clone(),
            source_id: id,
            psa_id: Some(psa_id),
            scope: String::new(),
            options: BTreeMap::new(),
            origin: MappingOrigin::Person,
        };
        let rows = [
            mapping(MappingKind::Customer, format!("c-{customer}"), company(customer)),
            mapping(MappingKind::Agreement, format!("customer:c-{customer}"), agreement),
        ];
        self.store.save_mappings(&self.org, self.clock.now(), &rows).await.unwrap();
    }

    /// Sets values of an alert rule.
    pub async fn rule(&self, kind: &str, values: &[(&str, &str)]) {
        let psa = self.psa();
        let wish = Wish { kind: kind.to_owned(), severity: None };
        let settings: Vec<Setting> = values
            .iter()
            .map(|(key, value)| {
                (trueup_domain::alert::Field::from_key(key).unwrap(), Some((*value).to_owned()))
            })
            .collect();
        let saved = alerts::set(self.site(), Some(&psa), &wish, &settings).await;
        assert!(saved.is_ok(), "{saved:?}\n{}", self.net.story());
    }

    /// Says that a new line is meant, or which addition is the line.
    pub async fn pick(&self, customer: usize, item: i64, addition: Option<i64>) {
        let who = CustomerId::from(format!("c-{customer}").as_str());
        let addition = addition.map(trueup_domain::ids::AdditionId);
        let psa = self.psa();
        quantity::pick(self.site(), (&psa, TENANT), &self.source, &who, CatalogItemId(item), addition)
            .await
            .unwrap();
    }

    /// Switches a customer on or off.
    pub async fn switch(&self, customer: usize, on: bool) {
        let who = CustomerId::from(format!("c-{customer}").as_str());
        quantity::set_customer(self.site(), &self.source, &who, on, None).await.unwrap();
    }

    pub async fn take_in(&self, lines: &str) -> ImportReport {
        let options =
            FeedOptions { file_name: "-".to_owned(), kind: None, format: FeedFormat::default(), path: None };
        let records: Vec<_> = read_feed(lines.as_bytes(), options).map(|item| item.map(incoming)).collect();
        let to = Destination {
            store: Some(&self.store),
            org: &self.org,
            source: &self.source,
            at: self.clock.now(),
        };
        import(to, records.into_iter(), BATCH, |_| {}).await.unwrap()
    }

    pub fn psa(&self) -> StormPsa {
        let credentials = Credentials {
            company: self.sandbox.company().to_owned(),
            public_key: self.sandbox.public_key().to_owned(),
            private_key: self.sandbox.private_key().to_owned().into(),
            client_id: self.sandbox.client_id().to_owned(),
        };
        let mut config = ClientConfig::new(self.wire.clone(), credentials);
        config.allowed = AllowedHosts { loopback: true, ..AllowedHosts::default() };
        config.page_size = self.page_size;
        // The client's waits are real ones, unlike the engine's. Only in bad weather is nobody there to answer.
        config.attempt_timeout = Duration::from_millis(if self.net.is_wild() { 150 } else { 10_000 });
        config.deadline = Duration::from_secs(10);
        config.retry_base = Duration::from_millis(1);
        config.limiter.backoff_base = Duration::from_millis(1);
        config.limiter.backoff_cap = Duration::from_millis(4);
        let client = ConnectWiseClient::new(config).unwrap();
        let inner = PsaAdapter::new(client, WriteStyle::default());
        StormPsa { inner, net: Arc::clone(&self.net), bug: None }
    }

    /// What a person called ann does in ConnectWise, past the wire.
    pub async fn by_hand(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let address = self.net.upstream;
        let user = format!(
            "{}+{}:{}",
            self.sandbox.company(),
            self.sandbox.public_key(),
            self.sandbox.private_key()
        );
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let text = format!(
            "{method} /v4_6_release/apis/3.0/{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {}\r\n\
             clientid: {}\r\nx-sandbox-person: ann\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            BASE64.encode(user),
            self.sandbox.client_id(),
            body.len()
        );
        let mut conn = Conn::new(tokio::net::TcpStream::connect(address).await.unwrap());
        conn.send(text.as_bytes()).await.unwrap();
        let response = conn.response().await.unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    /// A list of ConnectWise, whole.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for page in 1.. {
            let joint = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{joint}pageSize=1000&page={page}&orderBy=id%20asc");
            let (status, rows) = self.by_hand("GET", &path, &Value::Null).await;
            assert_eq!(status, 200, "{path}: {rows}");
            let rows = rows.as_array().unwrap();
            all.extend(rows.iter().cloned());
            if rows.len() < 1000 {
                break;
            }
        }
        all
    }

    /// The additions of an agreement.
    pub async fn additions(&self, agreement: i64) -> Vec<Value> {
        self.list(&format!("finance/agreements/{agreement}/additions")).await
    }

    /// All agreements of the customers.
    pub fn agreements(&self) -> Vec<i64> {
        (0..CUSTOMERS).map(agreement).chain((0..TWO_AGREEMENTS).map(|n| agreement(n) + 100)).collect()
    }
}

/// What ConnectWise has at the beginning.
fn world() -> Value {
    let agreement_row = |id: i64, company: i64| {
        json!({"id": id, "name": format!("Cloud {id}"), "type": {"name": "Cloud Services"}, "company": {"id": company},
            "contact": {"id": company}, "startDate": "2023-01-01T00:00:00Z", "billStartDate": "2023-03-01T00:00:00Z",
            "nextInvoiceDate": "2024-01-01", "billingCycle": {"id": 2}})
    };
    let item = |id: i64, identifier: &str, price: i64, cost: i64| {
        let money = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100).parse::<f64>().unwrap();
        json!({"id": id, "identifier": identifier, "description": identifier, "customerDescription": identifier,
            "subcategory": {"id": 1}, "type": {"id": 1}, "price": money(price), "cost": money(cost)})
    };
    let mut agreements: Vec<Value> =
        (0..CUSTOMERS).map(|n| agreement_row(agreement(n), company(n))).collect();
    agreements.extend((0..TWO_AGREEMENTS).map(|n| agreement_row(agreement(n) + 100, company(n))));
    let mut items: Vec<Value> =
        ITEMS.iter().map(|(id, name, price, cost)| item(*id, name, *price, *cost)).collect();
    items.push(item(FOREIGN, "FOREIGN", 150, 100));
    let by_hand = |id: i64, item: i64, quantity: i64, price: f64| {
        json!({"id": id, "product": {"id": item}, "quantity": quantity, "unitPrice": price, "unitCost": 1,
            "billCustomer": "Billable", "effectiveDate": "2023-03-01T00:00:00Z"})
    };
    json!({"today": FIRST.to_string(), "resources": {
        "company/companies": (0..CUSTOMERS).map(|n| json!({"id": company(n), "identifier": format!("Co{n}"),
            "name": format!("Customer {n}")})).collect::<Vec<_>>(),
        "company/contacts": (0..CUSTOMERS).map(|n| json!({"id": company(n), "firstName": "Ada",
            "lastName": "Byron", "company": {"id": company(n)}})).collect::<Vec<_>>(),
        "procurement/catalog": items,
        "finance/agreements": agreements,
        // The first customer was billed by hand so far, the second one twice for the same.
        "finance/agreements/{id}/additions": {
            "201": [by_hand(900, 7, 4, 19.99), by_hand(901, FOREIGN, 1, 3.0)],
            "202": [by_hand(902, 8, 3, 3.25), by_hand(903, 8, 2, 3.25)],
            "203": [by_hand(904, FOREIGN, 2, 3.0)],
        },
        "service/boards": [{"id": 3, "name": "Conflicts", "location": {"id": 1}, "department": {"id": 1}}],
        "service/boards/{id}/statuses": {"3": [
            {"id": 31, "name": "New", "sortOrder": 1, "displayOnBoard": true, "defaultFlag": true},
            {"id": 32, "name": "Closed", "sortOrder": 2, "closedStatus": true},
        ]},
    }})
}
