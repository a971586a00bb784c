//! The pull of what changed, against the sandbox over HTTP: what it sees, when, and at the price of how many calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "the command line's tests use all of it")]
mod bench;
#[path = "delta/recent.rs"]
mod recent;

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tempfile::TempDir;
use trueup_connectwise::adapter::PsaAdapter;
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::{ClientConfig, ConnectWiseClient, Credentials};
use trueup_domain::ids::{AdditionId, AgreementId, OrganizationId, SourceId};
use trueup_domain::plan::{Field, FieldChange};
use trueup_domain::psa::Snapshot;
use trueup_engine::failure::Failure;
use trueup_engine::feed::{Destination, import};
use trueup_engine::observe::{OVERLAP_MS, Pulled, Reach, pull};
use trueup_engine::ports::{Clock, Psa, Store, WriteStyle};
use trueup_engine::presence;
use trueup_engine::records::{Millis, NewAuditEntry, PictureState, PulledEnd, Seen};
use trueup_sandbox::{Sandbox, SandboxConfig};
use trueup_sources::{FeedFormat, FeedOptions, incoming, read_feed};
use trueup_store::{Run, SqlStore, StoreConfig};

const DAY: Millis = 86_400_000;
const ROTATION: u32 = 3;
const CHANGED: Reach = Reach::Changed { rotation: ROTATION };

/// A clock that stands.
struct At(Millis);

#[async_trait::async_trait]
impl Clock for At {
    fn now(&self) -> Millis {
        self.0
    }

    fn today(&self) -> jiff::civil::Date {
        Timestamp::from_millisecond(self.0).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    async fn sleep_until(&self, _at: Millis) {}
}

/// A sandbox whose records are old, a store, and a client between them.
struct World {
    sandbox: Sandbox,
    psa: PsaAdapter,
    store: SqlStore,
    org: OrganizationId,
    _dir: TempDir,
}

fn agreement(id: i64, changed: &str) -> Value {
    json!({"id": id, "name": format!("Cloud {id}"), "type": {"name": "Cloud Services"}, "company": {"id": 12},
        "contact": {"id": 5}, "startDate": "2025-01-01T00:00:00Z", "billStartDate": "2025-01-01T00:00:00Z",
        "nextInvoiceDate": "2025-01-01T00:00:00Z", "billingCycle": {"id": 2}, "_info": {"lastUpdated": changed}})
}

impl World {
    /// So many agreements, from id 1 on, with one addition each.
    async fn new(agreements: i64) -> Self {
        let additions: serde_json::Map<String, Value> = (1..=agreements)
            .map(|id| {
                let addition = json!([{"id": id * 10, "product": {"id": 7}, "quantity": 1.0, "unitPrice": 22.0,
                    "unitCost": 17.6, "billCustomer": "Billable", "effectiveDate": "2025-01-01T00:00:00Z"}]);
                (id.to_string(), addition)
            })
            .collect();
        let seed = json!({"today": "2026-03-10", "resources": {
            "company/companies": [{"id": 12, "identifier": "GreenLane", "name": "Green Lane LLC"}],
            "company/contacts": [{"id": 5, "firstName": "Ada", "lastName": "Byron", "company": {"id": 12}}],
            "procurement/catalog": [{"id": 7, "identifier": "EXO-P1", "description": "Mail",
                "customerDescription": "Mail", "subcategory": {"id": 1}, "type": {"id": 1}, "price": 22.0,
                "cost": 17.6}],
            "finance/agreements": (1..=agreements).map(|id| agreement(id, "2026-01-05T00:00:00Z")).collect::<Vec<_>>(),
            "finance/agreements/{id}/additions": additions,
        }});
        let config = SandboxConfig { seed: Some(seed), ..SandboxConfig::default() };
        let sandbox = trueup_sandbox::start(config).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let database_url = bench::postgres::Server::database();
        let store = SqlStore::open(StoreConfig { data_dir: dir.path().to_owned(), database_url });
        let (psa, store) = (psa_of(&sandbox, 1_000), store.await.unwrap());
        Self { sandbox, psa, store, org: OrganizationId::from("a"), _dir: dir }
    }

