//! One schedule from its seed: portions of the feed arrive, runs go wrong, the wire calms down, and the end is judged.

use super::bug::Bug;
use super::clock::{StormClock, TODAY};
use super::judge;
use super::psa::StormPsa;
use super::rng::Rng;
use super::store::StormStore;
use super::wire::Net;
use super::world::{World, world};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use trueup_connectwise::adapter::PsaAdapter;
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::{ClientConfig, ConnectWiseClient, Credentials};
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::settings::Settings;
use trueup_domain::task::TaskState;
use trueup_engine::apply::ApplyOptions;
use trueup_engine::applying::{self, Approval};
use trueup_engine::feed::{BATCH, Destination, import};
use trueup_engine::observe::{Reach, Trust, pull};
use trueup_engine::planning::{Choice, PlanRequest};
use trueup_engine::ports::{Clock, Psa, Store, WriteStyle};
use trueup_engine::records::TaskFilter;
use trueup_engine::tasks;
use trueup_sandbox::{Sandbox, SandboxConfig};
use trueup_sources::{FeedFormat, FeedOptions, incoming, read_feed};
use trueup_store::{SqlStore, StoreConfig};

/// Calls by kind of fault.
pub type Counts = BTreeMap<&'static str, u64>;

/// What one schedule runs in.
struct Storm {
    seed: u64,
    bug: Option<Bug>,
    world: World,
    sandbox: Sandbox,
    net: Arc<Net>,
    wire: String,
    clock: StormClock,
    store: StormStore,
    org: OrganizationId,
    source: SourceId,
    settings: Settings,
    rng: Rng,
    page_size: u32,
    canary: Arc<AtomicUsize>,
    _dir: TempDir,
}

/// Runs the schedule of a seed and judges it.
pub fn schedule(seed: u64, bug: Option<Bug>) -> Result<Counts, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let mut storm = Storm::new(seed, bug).await;
        let result = tokio::time::timeout(Duration::from_secs(300), storm.whole()).await;
        let result = result.unwrap_or_else(|_| Err("it does not come to an end".to_owned()));
        match result {
            Ok(counts) => Ok(counts),
            Err(what) => Err(format!("{what}\n{}\n{}", storm.net.story(), storm.journal().await)),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// A place in memory where there is one: thousands of commits wait for the disk otherwise.
fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

/// A database with its tables, made once and copied.
async fn fresh_database(dir: &Path) {
    static EMPTY: OnceLock<Mutex<Option<(TempDir, PathBuf)>>> = OnceLock::new();
    let empty = EMPTY.get_or_init(Mutex::default);
    let known = empty.lock().unwrap().as_ref().map(|(_, path)| path.clone());
    let path = match known {
        Some(path) => path,
        None => {
            let made = temporary();
            let config = StoreConfig { data_dir: made.path().to_owned(), database_url: None };
            SqlStore::open(config).await.unwrap().close().await.unwrap();
            let path = made.path().join("trueup.db");
            // Another thread may have been first: its copy stays then.
            empty.lock().unwrap().get_or_insert((made, path)).1.clone()
        }
    };
    std::fs::copy(path, dir.join("trueup.db")).unwrap();
}

/// A listener that nobody may ever connect to.
async fn canary() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            seen.fetch_add(1, SeqCst);
        }
    });
    (address, count)
}

impl Storm {
    async fn new(seed: u64, bug: Option<Bug>) -> Self {
        let world = world(seed);
        let config =
            SandboxConfig { port: 0, seed: Some(world.seed.clone()), today: Some(TODAY.to_string()) };
        let sandbox = trueup_sandbox::start(config).await.unwrap();
        let (address, canary) = canary().await;
        let net = Net::new(seed, &sandbox, address, bug, world.terrain.clone());
        let wire = format!("http://{}", net.listen().await);
        let dir = temporary();
        fresh_database(dir.path()).await;
        let config = StoreConfig { data_dir: dir.path().to_owned(), database_url: None };
        let inner = Arc::new(SqlStore::open(config).await.unwrap());
        let store = StormStore::new(inner, &net, bug);
        let mut rng = Rng::of(seed, "runs");
        Self {
            seed,
            bug,
            sandbox,
            clock: StormClock { net: Arc::clone(&net), day: Some(TODAY) },
            net,
            wire,
            store,
            org: "default".into(),
            source: "market".into(),
            settings: Settings::from_values(&BTreeMap::new()).unwrap(),
            page_size: u32::try_from(rng.within(1, 4)).unwrap(),
            rng,
            canary,
            world,
            _dir: dir,
        }
    }

