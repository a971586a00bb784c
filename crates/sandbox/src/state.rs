//! What the server shares between calls, and the control functions over it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::SandboxError;
use crate::api::Keys;
use crate::clock::Clock;
use crate::delivery::Deliveries;
use crate::faults::{FaultPlan, Faults};
use crate::journal::Journal;
use crate::json::{Json, object};
use crate::limits::{Limiter, RateLimit};
use crate::roles::Roles;
use crate::rules::Rules;
use crate::schema;
use crate::seed;
use crate::store::World;
use crate::view::render_all;

/// Everything behind the server. Locks are taken one at a time and never across an await.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) keys: Keys,
    world: Mutex<World>,
    start: World,
    snapshots: Mutex<BTreeMap<String, World>>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) limiter: Mutex<Limiter>,
    pub(crate) journal: Mutex<Journal>,
    pub(crate) deliveries: Mutex<Deliveries>,
    latency_ms: AtomicU64,
}

/// Takes a lock; a panic elsewhere does not make the data unusable for a simulator.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// State over a filled world.
    pub(crate) fn new(keys: Keys, world: World) -> Self {
        State {
            keys,
            start: world.clone(),
            world: Mutex::new(world),
            snapshots: Mutex::default(),
            faults: Mutex::default(),
            limiter: Mutex::default(),
            journal: Mutex::default(),
            deliveries: Mutex::default(),
            latency_ms: AtomicU64::new(0),
        }
    }

    /// The records, locked.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// How long each call waits, in milliseconds.
    pub(crate) fn latency_ms(&self) -> u64 {
        self.latency_ms.load(Ordering::Relaxed)
    }
}

/// A handle to a running sandbox with the functions of its `/sandbox/` endpoints, for tests in the same process.
///
/// Bodies and answers are those of the endpoints.
#[derive(Clone, Debug)]
pub struct SandboxControl {
    pub(crate) state: Arc<State>,
}

type Value = serde_json::Value;

impl SandboxControl {
    /// Every record, in the shape of a seed file, with the agreement invoices' lines (`GET /sandbox/state`).
    #[must_use]
    pub fn state(&self) -> Value {
        self.state_json().to_value()
    }

    /// The sandbox's day, `YYYY-MM-DD`.
    #[must_use]
    pub fn today(&self) -> String {
        self.state.world().clock.today().to_string()
    }

    /// Sets the sandbox's day (`POST /sandbox/clock`).
    ///
    /// # Errors
    /// When the text is not a day.
    pub fn set_today(&self, today: &str) -> Result<(), SandboxError> {
        let day = today
            .parse()
            .map_err(|_| SandboxError::Control(format!("\"{today}\" is not a day YYYY-MM-DD")))?;
        self.state.world().clock = Clock::new(Some(day));
        Ok(())
    }

    /// Every call so far, oldest first (`GET /sandbox/journal`).
    #[must_use]
    pub fn journal(&self) -> Value {
        lock(&self.state.journal).to_json().to_value()
    }

    /// How many calls of each kind (`GET /sandbox/journal/summary`).
    #[must_use]
    pub fn journal_summary(&self) -> Value {
        lock(&self.state.journal).summary().to_value()
    }

    /// Forgets the calls so far (`DELETE /sandbox/journal`).
    pub fn clear_journal(&self) {
        lock(&self.state.journal).clear();
    }

    /// Every callback so far with its attempts, oldest first (`GET /sandbox/callbacks`).
    #[must_use]
    pub fn callbacks(&self) -> Value {
        self.callbacks_json().to_value()
    }

    /// Puts faults in force, `{}` for none (`POST /sandbox/faults`).
    ///
    /// # Errors
    /// When the plan is not one.
    pub fn set_faults(&self, plan: Value) -> Result<(), SandboxError> {
        let plan: FaultPlan = read(plan)?;
        *lock(&self.state.faults) = Faults::new(plan).map_err(SandboxError::Control)?;
        Ok(())
    }

    /// Sets what the API member may do (`POST /sandbox/roles`); functions not named have every level All.
    ///
    /// # Errors
    /// When a function or level does not exist.
    pub fn set_roles(&self, roles: Value) -> Result<(), SandboxError> {
        let roles: Roles = read(roles)?;
        if let Some(name) = roles.unknown_function() {
            return Err(SandboxError::Control(format!("\"{name}\" is not a function of a role")));
        }
        self.state.world().roles = roles;
        Ok(())
    }

