//! A run that pulls and then plans: what the pull has just read is not read once more, and nothing is built on what it
//! cannot know.

use super::{At, CHANGED, DAY, World};
use rstest::rstest;
use serde_json::json;
use std::collections::BTreeMap;
use trueup_domain::finding::Code;
use trueup_domain::ids::{AgreementId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::settings::Settings;
use trueup_engine::apply::ApplyOptions;
use trueup_engine::applying::{self, Approval, RunReport};
use trueup_engine::feed::{Destination, import};
use trueup_engine::observe::{Reach, Trust};
use trueup_engine::planning::{Choice, PlanRequest};
use trueup_engine::ports::{Psa, Store};
use trueup_engine::records::{Millis, Seen};
use trueup_engine::tasks;
use trueup_sources::{FeedFormat, FeedOptions, incoming, read_feed};

/// Noon of 2026-03-10.
const NOON: Millis = 20_522 * DAY + DAY / 2;
const MINUTE: Millis = 60_000;
/// One customer has the same product on several agreements here.
const SEVERAL: (&str, &str) = ("mapping.product_agreement", "many");

impl World {
    /// For each of these agreements the customer bought five seats, which are billed on it.
    async fn sold(&self, agreements: impl IntoIterator<Item = i64>) {
        let mut feed = String::from(
            "{\"type\":\"product\",\"id\":\"mail\",\"name\":\"Mail\"}\n\
             {\"type\":\"customer\",\"id\":\"c\",\"name\":\"Green Lane\"}\n",
        );
        let mapping = |kind, source_id: String, psa_id| Mapping {
            kind,
            source: SourceId::from("market"),
            source_id,
            psa_id: Some(psa_id),
            scope: String::new(),
            options: BTreeMap::new(),
            origin: MappingOrigin::Person,
        };
        let item = json!({"id": 8, "identifier": "EXO-P2", "description": "Mail", "customerDescription": "Mail",
            "subcategory": {"id": 1}, "type": {"id": 1}, "price": 22.0, "cost": 17.6});
        self.sandbox.control().load(&json!({"resources": {"procurement/catalog": [item]}})).unwrap();
        let mut mappings = vec![
            mapping(MappingKind::Product, "mail".to_owned(), 8),
            mapping(MappingKind::Customer, "c".to_owned(), 12),
        ];
        for n in agreements {
            mappings.push(mapping(MappingKind::Agreement, format!("s-{n}"), n));
            feed.push_str(&subscription(n, 5));
            feed.push_str(&order(n, "sales", "2026-03-01T09:00:00Z", 5));
        }
        self.store.ensure_organization(&self.org).await.unwrap();
        self.store.save_setting(&self.org, SEVERAL.0, Seen::Any, Some(SEVERAL.1)).await.unwrap();
        self.store.save_mappings(&self.org, NOON, &mappings).await.unwrap();
        self.take_in(&feed).await;
    }

    /// Three seats more from 2026-03-06 on.
    async fn three_more(&self, n: i64) {
        let changed = subscription(n, 8) + &order(n, "change", "2026-03-06T09:00:00Z", 3);
        self.take_in(&changed).await;
    }

    async fn take_in(&self, feed: &str) {
        let source = SourceId::from("market");
        let to = Destination { store: Some(&self.store), org: &self.org, source: &source, at: NOON };
        let options =
            FeedOptions { file_name: "-".to_owned(), kind: None, format: FeedFormat::default(), path: None };
        let records: Vec<_> = read_feed(feed.as_bytes(), options).map(|item| item.map(incoming)).collect();
        let report = import(to, records.into_iter(), 100, |_| {}).await.unwrap();
        assert!(!report.has_refusals(), "{:?}", report.refused);
        tasks::check(&self.store, &At(NOON), &self.org, None).await.unwrap();
    }

    async fn run(&self, at: Millis, trust: Trust) -> RunReport {
        let several = BTreeMap::from([(SEVERAL.0.to_owned(), SEVERAL.1.to_owned())]);
        let settings = Settings::from_values(&several).unwrap();
        let request = PlanRequest {
            org: &self.org,
            connection: "main",
            actor: "night",
            settings: &settings,
            adoption: AdoptionAnswer::Propose,
            choice: Choice::All,
            price_source: None,
            edits: Vec::new(),
            trust,
        };
        let options = ApplyOptions { wait: false, ..ApplyOptions::default() };
        let clock = At(at);
        applying::apply_all(&self.store, &self.psa, &clock, &request, Approval::Given, &options)
            .await
            .unwrap()
    }

    /// How often additions were read since the journal was cleared.
    fn reads(&self) -> u64 {
        let summary = self.sandbox.control().journal_summary();
        summary["calls"]["GET finance/agreements/{id}/additions"].as_u64().unwrap_or(0)
    }

    fn forget(&self) {
        self.sandbox.control().clear_journal();
    }

    /// The quantities on an agreement that are billed on the first of April, but for the line that was there first.
    async fn billed_in_april(&self, n: i64) -> Vec<String> {
        let april = jiff::civil::date(2026, 4, 1);
        let all = self.psa.list_additions(AgreementId(n)).await.unwrap();
        all.iter()
            .filter(|a| a.id.0 != n * 10 && a.state.cancelled.is_none_or(|last| april <= last))
            .map(|a| a.state.quantity.to_string())
            .collect()
    }
}

fn subscription(n: i64, seats: i64) -> String {
    format!(
        "{{\"type\":\"subscription\",\"id\":\"s-{n}\",\"customer\":\"c\",\"status\":\"active\",\
         \"billing_cycle\":{{\"every\":1,\"unit\":\"month\"}},\"start\":\"2026-03-01\",\"currency\":\"USD\",\
         \"items\":[{{\"id\":\"seats\",\"product\":\"mail\",\"quantity\":\"{seats}\"}}]}}\n"
    )
}

fn order(n: i64, kind: &str, completed: &str, seats: i64) -> String {
    let start = &completed[..10];
    format!(
        "{{\"type\":\"order\",\"id\":\"{kind}-{n}\",\"kind\":\"{kind}\",\"subscription\":\"s-{n}\",\
         \"completed_at\":\"{completed}\",\"period\":{{\"start\":\"{start}\",\"end\":\"2026-04-01\"}},\
         \"currency\":\"USD\",\"lines\":[{{\"id\":\"1\",\"charge\":\"recurring\",\"quantity\":\"{seats}\",\
         \"product\":\"mail\",\"unit_price\":\"22.00\",\"unit_cost\":\"17.60\"}}]}}\n"
    )
}

fn applied(run: &RunReport) -> usize {
    run.report.as_ref().map_or(0, |report| report.summary.applied)
}

fn codes(run: &RunReport) -> Vec<Code> {
    run.planned.stored.body.plan().findings.iter().map(|finding| finding.code).collect()
}

/// Of twelve agreements that a pull read five are written to. As long as what it read is young that is enough; later each
/// is read once more, before its write. Who pulled nothing reads all agreements of their company for the plan.
#[rstest]
#[case::at_once(true, MINUTE / 2, 0)]
#[case::later(true, 2 * MINUTE, 5)]
#[case::without_a_pull(false, MINUTE / 2, 12)]
#[tokio::test]
async fn a_plan_reads_nothing_that_was_just_read(
    #[case] trusts: bool,
    #[case] after: Millis,
    #[case] reads: u64,
) {
    let world = World::new(12).await;
    world.sold(1..=5).await;
    let pulled = world.pull(NOON, Reach::Whole).await;
    assert_eq!(pulled.at, NOON);
    world.forget();
    let trust = if trusts { Trust::ReadAt(pulled.at) } else { Trust::Nothing };
    let run = world.run(NOON + after, trust).await;
    assert_eq!((applied(&run), run.earlier.len()), (5, 0), "{:?}", codes(&run));
    assert_eq!(world.reads(), reads);
    for n in 1..=5 {
        assert_eq!(world.billed_in_april(n).await, ["5"]);
    }
}

/// What an earlier pull read is no read of this run: a pull of what changed took a third of the agreements.
#[tokio::test]
async fn only_what_this_pull_has_read_counts() {
    let world = World::new(12).await;
    world.sold(1..=12).await;
    world.pull(NOON - DAY, Reach::Whole).await;
    let pulled = world.pull(NOON, CHANGED).await;
    assert_eq!((pulled.whole, pulled.read), (false, 4));
    world.forget();
    let run = world.run(NOON + MINUTE / 2, Trust::ReadAt(pulled.at)).await;
    assert_eq!((applied(&run), world.reads()), (12, 8));
}

/// A person touched a line between pull and plan. The plan does not fit, is made anew on what is there, and comes out as
/// one that never looked at the picture.
#[rstest]
#[tokio::test]
async fn an_edit_between_pull_and_plan_is_seen(#[values(true, false)] trusts: bool) {
    let world = World::new(3).await;
    world.sold(1..=2).await;
    world.run(NOON - DAY, Trust::Nothing).await;
    world.three_more(1).await;
    world.three_more(2).await;
    let pulled = world.pull(NOON, Reach::Whole).await;
    let ours = world.psa.list_additions(AgreementId(1)).await.unwrap();
    let ours = ours.iter().find(|a| a.id.0 != 10).unwrap();
    world.set_quantity(1, ours.id.0, 6).await;
    let trust = if trusts { Trust::ReadAt(pulled.at) } else { Trust::Nothing };
    let run = world.run(NOON + 2 * MINUTE, trust).await;
    assert_eq!(run.earlier.len(), usize::from(trusts));
    assert!(run.earlier.iter().all(|(_, report)| report.stale && report.summary.applied == 0));
    assert_eq!(world.billed_in_april(2).await, ["8"]);
    assert!(codes(&run).contains(&Code::Tu7002), "{:?}", codes(&run));
    assert_eq!(world.billed_in_april(1).await, ["6"], "what a person set is not overwritten");
}

/// Lines that trueup itself wrote after the pull: by another run, or by one whose answer was lost and that this run
/// settles first. Nobody takes them for lines that are gone.
#[rstest]
#[case::by_another_run(false)]
#[case::by_a_run_that_is_resumed(true)]
#[tokio::test]
async fn what_trueup_wrote_since_is_known(#[case] lost: bool) {
    let world = World::new(3).await;
    world.sold(1..=1).await;
    let pulled = world.pull(NOON, Reach::Whole).await;
    if lost {
        let fault = json!({"match": {"method": "POST"}, "action": "drop_after", "times": 1});
        world.sandbox.control().set_faults(json!({ "schedule": [fault] })).unwrap();
    }
    let first = world.run(NOON, Trust::Nothing).await;
    assert_eq!(first.report.unwrap().summary.in_doubt, usize::from(lost));
    world.three_more(1).await;
    let run = world.run(NOON + 5 * MINUTE, Trust::ReadAt(pulled.at)).await;
    assert_eq!((applied(&run) > 0, run.earlier.len()), (true, 0), "{:?}", codes(&run));
    assert_eq!(world.billed_in_april(1).await, ["8"]);
    assert!(codes(&run).iter().all(|code| *code != Code::Tu3008), "{:?}", codes(&run));
}