    async fn whole(&mut self) -> Result<Counts, String> {
        self.store.ensure_organization(&self.org).await.unwrap();
        self.map().await;
        let before = self.sandbox.control().state();
        let portions = std::mem::take(&mut self.world.portions);
        for portion in &portions {
            self.take_in(portion).await?;
            self.net.set_wild(true);
            for _ in 0..self.rng.within(1, 2) {
                self.wild_run().await;
            }
        }
        self.net.set_wild(false);
        self.come_to_rest().await?;
        let control = self.sandbox.control();
        judge::judge(
            &self.world,
            &self.net,
            &before,
            &control.state(),
            &control.journal(),
            self.store.inner.as_ref(),
            &self.org,
            self.canary.load(SeqCst),
        )
        .await?;
        Ok(std::mem::take(&mut self.net.counts.lock().unwrap()))
    }

    async fn map(&self) {
        let mapping = |kind: &str, id: &str, psa_id: i64| Mapping {
            kind: MappingKind::from_name(kind).unwrap(),
            source: self.source.clone(),
            source_id: id.to_owned(),
            psa_id: Some(psa_id),
            scope: String::new(),
            options: BTreeMap::new(),
            origin: MappingOrigin::Person,
        };
        let all: Vec<Mapping> =
            self.world.mappings.iter().map(|(kind, id, psa_id)| mapping(kind, id, *psa_id)).collect();
        self.store.save_mappings(&self.org, self.clock.now(), &all).await.unwrap();
    }

    /// A portion of the feed arrives and becomes tasks.
    async fn take_in(&mut self, portion: &str) -> Result<(), String> {
        let options =
            FeedOptions { file_name: "-".to_owned(), kind: None, format: FeedFormat::default(), path: None };
        let records = read_feed(portion.as_bytes(), options).map(|item| item.map(incoming));
        let records: Vec<_> = records.collect();
        let to = Destination {
            store: Some(&self.store),
            org: &self.org,
            source: &self.source,
            at: self.clock.now(),
        };
        let report = import(to, records.into_iter(), BATCH, |_| {}).await.map_err(|e| e.to_string())?;
        if report.has_refusals() {
            return Err(format!("the feed is refused: {:?}", report.refused));
        }
        self.clock.sleep_until(self.clock.now() + 60_000).await;
        tasks::check(&self.store, &self.clock, &self.org, None).await.map_err(|e| e.to_string())?;
        self.clock.sleep_until(self.clock.now() + 60_000).await;
        Ok(())
    }

    fn psa(&self) -> StormPsa {
        let credentials = Credentials {
            company: self.sandbox.company().to_owned(),
            public_key: self.sandbox.public_key().to_owned(),
            private_key: self.sandbox.private_key().to_owned().into(),
            client_id: self.sandbox.client_id().to_owned(),
        };
        let mut config = ClientConfig::new(self.wire.clone(), credentials);
        config.allowed = AllowedHosts { loopback: true, ..AllowedHosts::default() };
        config.page_size = self.page_size;
        // The client's waits are real ones here, unlike the engine's: as short as they can be.
        // In good weather nothing is kept from answering: a machine that is busy with other things is no weather.
        let calm = !self.net.is_wild();
        config.attempt_timeout = Duration::from_millis(if calm { 20_000 } else { 150 });
        config.deadline = Duration::from_secs(if calm { 60 } else { 10 });
        config.retry_base = Duration::from_millis(1);
        config.limiter.backoff_base = Duration::from_millis(1);
        config.limiter.backoff_cap = Duration::from_millis(4);
        let client = ConnectWiseClient::new(config).unwrap();
        let inner = PsaAdapter::new(client, WriteStyle::default());
        StormPsa { inner, net: Arc::clone(&self.net), bug: self.bug }
    }