    /// Sets or lifts throttling (`POST /sandbox/rate_limit`).
    ///
    /// # Errors
    /// When the body is not a limit.
    pub fn set_rate_limit(&self, limit: Value) -> Result<(), SandboxError> {
        let limit: RateLimit = read(limit)?;
        *lock(&self.state.limiter) = Limiter::new(limit);
        Ok(())
    }

    /// Makes every call wait (`POST /sandbox/latency`).
    pub fn set_latency_ms(&self, milliseconds: u64) {
        self.state.latency_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Turns switches; those not named stay (`POST /sandbox/rules`). Answers all of them.
    ///
    /// # Errors
    /// When a switch does not exist or a value does not fit it.
    pub fn set_rules(&self, changes: Value) -> Result<Value, SandboxError> {
        let mut world = self.state.world();
        let known =
            serde_json::to_value(&world.rules).map_err(|error| SandboxError::Control(error.to_string()))?;
        let (Value::Object(mut merged), Value::Object(changes)) = (known, changes) else {
            return Err(SandboxError::Control("the rules must be an object".to_owned()));
        };
        merged.extend(changes);
        let rules: Rules = read(Value::Object(merged.clone()))?;
        world.rules = rules;
        Ok(Value::Object(merged))
    }

    /// The agreement invoices with their lines (`GET /sandbox/invoices`).
    #[must_use]
    pub fn invoices(&self) -> Value {
        self.invoices_json().to_value()
    }

    /// Adds the records of a seed (`POST /sandbox/seed`).
    ///
    /// # Errors
    /// When a record does not fit its resource.
    pub fn load(&self, seed: &Value) -> Result<(), SandboxError> {
        let seed = Json::from_value(seed).map_err(|error| SandboxError::Seed(error.to_string()))?;
        let mut world = self.state.world();
        if let Some(day) = seed::today(&seed) {
            world.clock = Clock::new(Some(day));
        }
        seed::load(&mut world, &seed).map_err(SandboxError::Seed)
    }

    /// Goes back to the records, day, roles and rules of the start; lifts faults, limits and latency and forgets
    /// the calls and the callbacks (`POST /sandbox/reset`).
    pub fn reset(&self) {
        *self.state.world() = self.state.start.clone();
        *lock(&self.state.faults) = Faults::default();
        *lock(&self.state.limiter) = Limiter::default();
        lock(&self.state.deliveries).clear();
        self.set_latency_ms(0);
        self.clear_journal();
    }

    /// Keeps the records under a name (`POST /sandbox/snapshot`).
    pub fn snapshot(&self, name: &str) {
        let kept = self.state.world().clone();
        lock(&self.state.snapshots).insert(name.to_owned(), kept);
    }

    /// Goes back to records kept under a name (`POST /sandbox/restore`).
    ///
    /// # Errors
    /// When nothing is kept under the name.
    pub fn restore(&self, name: &str) -> Result<(), SandboxError> {
        let kept = lock(&self.state.snapshots).get(name).cloned();
        let kept = kept.ok_or_else(|| SandboxError::Control(format!("there is no snapshot \"{name}\"")))?;
        *self.state.world() = kept;
        Ok(())
    }

    pub(crate) fn state_json(&self) -> Json {
        let world = self.state.world();
        let mut resources = Vec::new();
        for (id, definition) in schema::all().iter().enumerate() {
            let rows = &world.table(id).rows;
            let shown = if definition.parent_path().is_some() {
                let mut groups: BTreeMap<i64, Vec<Json>> = BTreeMap::new();
                for row in rows.values() {
                    groups.entry(row.parent).or_default().push(render_all(&world, row));
                }
                Json::Obj(
                    groups.into_iter().map(|(owner, items)| (owner.to_string(), Json::Arr(items))).collect(),
                )
            } else {
                Json::Arr(rows.values().map(|row| render_all(&world, row)).collect())
            };
            resources.push((definition.path.to_owned(), shown));
        }
        let invoices = world.all_billed().map(|billed| billed.to_json()).collect();
        object([
            ("today", Json::Str(world.clock.today().to_string())),
            ("resources", Json::Obj(resources)),
            ("invoices", Json::Arr(invoices)),
        ])
    }

    pub(crate) fn callbacks_json(&self) -> Json {
        lock(&self.state.deliveries).to_json()
    }

    pub(crate) fn invoices_json(&self) -> Json {
        Json::Arr(self.state.world().all_billed().map(|billed| billed.to_json()).collect())
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, SandboxError> {
    serde_json::from_value(value).map_err(|error| SandboxError::Control(error.to_string()))
}
