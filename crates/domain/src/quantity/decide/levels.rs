//! The levels that a line is made of: whether they may be billed, and what they come to.

use super::{Decider, Stop};
use crate::finding::{Code, Finding};
use crate::ids::{CustomerId, ProductId, SourceId};
use crate::psa::CatalogItem;
use crate::quantity::chain::{Chain, Part, Rule, compute};
use crate::quantity::line::{Line, Told};
use crate::quantity::reading::{Origin, Reading, instant_of, meter_of};
use crate::quantity::wants::{Counted, adds_up};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

impl<'a> Decider<'_, 'a> {
    /// The levels of a part that count. Of several units those that were told last do: one that fell behind is told no more,
    /// since the source calls it otherwise now, and it would stand in the way of the other for ever. Where nothing was
    /// billed yet nobody would be asked about the other unit, so that the level has to be stale first.
    pub(super) fn current(&self, part: &Counted<'a>) -> Vec<&'a Reading> {
        self.newest_of(part.readings)
    }

    fn newest_of(&self, readings: &'a [Reading]) -> Vec<&'a Reading> {
        let was_billed = self.before().is_some_and(|before| !before.told.is_empty());
        let behind = match (was_billed, self.scene.policy.stale_days) {
            (true, _) => 1,
            (false, 0) => i64::MAX,
            (false, days) => i64::from(days),
        };
        let newest = readings.iter().filter_map(Reading::day).max();
        let is_told = |reading: &&Reading| match (reading.day(), newest) {
            (Some(day), Some(newest)) => crate::period::days_between(day, newest) <= behind,
            (None, _) | (_, None) => true,
        };
        readings.iter().filter(is_told).collect()
    }

    /// What keeps a level in another unit than the one that was billed last from being written by itself: the same number
    /// may mean something else now.
    pub(super) fn other_unit(&self, line: &Line, item: &CatalogItem) -> Option<Finding> {
        let before = self.before()?;
        // Somebody applied what was held then: the addition shows it.
        let held = before.chain.as_ref().filter(|_| before.is_held_for(Code::Tu5004));
        if held.is_some_and(|chain| line.observed == Some(chain.quantity)) {
            return None;
        }
        let same = |one: &Told, other: &Told| {
            (&one.source, &one.customer, &one.service) == (&other.source, &other.customer, &other.service)
        };
        line.told.iter().find_map(|now| {
            let then = before.told.iter().find(|then| same(then, now))?;
            let (meter, was) = (meter_of(now.unit.as_deref())?, meter_of(then.unit.as_deref())?);
            (meter != was).then(|| {
                let message = format!(
                    "{}: {} is counted in {} now, and was in {} when it was billed last. It waits for somebody's word that \
                     the quantity of {} is meant.",
                    self.name(Some(item)),
                    self.scene.service_name(&now.source, &now.service),
                    now.unit.as_deref().unwrap_or_default(),
                    then.unit.as_deref().unwrap_or_default(),
                    line.chain.as_ref().map(|chain| chain.quantity.shown().to_string()).unwrap_or_default()
                );
                self.finding(Code::Tu5004, message).fix(
                    "Apply the plan that is shown where the quantity is right; else set the rule of the item for the new \
                     unit (`trueup quantity rule`), or correct the source.",
                )
            })
        })
    }

    /// Several services or customers on one addition need somebody's word: else each would write its own quantity over
    /// the others'.
    pub(super) fn may_add_up(&self, rule: &Rule, item: &CatalogItem) -> Result<(), Stop> {
        if rule.add_up || !adds_up(self.parts) {
            return Ok(());
        }
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|part| {
                let service = self.scene.service_name(part.source, part.service);
                format!("{service} of {}", self.scene.customer_name(part.source, part.customer))
            })
            .collect();
        let message = format!(
            "{} on agreement {} would bill {} levels: {}.",
            item.identifier,
            self.key.0,
            parts.len(),
            parts.join(", ")
        );
        let fix = "Switch `add_up` on for the item (`trueup quantity rule`), so that their sum is billed, or assign them to \
                   items of their own.";
        Err(Stop(Box::new(self.finding(Code::Tu2007, message).fix(fix))))
    }

    /// No level that is old, estimated, still to come, or older than the one of the same that was told last.
    pub(super) fn is_fresh(&self, line: &Line, all: &[&Reading], item: &CatalogItem) -> Result<(), Stop> {
        let today = self.scene.world.today;
        let limit = self.scene.policy.stale_days;
        for reading in all {
            if let Some(doubt) = &reading.doubt {
                let message = format!("{}: {doubt}.", self.name(Some(item)));
                return Err(self.stop(Code::Tu5005, message));
            }
            let is_counter = matches!(reading.origin, Origin::Counter | Origin::LeftOut);
            let Some(age) = age_of(reading, today).filter(|_| is_counter) else { continue };
            if age < -DAYS_AHEAD {
                let message = format!(
                    "{}: {} was counted on {}, which is still to come. The quantity stays as it is, and the level is not \
                     remembered.",
                    self.name(Some(item)),
                    reading.name,
                    reading.as_of
                );
                let fix = "Set the clock of the source right; the next level of today is billed.";
                return Err(Stop(Box::new(self.finding(Code::Tu5005, message).fix(fix))));
            }
            if limit > 0 && age > i64::from(limit) {
                let message = format!(
                    "{}: {} was counted {age} days ago, on {}; the limit is {limit} (quantity.stale_days). The quantity \
                     stays as it is.",
                    self.name(Some(item)),
                    reading.name,
                    reading.as_of
                );
                return Err(self.stop(Code::Tu5005, message));
            }
        }
        let before: BTreeMap<_, &Told> = self
            .before()
            .into_iter()
            .flat_map(|before| &before.told)
            .map(|told| (key_of(told), told))
            .collect();
        for now in &line.told {
            if let Some(then) = before.get(&key_of(now))
                && let (Some(now_at), Some(then_at)) = (instant_of(&now.as_of), instant_of(&then.as_of))
                && now_at < then_at
            {
                let message = format!(
                    "{}: the source tells a level of {} of {}, and one of {} was told already. The later one stays.",
                    self.name(Some(item)),
                    self.scene.service_name(&now.source, &now.service),
                    now.as_of,
                    then.as_of
                );
                let fix = "Wait for the next level of the source: it is billed as soon as it is later than that one.";
                return Err(Stop(Box::new(self.finding(Code::Tu5005, message).fix(fix))));
            }
        }
        Ok(())
    }

    /// The levels that the rule takes away, each with whose it is and of what.
    pub(super) fn excluded<'r>(&self, rule: &'r Rule) -> Vec<(Whose<'r>, &'a Reading)>
    where
        'a: 'r,
    {
        let whose: BTreeSet<_> = self.parts.iter().map(|part| (part.source, part.whose)).collect();
        let mut excluded = Vec::new();
        for service in rule.excluded_services() {
            for (source, customer) in &whose {
                let levels = self.newest_of(self.scene.readings.of(source, customer, service));
                excluded.extend(levels.into_iter().map(|level| ((*source, *customer, service), level)));
            }
        }
        excluded
    }

    pub(super) fn chain<'r>(
        &self,
        line: &mut Line,
        rule: &Rule,
        item: &CatalogItem,
        excluded: impl Iterator<Item = &'r Reading>,
    ) -> Result<Chain, Stop> {
        let several: BTreeSet<_> = self.parts.iter().map(|part| part.whose).collect();
        let told = several.len() > 1 || self.parts.iter().any(|part| part.whose != part.customer);
        let names: Vec<String> =
            self.parts.iter().map(|part| self.scene.customer_name(part.source, part.whose)).collect();
        let mut parts = Vec::with_capacity(self.parts.len());
        for (counted, name) in self.parts.iter().zip(&names) {
            match self.current(counted).as_slice() {
                [reading] => parts.push(Part { whose: told.then_some(name.as_str()), reading }),
                several => {
                    let unit = |reading: &&Reading| {
                        let unit = reading.unit.as_deref().unwrap_or("no unit");
                        format!("{} {unit} of {}", reading.value.shown(), reading.as_of)
                    };
                    let units: Vec<String> = several.iter().map(unit).collect();
                    let message = format!(
                        "{}: {} is counted in several units ({}), and nobody says which one is billed.",
                        self.name(Some(item)),
                        self.scene.service_name(counted.source, counted.service),
                        units.join(", ")
                    );
                    let fix = "Let the source tell one of them alone: one that is not told again gives way to the other.";
                    return Err(Stop(Box::new(self.finding(Code::Tu5004, message).fix(fix))));
                }
            }
        }
        let excluded: Vec<Part<'_>> = excluded.map(|reading| Part { whose: None, reading }).collect();
        compute(rule, &parts, &excluded).map_err(|error| {
            line.chain = None;
            let steps: Vec<&str> = error.steps.iter().map(|step| step.text.as_str()).collect();
            let message = format!("{}: {}. So far: {}.", self.name(Some(item)), error.why, steps.join("; "));
            self.stop(Code::Tu5004, message)
        })
    }
}

/// A level may be of tomorrow: where its source is, today may be over already.
const DAYS_AHEAD: i64 = 1;

/// How many days ago a level was counted, where its text names a day.
fn age_of(reading: &Reading, today: Date) -> Option<i64> {
    reading.day().map(|day| crate::period::days_between(day, today))
}

/// What makes it a level of something else.
fn key_of(told: &Told) -> (&SourceId, &CustomerId, &ProductId, Option<String>) {
    (&told.source, &told.customer, &told.service, meter_of(told.unit.as_deref()))
}

/// Whose level of what: the source, the customer it was counted for, and the service.
pub(super) type Whose<'a> = (&'a SourceId, &'a CustomerId, &'a ProductId);

/// What is remembered of levels.
pub(super) fn told_of((source, whose, service): Whose<'_>, readings: &[&Reading]) -> Vec<Told> {
    let told = |reading: &&Reading| Told {
        source: source.clone(),
        customer: whose.clone(),
        service: service.clone(),
        unit: reading.unit.clone(),
        as_of: reading.as_of.clone(),
    };
    readings.iter().map(told).collect()
}
