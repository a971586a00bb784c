//! Fields that go back and forth: trueup writes one value, a person another, and so on. Each edit is told by itself
//! (TU7002, TU3008) and nothing is written over it; what comes back again and again is a question of who owns the field.
//!
//! An edit is counted when a field differs that did not differ at the pull before. It stops differing where somebody puts
//! it back, where a mapping takes it over, or where a later order writes the line anew. The count is kept by subscription
//! and product, since a change of quantity ends one addition and begins another.

use crate::failure::Failure;
use crate::ports::Store;
use jiff::Span;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use trueup_domain::desired::differing;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, AgreementId, OrganizationId, ProductId, SourceId, SubscriptionId};
use trueup_domain::plan::{AdditionLink, Field, Role};
use trueup_domain::psa::{ObservedAddition, Snapshot};

/// So many edits of one field are back and forth.
const MANY: usize = 3;
/// Within so many days; what people change once a year is no fight.
const DAYS: i64 = 90;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Line {
    source: SourceId,
    subscription: SubscriptionId,
    product: ProductId,
    role: Role,
}

fn line_of(link: &AdditionLink) -> Line {
    Line {
        source: link.source.clone(),
        subscription: link.subscription.clone(),
        product: link.product.clone(),
        role: link.role,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Place {
    line: Line,
    field: Field,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct History {
    place: Place,
    agreement: AgreementId,
    addition: AdditionId,
    /// Whether it differed at the last look.
    differs: bool,
    /// The days on which an edit was seen, the last ones alone.
    edits: Vec<Date>,
}

/// What is remembered of edits, with what this pull saw.
pub(super) struct Reversals {
    org: OrganizationId,
    mark: String,
    text: String,
    known: BTreeMap<Place, History>,
    looked_at: BTreeSet<Line>,
    differ: BTreeMap<Place, (AgreementId, AdditionId)>,
}

impl Reversals {
    /// What earlier pulls of the connection saw.
    pub(super) async fn load(
        store: &dyn Store,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Self, Failure> {
        let mark = format!("edits/{connection}");
        let text = store.load_mark(org, &mark).await?.unwrap_or_default();
        let list: Vec<History> = serde_json::from_str(&text).unwrap_or_default();
        let known = list.into_iter().map(|history| (history.place.clone(), history)).collect();
        let (looked_at, differ) = (BTreeSet::new(), BTreeMap::new());
        Ok(Self { org: org.clone(), mark, text, known, looked_at, differ })
    }

    /// Compares a part of the picture with what was written there.
    pub(super) fn note(&mut self, links: &[AdditionLink], part: &Snapshot) {
        let there: HashMap<AdditionId, &ObservedAddition> =
            part.additions.values().flatten().map(|addition| (addition.id, addition)).collect();
        for link in links.iter().filter(|link| !link.deleted && part.additions.contains_key(&link.agreement))
        {
            self.looked_at.insert(line_of(link));
            let Some(addition) = there.get(&link.addition) else { continue };
            for field in differing(&link.written, &addition.state).iter() {
                let place = Place { line: line_of(link), field };
                self.differ.insert(place, (link.agreement, link.addition));
            }
        }
    }

    /// Counts what differs now and did not before, and tells the fields that go back and forth. What was last edited long
    /// ago is forgotten.
    pub(super) fn conclude(&mut self, today: Date) -> Vec<Finding> {
        for (place, history) in &mut self.known {
            // What was not looked at stands where it stood.
            if self.looked_at.contains(&place.line) {
                history.differs = history.differs && self.differ.contains_key(place);
            }
        }
        for (place, (agreement, addition)) in std::mem::take(&mut self.differ) {
            let history = self.known.entry(place.clone()).or_insert_with(|| History {
                place,
                agreement,
                addition,
                differs: false,
                edits: Vec::new(),
            });
            (history.agreement, history.addition) = (agreement, addition);
            if !history.differs {
                history.differs = true;
                history.edits.push(today);
                let early = history.edits.len().saturating_sub(MANY);
                history.edits.drain(..early);
            }
        }
        let since = today.checked_sub(Span::new().days(DAYS)).unwrap_or(Date::MIN);
        let is_recent = |day: &Date| *day >= since;
        self.known.retain(|_, history| history.differs || history.edits.last().is_some_and(is_recent));
        let fights = self
            .known
            .values()
            .filter(|history| history.edits.len() >= MANY && history.edits.first().is_some_and(is_recent));
        fights.map(told).collect()
    }

    /// Keeps what was seen for the next pull.
    pub(super) async fn save(&self, store: &dyn Store) -> Result<(), Failure> {
        let list: Vec<&History> = self.known.values().collect();
        let text = serde_json::to_string(&list).unwrap_or_default();
        if text == self.text || (list.is_empty() && self.text.is_empty()) {
            return Ok(());
        }
        Ok(store.save_mark(&self.org, &self.mark, &text).await?)
    }
}

fn told(history: &History) -> Finding {
    let Place { line: Line { source, subscription, product, role }, field } = &history.place;
    let role = role.name();
    let days: Vec<String> = history.edits.iter().map(ToString::to_string).collect();
    let message = format!(
        "The {} of {product} ({role}) of subscription {subscription} goes back and forth: a person changed what trueup had \
         written on {}, each time after it had been settled.",
        field.name(),
        days.join(", ")
    );
    let subject = Subject {
        source: Some(source.clone()),
        subscription: Some(subscription.clone()),
        product: Some(product.clone()),
        agreement: Some(history.agreement),
        addition: Some(history.addition),
        detail: Some(field.name().to_owned()),
        ..Subject::default()
    };
    Finding::new(Code::Tu7008, subject, message).fix(
        "Decide who owns the field: correct it at the source by an order, or leave the line to ConnectWise and ignore this.",
    )
}