    async fn try_pull(&self, at: Millis, reach: Reach) -> Result<Pulled, Failure> {
        pull(&self.psa, &self.store, &At(at), &self.org, "main", reach).await
    }

    async fn pull(&self, at: Millis, reach: Reach) -> Pulled {
        self.try_pull(at, reach).await.unwrap()
    }

    async fn picture(&self) -> Snapshot {
        self.store.load_snapshot(&self.org, "main").await.unwrap().unwrap().1
    }

    async fn state(&self) -> PictureState {
        self.store.load_picture_state(&self.org, "main").await.unwrap().unwrap()
    }

    /// As if the last pull had begun at that instant of the server.
    async fn pretend(&self, watermark: Option<Millis>) {
        let state = PictureState { watermark, ..self.state().await };
        self.store.begin_pull(&self.org, "main", "pretended").await.unwrap();
        let lists = Snapshot { additions: [].into(), agreements: [].into(), ..self.picture().await };
        self.store.stage_pull(&self.org, "main", "pretended", 0, &lists).await.unwrap();
        let end = PulledEnd { state, whole: false, lists: true, gone: Vec::new(), unread: Vec::new() };
        self.store.finish_pull(&self.org, "main", "pretended", &end).await.unwrap();
    }

    /// A person renames an agreement at an instant of the server's clock.
    fn rename(&self, id: i64, at: &str) {
        let mut record = agreement(id, at);
        record["name"] = "Renamed".into();
        self.sandbox.control().load(&json!({"resources": {"finance/agreements": [record]}})).unwrap();
    }

    /// A person sets the quantity of the addition on an agreement.
    async fn edit_addition(&self, agreement: i64, quantity: i64) {
        self.set_quantity(agreement, agreement * 10, quantity).await;
    }

    /// A person sets the quantity of an addition.
    async fn set_quantity(&self, agreement: i64, addition: i64, quantity: i64) {
        let (id, addition) = (AgreementId(agreement), AdditionId(addition));
        let all = self.psa.list_additions(id).await.unwrap();
        let mut state = all.into_iter().find(|a| a.id == addition).unwrap().state;
        state.quantity = quantity.into();
        let change = FieldChange { field: Field::Quantity, from: None, to: Some(quantity.to_string()) };
        self.psa.update_addition(id, addition, &state, &[change]).await.unwrap();
    }

    async fn quantity_known(&self, agreement: i64) -> String {
        self.picture().await.additions_of(AgreementId(agreement))[0].state.quantity.to_string()
    }

    async fn names_known(&self) -> Vec<i64> {
        let picture = self.picture().await;
        picture.agreements.values().filter(|a| a.name == "Renamed").map(|a| a.id.0).collect()
    }

    /// The agreements whose additions were asked for since the journal was cleared.
    fn asked_for(&self) -> BTreeSet<i64> {
        let journal = self.sandbox.control().journal();
        let paths = journal.as_array().unwrap().iter().filter_map(|entry| entry["path"].as_str());
        paths.filter_map(|path| path.strip_suffix("/additions")?.rsplit('/').next()?.parse().ok()).collect()
    }

