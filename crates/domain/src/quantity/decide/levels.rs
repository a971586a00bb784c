//! The levels that a line is made of: whether they may be billed, and what they come to.

use super::{Decider, Stop};
use crate::finding::Code;
use crate::psa::CatalogItem;
use crate::quantity::chain::{Chain, Part, Rule, compute};
use crate::quantity::line::{Line, Told};
use crate::quantity::reading::{Origin, Reading};
use crate::quantity::wants::{Counted, adds_up};
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

impl Decider<'_, '_> {
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
            let is_counter = matches!(reading.origin, Origin::Counter);
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
            .map(|told| (told.key(), told))
            .collect();
        for now in &line.told {
            if let Some(then) = before.get(&now.key())
                && let (Some(now_at), Some(then_at)) = (instant(&now.as_of), instant(&then.as_of))
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

    pub(super) fn chain(&self, line: &mut Line, rule: &Rule, item: &CatalogItem) -> Result<Chain, Stop> {
        let several: BTreeSet<_> = self.parts.iter().map(|part| part.whose).collect();
        let told = several.len() > 1 || self.parts.iter().any(|part| part.whose != part.customer);
        let names: Vec<String> =
            self.parts.iter().map(|part| self.scene.customer_name(part.source, part.whose)).collect();
        let mut parts = Vec::with_capacity(self.parts.len());
        for (counted, name) in self.parts.iter().zip(&names) {
            match counted.readings {
                [reading] => parts.push(Part { whose: told.then_some(name.as_str()), reading }),
                several => {
                    let units: Vec<&str> =
                        several.iter().map(|r| r.unit.as_deref().unwrap_or("no unit")).collect();
                    let message = format!(
                        "{}: {} is counted in several units ({}), and nobody says which one is billed.",
                        self.name(Some(item)),
                        self.scene.service_name(counted.source, counted.service),
                        units.join(", ")
                    );
                    return Err(self.stop(Code::Tu5004, message));
                }
            }
        }
        let whose: BTreeSet<_> = self.parts.iter().map(|part| (part.source, part.whose)).collect();
        let mut excluded = Vec::new();
        for service in rule.excluded_services() {
            for (source, customer) in &whose {
                excluded.extend(self.scene.readings.of(source, customer, service));
            }
        }
        let excluded: Vec<Part<'_>> =
            excluded.into_iter().map(|reading| Part { whose: None, reading }).collect();
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

pub(super) fn told_of<'c>(counted: &'c Counted<'_>) -> impl Iterator<Item = Told> + 'c {
    counted.readings.iter().map(|reading| Told {
        source: counted.source.clone(),
        customer: counted.whose.clone(),
        service: counted.service.clone(),
        unit: reading.unit.clone(),
        as_of: reading.as_of.clone(),
    })
}

/// An instant of a source; a date counts from its first moment.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let day: Date = text.get(..10)?.parse().ok()?;
    day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
