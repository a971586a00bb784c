//! The nights one after the other, and what goes wrong in them.

use super::alerts::Alerts;
use super::counts::Counts;
use super::desk::{CUSTOMERS, Desk, FIRST, TENANT, agreement};
use super::judge;
use super::people::People;
use super::rng::Rng;
use jiff::ToSpan;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::time::Duration;
use trueup_engine::alerts as tickets;
use trueup_engine::apply::ApplyOptions;
use trueup_engine::applying::Approval;
use trueup_engine::observe::{Reach, Trust, pull};
use trueup_engine::ports::{Clock, Psa, Store};
use trueup_engine::quantity;
use trueup_engine::records::Millis;

/// What happened, by word.
pub type Tally = BTreeMap<&'static str, u64>;

/// A minute.
pub const MINUTE: Millis = 60_000;

/// A year under way.
pub struct Year {
    pub desk: Desk,
    pub rng: Rng,
    pub counts: Counts,
    pub people: People,
    pub alerts: Alerts,
    pub day: u64,
    pub date: Date,
    runs: u64,
    pub tally: Tally,
}

/// Lives the year of a seed and judges it.
pub fn year(seed: u64, days: u64) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let mut rng = Rng::of(seed, "year");
        let desk = Desk::new(seed, &mut rng).await;
        let counts = Counts::new(CUSTOMERS, &mut rng);
        let mut year = Year {
            desk,
            rng,
            counts,
            people: People::default(),
            alerts: Alerts::default(),
            day: 0,
            date: FIRST,
            runs: 0,
            tally: Tally::new(),
        };
        match year.whole(days).await {
            Ok(()) => {
                let mut tally = std::mem::take(&mut year.tally);
                for (what, count) in year.desk.net.counts.lock().unwrap().iter() {
                    *tally.entry(what).or_default() += count;
                }
                Ok(tally)
            }
            Err(what) => {
                let story = year.desk.net.story();
                let lines: Vec<&str> = story.lines().collect();
                let last = lines[lines.len().saturating_sub(150)..].join("\n");
                Err(format!("on {} (day {}): {what}\n{last}", year.date, year.day))
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

impl Year {
    pub fn note(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    async fn whole(&mut self, days: u64) -> Result<(), String> {
        self.see().await?;
        for day in 0..days {
            self.begin(day).await?;
            self.live().await?;
        }
        self.come_to_rest(days).await
    }

    /// Midnight.
    async fn begin(&mut self, day: u64) -> Result<(), String> {
        self.day = day;
        self.date = FIRST.checked_add(i64::try_from(day).unwrap().days()).unwrap();
        self.desk.sandbox.control().set_today(&self.date.to_string()).unwrap();
        self.until(0).await;
        self.desk.net.forget_story();
        self.desk.net.tell(format!("---- {}", self.date));
        self.people.invoice(&self.desk, self.date).await;
        Ok(())
    }

    /// Waits until so many minutes after midnight.
    pub async fn until(&self, minutes: i64) {
        let midnight = self.date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond();
        self.desk.clock.sleep_until(self.desk.clock.now().max(midnight + minutes * MINUTE)).await;
    }

    /// A day with its night.
    async fn live(&mut self) -> Result<(), String> {
        // Out of reach for days: ConnectWise, or the source.
        if self.rng.chance(25) {
            self.people.away_until = self.day + u64::try_from(self.rng.within(1, 4)).unwrap();
        }
        if self.rng.chance(20) {
            self.people.silent_until = self.day + u64::try_from(self.rng.within(1, 9)).unwrap();
        }
        let away = self.day < self.people.away_until;
        self.desk.net.set_down(away);
        let wild = self.rng.chance(600);
        self.desk.net.set_wild(wild);
        if away {
            self.note("days out of reach");
        }
        self.counts.live(&mut self.rng);
        if self.day >= self.people.silent_until {
            let feed = self.counts.feed(self.day, &self.date.to_string(), &mut self.rng, false);
            self.until(30).await;
            self.desk.take_in(&feed).await;
        } else {
            self.note("days without a count");
        }
        self.until(120).await;
        self.night(Approval::Needed).await?;
        for hour in [3, 9, 15, 21] {
            self.until(hour * 60).await;
            let told = self.alerts.live(&mut self.rng, self.desk.clock.now());
            self.desk.take_in(&told).await;
            let later = self.rng.within(1, 40);
            self.until(hour * 60 + later).await;
            self.tickets().await?;
            if hour == 9 {
                self.hands().await?;
            }
        }
        if self.date.weekday() == jiff::civil::Weekday::Monday {
            self.until(22 * 60).await;
            self.night(Approval::Given).await?;
        }
        Ok(())
    }

    /// What people do on a day. They are not at it while somebody else is.
    async fn hands(&mut self) -> Result<(), String> {
        self.desk.net.idle().await;
        judge::calls(self)?;
        let mut people = std::mem::take(&mut self.people);
        let result = people.work(self).await;
        self.people = people;
        result?;
        self.desk.sandbox.control().clear_journal();
        Ok(())
    }

    /// Nightly runs, in whatever weather it is.
    pub async fn night(&mut self, approval: Approval) -> Result<(), String> {
        let wild = self.desk.net.is_wild();
        let what = if wild { self.rng.below(10) } else { 9 };
        let report = match what {
            0 | 1 => {
                self.desk.net.crash_in(self.rng.within(0, 25));
                self.killed(approval).await
            }
            2 | 3 => {
                self.desk.net.die_in(self.rng.within(0, 30));
                self.killed(approval).await
            }
            4 | 5 => {
                let (first, second) = (Rng::new(self.rng.next()), Rng::new(self.rng.next()));
                let (one, two) = (self.owner("one"), self.owner("two"));
                let (a, b) = tokio::join!(
                    self.quantities(approval, &one, Some(first)),
                    self.quantities(approval, &two, Some(second))
                );
                drop((a, b));
                None
            }
            _ => {
                let owner = self.owner("one");
                self.quantities(approval, &owner, None).await
            }
        };
        self.note("nights");
        self.desk.net.idle().await;
        // What was under way gets to its end before anybody looks.
        self.desk.clock.sleep_until(self.desk.clock.now() + 5 * MINUTE).await;
        judge::calls(self)?;
        self.see().await?;
        if let Some(report) = report {
            self.note("nights that came to their end");
            judge::lines(self, &report).await?;
        }
        // What a killed run left is gone on with by the next one, and not for whom people switched off or moved meanwhile.
        if what < 4 && self.rng.chance(400) {
            let mut people = std::mem::take(&mut self.people);
            people.turn(self).await;
            self.people = people;
            self.desk.sandbox.control().clear_journal();
        }
        Ok(())
    }

    async fn killed(&mut self, approval: Approval) -> Option<quantity::RunReport> {
        let owner = self.owner("one");
        let report = tokio::select! {
            report = self.quantities(approval, &owner, None) => report,
            () = self.desk.net.crash.notified() => None,
        };
        self.after_a_kill();
        report
    }

    fn after_a_kill(&mut self) {
        self.desk.net.crash_in(-1);
        self.desk.net.die_in(-1);
        self.desk.net.unsettle();
    }

    fn owner(&mut self, name: &str) -> String {
        self.runs += 1;
        format!("{name}-{}", self.runs)
    }

    /// Of every other seed each run pulls first and compares with the picture a while later, as a scheduled one does where
    /// each night reads everything.
    async fn pulled(&self, store: &dyn Store, psa: &dyn Psa) -> Trust {
        let desk = &self.desk;
        if desk.seed.is_multiple_of(2) {
            return Trust::Nothing;
        }
        let since = desk.clock.now();
        let reach = Reach::Changed { rotation: 1 };
        let pulled = pull(psa, store, &desk.clock, &desk.org, "main", reach).await;
        let pause = i64::try_from(desk.seed % 3).unwrap() * MINUTE;
        desk.clock.sleep_until(desk.clock.now() + pause).await;
        pulled.map_or(Trust::Nothing, |_| Trust::ReadSince(since))
    }

    async fn quantities(
        &self,
        approval: Approval,
        owner: &str,
        pauses: Option<Rng>,
    ) -> Option<quantity::RunReport> {
        let desk = &self.desk;
        let (store, psa) = (desk.store.paused(pauses), desk.psa());
        let trust = self.pulled(&store, &psa).await;
        let request = quantity::Request {
            trust,
            org: &desk.org,
            connection: "main",
            tenant: TENANT,
            actor: "night",
            settings: &desk.settings,
            adopt: false,
            only: None,
            due_only: false,
        };
        let options = ApplyOptions {
            actor: "night".to_owned(),
            owner: owner.to_owned(),
            settle_ms: 2 * MINUTE,
            policy: Some(desk.settings.approval.clone()),
            settings: Some(&desk.settings),
            ..ApplyOptions::default()
        };
        let done = quantity::run(&store, &psa, &desk.clock, &request, approval, &options).await;
        desk.net.tell(match &done {
            Ok(report) => format!(
                "{owner}: {:?}, findings {:?}",
                report
                    .lines
                    .iter()
                    .map(|l| format!(
                        "{}/{} {} {:?} {}",
                        l.agreement,
                        l.item,
                        l.verdict.name(),
                        l.code,
                        l.chain.as_ref().map(|c| c.quantity.display()).unwrap_or_default()
                    ))
                    .collect::<Vec<_>>(),
                report.findings.iter().map(|f| format!("{} {}", f.code, f.message)).collect::<Vec<_>>()
            ),
            Err(error) => format!("{owner}: {error}"),
        });
        done.ok()
    }

    /// A run that brings tickets to where their alerts are, in whatever weather it is.
    pub async fn tickets(&mut self) -> Result<(), String> {
        let wild = self.desk.net.is_wild();
        let report = match if wild { self.rng.below(10) } else { 9 } {
            0 => {
                self.desk.net.crash_in(self.rng.within(0, 15));
                self.ticket_run_killed().await
            }
            1 | 2 => {
                self.desk.net.die_in(self.rng.within(0, 15));
                self.ticket_run_killed().await
            }
            3 => {
                let (first, second) = (Rng::new(self.rng.next()), Rng::new(self.rng.next()));
                let (one, two) = (self.owner("one"), self.owner("two"));
                let (a, b) =
                    tokio::join!(self.ticket_run(&one, Some(first)), self.ticket_run(&two, Some(second)));
                drop((a, b));
                None
            }
            _ => {
                let owner = self.owner("one");
                self.ticket_run(&owner, None).await
            }
        };
        self.note("runs of tickets");
        self.desk.net.idle().await;
        self.desk.clock.sleep_until(self.desk.clock.now() + 5 * MINUTE).await;
        judge::calls(self)?;
        if report.is_some() {
            self.note("runs of tickets that came to their end");
            judge::open_alerts(self).await?;
        }
        Ok(())
    }

    async fn ticket_run_killed(&mut self) -> Option<tickets::RunReport> {
        let owner = self.owner("one");
        let report = tokio::select! {
            report = self.ticket_run(&owner, None) => report,
            () = self.desk.net.crash.notified() => None,
        };
        self.after_a_kill();
        report
    }

    /// The report of a run that asked ConnectWise everything it wanted to.
    async fn ticket_run(&self, owner: &str, pauses: Option<Rng>) -> Option<tickets::RunReport> {
        let desk = &self.desk;
        let (store, psa) = (desk.store.paused(pauses), desk.psa());
        let request = tickets::Request {
            org: &desk.org,
            connection: Some("main"),
            at: None,
            zone: "UTC",
            owner,
            on: true,
            settle_ms: 2 * MINUTE,
        };
        let done = tickets::run(&store, Some(&psa), &desk.clock, request).await;
        desk.net.tell(match &done {
            Ok(report) => format!("{owner}: {report:?}"),
            Err(error) => format!("{owner}: {error}"),
        });
        done.ok().filter(|report| !report.busy && report.stopped.is_none())
    }

    /// What people see in ConnectWise: no price is another one than before.
    async fn see(&mut self) -> Result<(), String> {
        let mut people = std::mem::take(&mut self.people);
        let seen = people.see(&self.desk).await;
        self.people = people;
        seen
    }

    /// Good weather, everybody answers what is asked, and the source tells everything: then all is as it has to be.
    async fn come_to_rest(&mut self, days: u64) -> Result<(), String> {
        self.desk.net.set_wild(false);
        self.desk.net.set_down(false);
        (self.people.away_until, self.people.silent_until) = (0, 0);
        self.begin(days).await?;
        self.desk.net.idle().await;
        let mut people = std::mem::take(&mut self.people);
        people.put_right(self).await;
        self.people = people;
        self.desk.sandbox.control().clear_journal();
        let feed = self.counts.feed(days, &self.date.to_string(), &mut self.rng, true);
        let report = self.desk.take_in(&feed).await;
        assert!(!report.has_refusals(), "{:?}", report.refused);
        for n in 0..8 {
            self.until((n + 1) * 60).await;
            let owner = self.owner("calm");
            let report = self.quantities(Approval::Given, &owner, None).await;
            let report = report.ok_or("a run in good weather fails")?;
            judge::calls(self)?;
            self.see().await?;
            let asked = self.people.answer(&self.desk, &report).await;
            if !asked && report.outcomes.is_empty() && report.resumed.is_empty() {
                judge::quantities(self).await?;
                return self.tickets_come_to_rest(days).await;
            }
        }
        Err("quantities do not come to rest".to_owned())
    }

    async fn tickets_come_to_rest(&mut self, days: u64) -> Result<(), String> {
        for day in days + 1..days + 4 {
            self.begin(day).await?;
            for hour in [2, 8, 9, 14, 20] {
                self.until(hour * 60).await;
                let owner = self.owner("calm");
                let report = self.ticket_run(&owner, None).await;
                report.ok_or("a run of tickets in good weather fails")?;
                judge::calls(self)?;
            }
        }
        self.desk.sandbox.control().clear_journal();
        let owner = self.owner("again");
        let report = self.ticket_run(&owner, None).await.ok_or("a run of tickets in good weather fails")?;
        if !report.steps.is_empty() {
            return Err(format!("steps with nothing to do: {:?}", report.steps));
        }
        judge::tickets(self).await?;
        match trueup_engine::ports::Store::verify_audit(&self.desk.store, &self.desk.org).await {
            Ok(None) => Ok(()),
            other => Err(format!("the audit does not verify: {other:?}")),
        }
    }

    /// On which agreement a customer is billed now.
    pub fn home(&self, customer: usize) -> i64 {
        self.people.moved.get(&customer).copied().unwrap_or_else(|| agreement(customer))
    }
}