    fn options(&self, owner: &str) -> ApplyOptions<'static> {
        let short = self.bug == Some(Bug::ShortSettle);
        ApplyOptions {
            actor: "storm".to_owned(),
            owner: owner.to_owned(),
            settle_ms: if short { 10_000 } else { 120_000 },
            in_flight: 1 + usize::try_from(self.seed % 4).unwrap(),
            ..ApplyOptions::default()
        }
    }

    /// Every other night pulls first, and plans a while later on what the pull has read.
    async fn pulled(&self, store: &dyn Store, psa: &dyn Psa) -> Trust {
        if self.seed.is_multiple_of(2) {
            return Trust::Nothing;
        }
        let reach = Reach::Changed { rotation: 2 };
        let pulled = pull(psa, store, &self.clock, &self.org, "main", reach).await;
        let pause = i64::try_from(self.seed % 3).unwrap() * 50_000;
        self.clock.sleep_until(self.clock.now() + pause).await;
        pulled.map_or(Trust::Nothing, |pulled| Trust::ReadAt(pulled.at))
    }

    /// `apply --all` of one worker. How it ends does not matter before the end.
    async fn apply_all(&self, owner: &str, pauses: Option<Rng>) -> Result<bool, String> {
        let store = self.store.paused(pauses);
        let psa = self.psa();
        let trust = self.pulled(&store, &psa).await;
        let request = PlanRequest {
            org: &self.org,
            connection: "main",
            actor: "storm",
            settings: &self.settings,
            adoption: AdoptionAnswer::Propose,
            choice: Choice::All,
            price_source: None,
            edits: Vec::new(),
            trust,
        };
        let options = self.options(owner);
        let run = applying::apply_all(&store, &psa, &self.clock, &request, Approval::Given, &options).await;
        self.net.tell(match &run {
            Ok(run) => format!(
                "{owner}: resumed {:?}, {:?}, {:?}",
                run.resumed.iter().map(|r| r.report.summary).collect::<Vec<_>>(),
                run.report.as_ref().map(|r| r.summary),
                run.planned.stored.body.plan().findings.iter().map(|f| &f.message).collect::<Vec<_>>()
            ),
            Err(error) => format!("{owner}: {error}"),
        });
        match run {
            Ok(run) => Ok(run.report.is_some_and(|r| !r.needs_attention())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// One run in bad weather: it may die on the way, and another worker may be there.
    async fn wild_run(&mut self) {
        let number = self.rng.below(1_000);
        let one = format!("one-{number}");
        match self.rng.below(10) {
            0..=3 => {
                self.net.crash_in(self.rng.within(0, 25));
                tokio::select! {
                    _ = self.apply_all(&one, None) => {}
                    () = self.net.crash.notified() => {}
                }
                self.net.crash_in(-1);
                self.net.unsettle();
            }
            4..=6 => {
                let (first, second) = (self.rng.clone(), self.rng.next());
                let two = format!("two-{number}");
                let (a, b) =
                    (self.apply_all(&one, Some(first)), self.apply_all(&two, Some(Rng::new(second))));
                let _ = tokio::join!(a, b);
            }
            _ => drop(self.apply_all(&one, None).await),
        }
        let pause = self.rng.within(0, 300_000);
        self.clock.sleep_until(self.clock.now() + pause).await;
    }

    /// Runs in good weather until there is nothing left to do, and one more that must write nothing.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        let mut last = Ok(false);
        for n in 0..12 {
            self.clock.sleep_until(self.clock.now() + 400_000).await;
            tasks::check(&self.store, &self.clock, &self.org, None).await.map_err(|e| e.to_string())?;
            last = self.apply_all(&format!("calm-{n}"), None).await;
            if last.is_ok() && self.is_done().await? {
                let before = self.writes();
                self.apply_all("again", None).await?;
                let more = self.writes() - before;
                return if more == 0 { Ok(()) } else { Err(format!("{more} writes with nothing to do")) };
            }
        }
        let tasks = self.store.list_tasks(&self.org, &TaskFilter::default()).await.unwrap();
        let open: Vec<_> = tasks.iter().filter(|t| t.state != TaskState::Done).collect();
        Err(format!("it does not come to rest: {last:?}, {open:?}"))
    }

    /// What the store knows in the end, told where a schedule fails.
    async fn journal(&self) -> String {
        let mut told = String::new();
        for task in self.store.list_tasks(&self.org, &TaskFilter::default()).await.unwrap_or_default() {
            let (state, reason) = (task.state.name(), task.reason.as_deref().unwrap_or_default());
            told.push_str(&format!("task {} {:?} {state} {reason}\n", task.id, task.order_id));
        }
        let mut plans = self.store.list_plans(&self.org, 1_000).await.unwrap_or_default();
        plans.reverse();
        for plan in plans {
            let operations = self.store.list_operations(&self.org, &plan.id).await.unwrap_or_default();
            told.push_str(&format!("plan {} {:?}, made at {}\n", plan.id, plan.state, plan.created_at));
            let Ok(Some(stored)) = self.store.find_plan(&self.org, &plan.id).await else { continue };
            for change in &stored.body.plan().changes {
                let row = operations.iter().find(|row| row.change == change.id);
                let left = row.map(|row| (row.state, row.addition, row.updated_at));
                let wanted = change.action.after();
                told.push_str(&format!(
                    "  {} {} {} {} of {}, {:?} from {:?}: {left:?}\n",
                    change.key.0,
                    change.action.op(),
                    change.order.as_ref().map_or("", |order| order.as_str()),
                    change.reason,
                    change.task,
                    wanted.map(|state| state.quantity.decimal()),
                    wanted.map(|state| state.effective),
                ));
            }
        }
        told
    }

    fn writes(&self) -> usize {
        let journal = self.sandbox.control().journal();
        journal.as_array().into_iter().flatten().filter(|call| call["method"] != "GET").count()
    }

    async fn is_done(&self) -> Result<bool, String> {
        let open = self.store.list_unresolved_operations(&self.org).await.map_err(|e| e.to_string())?;
        let tasks =
            self.store.list_tasks(&self.org, &TaskFilter::default()).await.map_err(|e| e.to_string())?;
        let waits = |t: &trueup_domain::task::Task| {
            t.order_id.as_ref().is_some_and(|id| self.world.waiting.iter().any(|w| w == id.as_str()))
        };
        Ok(open.is_empty() && tasks.iter().all(|t| t.state == TaskState::Done || waits(t)))
    }
}