    fn calls(&self) -> i64 {
        self.sandbox.control().journal_summary()["total"].as_i64().unwrap()
    }
}

fn psa_of(sandbox: &Sandbox, page_size: u32) -> PsaAdapter {
    let credentials = Credentials {
        company: sandbox.company().to_owned(),
        public_key: sandbox.public_key().to_owned(),
        private_key: sandbox.private_key().to_owned().into(),
        client_id: sandbox.client_id().to_owned(),
    };
    let mut config = ClientConfig::new(sandbox.url(), credentials);
    config.allowed = AllowedHosts { loopback: true, ..AllowedHosts::default() };
    config.page_size = page_size;
    PsaAdapter::new(ConnectWiseClient::new(config).unwrap(), WriteStyle::default())
}

fn millis(instant: &str) -> Millis {
    instant.parse::<Timestamp>().unwrap().as_millisecond()
}

#[tokio::test]
async fn the_first_pull_is_whole_and_costs_one_call_an_agreement() {
    let world = World::new(60).await;
    let pulled = world.pull(0, CHANGED).await;
    assert!(pulled.whole);
    // The sandbox has a company of its own.
    assert_eq!((pulled.read, pulled.companies, pulled.catalog_items), (60, 2, 1));
    assert_eq!(pulled.different, 60);
    // companyinfo, companies, catalog, agreements, cycles; and what the member may see: members, roles, and what each of
    // the two roles allows
    assert_eq!(world.calls(), 60 + 5 + 4);
    let picture = world.picture().await;
    assert_eq!((picture.agreements.len(), picture.additions.len()), (60, 60));
    // The server's own time, not the one that the pull was told.
    let state = world.state().await;
    assert!(state.watermark.unwrap() - millis("2026-03-10T00:00:00Z") < 600_000, "{state:?}");
    assert_eq!((state.at, state.runs), (0, 1));
}

#[tokio::test]
async fn nothing_changed_and_every_agreement_is_read_in_its_turn() {
    let world = World::new(60).await;
    world.pull(0, Reach::Whole).await;
    let mut seen = BTreeSet::new();
    for run in 1..=i64::from(ROTATION) {
        world.sandbox.control().clear_journal();
        let pulled = world.pull(run, CHANGED).await;
        assert!(!pulled.whole);
        assert_eq!((pulled.changed, pulled.in_turn, pulled.read, pulled.different), (0, 20, 20, 0));
        // companies, catalog, what changed, the records of those in turn
        assert_eq!(world.calls(), 20 + 4);
        seen.extend(world.asked_for());
    }
    assert_eq!(seen, (1..=60).collect());
    // What was not read keeps the instant of its reading.
    let times = world.store.list_picture_agreements(&world.org, "main").await.unwrap();
    let times: BTreeSet<i64> = times.into_values().flatten().collect();
    assert_eq!(times, [1, 2, 3].into());
}

/// The local clock has no say: a day ahead or behind, before or after, what changed at the server is seen.
#[tokio::test]
async fn a_local_clock_that_is_a_day_off_hides_nothing() {
    for (first, second) in [(DAY, -DAY), (-DAY, DAY), (DAY, DAY), (-DAY, -DAY)] {
        let world = World::new(30).await;
        let now = millis("2026-03-10T12:00:00Z");
        world.pull(now + first, Reach::Whole).await;
        let not_in_turn = 3;
        world.rename(not_in_turn, "2026-03-10T00:00:01Z");
        let pulled = world.pull(now + second, CHANGED).await;
        assert_eq!(pulled.changed, 1);
        assert!(world.names_known().await.contains(&not_in_turn), "{first} {second}");
    }
}

#[tokio::test]
async fn an_edit_at_the_boundary_second_is_seen() {
    let world = World::new(30).await;
    world.pull(0, Reach::Whole).await;
    let edited = "2026-02-10T10:00:00Z";
    world.rename(2, edited);
    let at = millis(edited);
    for (watermark, seen) in [
        (at + OVERLAP_MS - 1_000, true),
        (at + OVERLAP_MS, true),
        // Not a whole second: the condition goes down to the second in which it lies.
        (at + OVERLAP_MS + 999, true),
        (at + OVERLAP_MS + 1_000, false),
    ] {
        world.pretend(Some(watermark)).await;
        let pulled = world.pull(0, Reach::Changed { rotation: 366 }).await;
        assert_eq!(pulled.changed, usize::from(seen), "{}", watermark - at);
    }
    assert_eq!(world.names_known().await, [2]);
}

#[tokio::test]
async fn an_edit_in_the_very_second_of_a_pull_is_seen_by_the_next() {
    let world = World::new(30).await;
    world.pull(0, Reach::Whole).await;
    let second = Timestamp::from_millisecond(world.state().await.watermark.unwrap()).unwrap();
    world.rename(3, &second.to_string());
    assert_eq!(world.pull(0, CHANGED).await.changed, 1);
    assert_eq!(world.names_known().await, [3]);
}

/// Editing an addition leaves its agreement's own instant of change where it is.
#[tokio::test]
async fn an_edited_addition_is_seen_within_a_rotation() {
    let world = World::new(9).await;
    world.pull(0, Reach::Whole).await;
    for agreement in 1..=9 {
        world.edit_addition(agreement, 40 + agreement).await;
    }
    let mut different = 0;
    for run in 0..ROTATION {
        let pulled = world.pull(0, CHANGED).await;
        assert_eq!((pulled.changed, pulled.different), (0, 3), "run {run}");
        different += pulled.different;
    }
    assert_eq!(different, 9);
    for agreement in 1..=9 {
        assert_eq!(world.quantity_known(agreement).await, (40 + agreement).to_string());
    }
}

/// What a callback named is read without the others, and the rotation goes on where it was. Companies and catalog are
/// left to the pulls of schedules.
#[rstest]
#[tokio::test]
async fn a_hinted_agreement_is_read_alone_and_takes_no_turn(
    #[values(Reach::Touched, Reach::Hinted)] reach: Reach,
) {
    let world = World::new(9).await;
    if reach == Reach::Hinted {
        assert_eq!(world.pull(1, reach).await, Pulled::default(), "nothing tells what changed");
        assert!(world.store.load_picture_state(&world.org, "main").await.unwrap().is_none());
    }
    world.pull(7, Reach::Whole).await;
    for agreement in 1..=9 {
        world.edit_addition(agreement, 40 + agreement).await;
    }
    for id in [4, 404] {
        let run = Run::queued(&world.org, "pull", "callback", "{}".into(), 0);
        let entry = NewAuditEntry {
            at: 0,
            actor: "callback".into(),
            action: "run.start".into(),
            object: "run/r".into(),
            addition: None,
            detail: "{}".into(),
        };
        world.store.hint_agreement("main", AgreementId(id), &run, 60_000, &entry).await.unwrap();
    }
    let before = world.state().await;
    let lists = |picture: Snapshot| (picture.companies, picture.catalog);
    let known = lists(world.picture().await);
    let pulled = world.pull(8, reach).await;
    assert_eq!(pulled.companies, if reach == Reach::Hinted { 0 } else { 2 });
    assert_eq!(lists(world.picture().await), known);
    assert_eq!((pulled.read, pulled.changed, pulled.in_turn, pulled.different), (1, 0, 0, 1));
    assert_eq!(world.quantity_known(4).await, "44");
    let after = world.state().await;
    assert_eq!((after.runs, after.shared_at, after.at), (before.runs, Some(7), 8));
    assert!(after.watermark >= before.watermark && after.watermark.is_some());
    assert_eq!(world.pull(9, reach).await.read, 0, "it was hinted at once");
    for run in 0..ROTATION {
        world.pull(10, CHANGED).await;
        assert_eq!(world.state().await.runs, before.runs + 1 + u64::from(run));
    }
    for agreement in 1..=9 {
        assert_eq!(world.quantity_known(agreement).await, (40 + agreement).to_string());
    }
}

#[tokio::test]
async fn a_rotation_of_one_reads_everything_each_time() {
    let world = World::new(9).await;
    world.pull(0, Reach::Whole).await;
    world.edit_addition(5, 50).await;
    assert_eq!(world.pull(0, Reach::Changed { rotation: 1 }).await.read, 9);
    assert_eq!(world.quantity_known(5).await, "50");
}

#[tokio::test]
async fn a_pull_that_fails_leaves_picture_and_watermark_where_they_were() {
    let mut world = World::new(30).await;
    world.pull(7, Reach::Whole).await;
    world.psa = psa_of(&world.sandbox, 5);
    for id in 1..=12 {
        world.rename(id, "2026-03-10T00:00:01Z");
    }
    let (before, picture) = (world.state().await, world.picture().await);
    let control = world.sandbox.control();
    let failing = [
        // The second page of what changed; the list of those in turn; the additions of one agreement.
        json!({"match": {"path_contains": "finance/agreements", "query_contains": "pageId"}}),
        json!({"match": {"path_contains": "finance/agreements", "query_contains": "id%20in"}}),
        json!({"match": {"path_contains": "agreements/9/additions"}}),
        json!({"match": {"path_contains": "procurement/catalog"}}),
    ];
    for mut fault in failing {
        fault["action"] = "status_403".into();
        control.set_faults(json!({"schedule": [fault.clone()]})).unwrap();
        assert!(world.try_pull(8, CHANGED).await.is_err(), "{fault}");
        assert_eq!(world.state().await, before, "{fault}");
        assert_eq!(world.picture().await, picture, "{fault}");
    }
    control.set_faults(json!({})).unwrap();
    assert_eq!(world.pull(9, CHANGED).await.changed, 12);
    assert_eq!(world.names_known().await, (1..=12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_deleted_agreement_goes_when_it_is_its_turn_and_a_new_one_comes_at_once() {
    let world = World::new(9).await;
    world.pull(0, Reach::Whole).await;
    world.psa.client().delete("/finance/agreements/4").await.unwrap();
    world.rename(77, "2026-03-10T00:00:01Z");
    let first = world.pull(0, CHANGED).await;
    assert!(world.picture().await.agreements.contains_key(&AgreementId(77)));
    let mut gone = first.gone;
    for _ in 1..ROTATION {
        gone += world.pull(0, CHANGED).await.gone;
    }
    assert_eq!(gone, 1);
    let picture = world.picture().await;
    assert!(!picture.agreements.contains_key(&AgreementId(4)));
    assert!(!picture.additions.contains_key(&AgreementId(4)));
    assert_eq!(picture.agreements.len(), 9);
}

/// The list of additions is not there, and neither is the record: it was deleted in between.
#[tokio::test]
async fn an_agreement_that_goes_while_it_is_read_is_gone() {
    let world = World::new(9).await;
    world.pull(0, Reach::Whole).await;
    world.rename(5, "2026-03-10T00:00:01Z");
    let missing = json!({"match": {"path_contains": "agreements/5"}, "times": 9, "action": "status_404",
        "body": r#"{"code":"NotFound","message":"Agreement 5 not found"}"#});
    let control = world.sandbox.control();
    control.set_faults(json!({"schedule": [missing]})).unwrap();
    let pulled = world.pull(0, CHANGED).await;
    assert_eq!((pulled.changed, pulled.gone), (1, 1));
    assert!(!world.picture().await.agreements.contains_key(&AgreementId(5)));

    // The record is there: then nothing is concluded from the missing list.
    let contradiction = json!({"match": {"path_contains": "agreements/6/additions"}, "times": 9,
        "action": "status_404", "body": r#"{"code":"NotFound","message":"Agreement 6 not found"}"#});
    control.set_faults(json!({"schedule": [contradiction]})).unwrap();
    let error = world.try_pull(0, Reach::Whole).await.unwrap_err();
    assert!(error.to_string().contains("agreement 6"), "{error}");
    assert!(world.picture().await.agreements.contains_key(&AgreementId(6)));
}

#[tokio::test]
async fn without_the_servers_time_everything_is_read() {
    let world = World::new(9).await;
    world.pull(0, Reach::Whole).await;
    world.pretend(None).await;
    assert!(world.pull(0, CHANGED).await.whole);
    assert!(!world.pull(0, CHANGED).await.whole);
}

/// A source that keeps 90 days and was not read for longer may have lost orders, until a complete list came in.
#[tokio::test]
async fn a_gap_in_what_a_source_can_tell_is_said_until_it_is_closed() {
    let world = World::new(1).await;
    let source = SourceId::from("market");
    let read = async |day: Millis, lines: &'static str| {
        let to = Destination { store: Some(&world.store), org: &world.org, source: &source, at: day * DAY };
        let options =
            FeedOptions { file_name: "-".to_owned(), kind: None, format: FeedFormat::default(), path: None };
        let records = read_feed(lines.as_bytes(), options).map(|item| item.map(incoming));
        import(to, records, 10, |_| {}).await.unwrap()
    };
    let said = async || {
        let sources = BTreeSet::from([source.clone()]);
        presence::gaps(&world.store, &world.org, sources).await.unwrap()
    };
    const CUSTOMER: &str = "{\"type\":\"customer\",\"id\":\"c\",\"name\":\"C\"}\n";
    const COMPLETE: &str = "{\"type\":\"snapshot\",\"types\":[\"subscription\"],\"complete\":true,\
                            \"as_of\":\"2026-01-01T00:00:00Z\"}\n";
    read(1_000, CUSTOMER).await;
    read(1_200, CUSTOMER).await;
    assert_eq!(said().await, [], "nobody says that the source forgets");
    world.store.save_setting(&world.org, "source.keeps_days", Seen::Any, Some("90")).await.unwrap();
    read(1_290, CUSTOMER).await;
    assert_eq!(said().await, []);
    let report = read(1_381, CUSTOMER).await;
    assert_eq!(report.warnings[0].code, "TU8005", "{report:?}");
    let gap = said().await;
    assert_eq!(gap.len(), 1);
    // It is told while nobody reads as well: as a warning once half of the days are over, then as an error.
    let unread = async |day: Millis| {
        let sources = BTreeSet::from([source.clone()]);
        let found = presence::unread(&world.store, &world.org, sources, (90, day * DAY)).await.unwrap();
        found.iter().map(|f| f.severity.name()).collect::<Vec<_>>()
    };
    assert_eq!(unread(1_381 + 44).await, [""; 0]);
    assert_eq!(unread(1_381 + 45).await, ["warning"]);
    assert_eq!(unread(1_381 + 89).await, ["warning"]);
    assert_eq!(unread(1_381 + 90).await, ["error"]);
    assert!(gap[0].message.contains("between 1973-07-14 and 1973-10-13"), "{gap:?}");
    // Reading on does not bring back what is missing.
    assert_eq!(read(1_382, CUSTOMER).await.warnings, []);
    assert_eq!(said().await.len(), 1);
    read(1_383, COMPLETE).await;
    assert_eq!(said().await, []);
}

#[test]
fn the_command_reads_what_changed_and_says_so() {
    let mut bench = bench::Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let first = bench.json(&["psa", "pull", "--changed"]).exits(0).json();
    assert_eq!((&first["whole"], &first["agreements_read"]), (&json!(true), &json!(1)));
    let again = bench.json(&["psa", "pull", "--changed", "--set", "observe.rotation=1"]).exits(0).json();
    assert_eq!(
        (&again["whole"], &again["agreements"], &again["agreements_read"]),
        (&json!(false), &json!(1), &json!(1))
    );
    bench.json(&["psa", "pull", "--changed", "--set", "observe.rotation=0"]).exits(2);
    let help = bench.run(&["psa", "pull", "--help"]).exits(0).out;
    assert!(help.contains("observe.rotation"), "{help}");
}

/// A pull of what changed need not read an agreement that trueup has just written to: that is no reason to accuse people.
#[test]
fn what_trueup_wrote_after_the_last_read_is_nobodys_edit() {
    let mut bench = bench::Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    // Nobody has touched the agreement itself for long.
    let mut agreements = bench.ask("state")["resources"]["finance/agreements"].clone();
    agreements[0]["_info"] = json!({ "lastUpdated": "2023-01-01T00:00:00Z" });
    bench.control("seed", &json!({ "resources": { "finance/agreements": agreements } }));
    bench.feed(&format!("{}{}", bench::BASE, bench::sale())).exits(0);
    bench.map(bench::MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let told = || {
        let findings = bench.json(&["finding", "list"]).exits(0).json();
        let codes: Vec<String> = findings["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect();
        codes
    };
    let pulled = bench.json(&["psa", "pull", "--changed", "--set", "observe.rotation=100"]).exits(0).json();
    assert_eq!(pulled["agreements_read"], 0, "{pulled}");
    assert_eq!(told(), Vec::<String>::new());
    // Once it is read, what people did counts.
    let line = bench.ask("state")["resources"]["finance/agreements/{id}/additions"]["40"][0]["id"].clone();
    bench.by_hand("DELETE", &format!("finance/agreements/40/additions/{line}"), &json!({}));
    bench.json(&["psa", "pull"]).exits(0);
    assert_eq!(told(), ["TU3008"]);
}
