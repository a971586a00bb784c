//! Proposals for mappings, by name: customers and companies, products and catalog items.

use super::reasons;
use crate::app::{App, source_of};
use crate::failure::{CliError, Exit};
use crate::mapping_csv;
use crate::output;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::SourceId;
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::psa::{CompanyState, Snapshot};
use utoipa::ToSchema;

/// Names that share fewer of their words (in percent) are no proposal.
const LEAST: usize = 60;
/// Proposals for one record at most.
pub(super) const MOST: usize = 3;
/// Words of a company's name that say nothing about which company it is.
const LEGAL: [&str; 20] = [
    "llc",
    "llp",
    "sarl",
    "srl",
    "kg",
    "and",
    "incorporated",
    "inc",
    "ltd",
    "limited",
    "gmbh",
    "corp",
    "corporation",
    "co",
    "company",
    "plc",
    "bv",
    "ag",
    "sa",
    "pty",
];

/// Flags of `mapping suggest`.
#[derive(Args, Debug)]
pub struct SuggestArgs {
    /// The source whose records are looked at
    #[arg(long, value_name = "NAME", default_value = "default")]
    source: String,
    /// Prints the best proposal of each record as a file for `mapping import`
    #[arg(long)]
    csv: bool,
}

/// One proposal.
#[derive(Serialize, ToSchema)]
pub struct Proposal {
    /// `customer` or `product`.
    #[schema(value_type = String)]
    pub(super) kind: &'static str,
    /// Id at the source.
    pub(super) source_id: String,
    /// Name at the source.
    pub(super) source_name: String,
    /// Id in ConnectWise.
    pub(super) psa_id: i64,
    /// Name in ConnectWise.
    pub(super) psa_name: String,
    /// Shared words in percent; 100 for equal names.
    pub(super) score: usize,
    /// How sure all reasons make together, in percent; never 100.
    pub(super) confidence: usize,
    /// Why, the weightiest first.
    pub(super) reasons: Vec<ReasonDoc>,
    /// Others of the source that are mapped to it already.
    pub(super) taken_by: Vec<String>,
}

/// One reason of a proposal.
#[derive(Clone, Serialize, ToSchema)]
pub struct ReasonDoc {
    /// `tax_id`, `domain`, `code`, `sku` or `name`.
    #[schema(value_type = String)]
    pub(super) by: &'static str,
    /// What agrees, in words.
    pub(super) words: String,
    /// How sure it makes by itself, in percent.
    pub(super) weight: usize,
}

/// A record with the names it goes by.
struct Named {
    id: String,
    name: String,
    keys: Vec<BTreeSet<String>>,
}

/// Runs the command.
pub async fn run(app: &App, args: SuggestArgs) -> Result<Exit, CliError> {
    let source = source_of(Some(&args.source));
    let found = find(app, &source).await?;
    if args.csv {
        return as_csv(&found, &source);
    }
    app.out.show(&json!({ "suggestions": found }), |out| {
        let rows = found
            .iter()
            .map(|p| {
                vec![
                    p.kind.to_owned(),
                    p.source_id.clone(),
                    p.source_name.clone(),
                    p.psa_id.to_string(),
                    p.psa_name.clone(),
                    format!("{} %", p.confidence),
                    p.reasons.iter().map(|r| r.words.as_str()).collect::<Vec<_>>().join(", "),
                ]
            })
            .collect();
        out.table(&["kind", "source id", "name", "psa id", "name there", "sure", "why"], rows);
    });
    Ok(Exit::Done)
}

/// What customers and products that are not mapped yet may be in ConnectWise.
///
/// # Errors
/// The store's, or nothing is known of ConnectWise.
pub async fn find(app: &App, source: &SourceId) -> Result<Vec<Proposal>, CliError> {
    let connection = app.connection(None).await?;
    let Some((_, snapshot)) = app.store().load_snapshot(app.org(), &connection.name).await? else {
        return Err(CliError::usage("nothing is known of ConnectWise yet", "Run `trueup psa pull` first."));
    };
    let mapped = app.store().list_mappings(app.org()).await?;
    let mut found = proposals(
        MappingKind::Customer,
        &unmapped(customers(app, source).await?, MappingKind::Customer, source, &mapped),
        &companies(&snapshot),
    );
    found.extend(proposals(
        MappingKind::Product,
        &unmapped(products(app, source).await?, MappingKind::Product, source, &mapped),
        &items(&snapshot),
    ));
    reasons::add(app, source, &snapshot, &mapped, found).await
}

fn as_csv(found: &[Proposal], source: &SourceId) -> Result<Exit, CliError> {
    let mut best: BTreeMap<(&str, &str), &Proposal> = BTreeMap::new();
    for proposal in found {
        best.entry((proposal.kind, &proposal.source_id)).or_insert(proposal);
    }
    let mappings: Vec<Mapping> = best
        .into_values()
        .filter_map(|p| {
            Some(Mapping {
                kind: MappingKind::from_name(p.kind)?,
                source: source.clone(),
                source_id: p.source_id.clone(),
                psa_id: Some(p.psa_id),
                scope: String::new(),
                options: BTreeMap::new(),
                origin: MappingOrigin::Person,
            })
        })
        .collect();
    let text = mapping_csv::write(&mappings).map_err(|error| {
        CliError::usage(format!("the proposals cannot be written: {error}"), "Try again.")
    })?;
    output::print(text.trim_end());
    Ok(Exit::Done)
}

async fn customers(app: &App, source: &SourceId) -> Result<Vec<Named>, CliError> {
    let rows = app.store().list_records(app.org(), Some(source), RecordKind::Customer).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match row.record {
            Record::Customer(c) => Some(named(c.id.to_string(), c.name, c.code.as_deref())),
            _ => None, // open set: only customers were asked for
        })
        .collect())
}

async fn products(app: &App, source: &SourceId) -> Result<Vec<Named>, CliError> {
    let rows = app.store().list_records(app.org(), Some(source), RecordKind::Product).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match row.record {
            Record::Product(p) => Some(named(p.id.to_string(), p.name, p.sku.as_deref())),
            _ => None, // open set: only products were asked for
        })
        .collect())
}

fn companies(snapshot: &Snapshot) -> Vec<Named> {
    snapshot
        .companies
        .values()
        .filter(|c| c.state == CompanyState::Active)
        .map(|c| named(c.id.to_string(), c.name.clone(), Some(&c.identifier)))
        .collect()
}

fn items(snapshot: &Snapshot) -> Vec<Named> {
    snapshot
        .catalog
        .values()
        .filter(|i| !i.inactive && !i.bundle)
        .map(|i| named(i.id.to_string(), i.description.clone(), Some(&i.identifier)))
        .collect()
}

fn named(id: String, name: String, other: Option<&str>) -> Named {
    let keys =
        [Some(name.as_str()), other].into_iter().flatten().map(words).filter(|w| !w.is_empty()).collect();
    Named { id, name, keys }
}

/// The words of a name that tell which one it is: without case, accents, punctuation and legal form. A name that is
/// nothing but a legal form keeps it.
fn words(text: &str) -> BTreeSet<String> {
    let spaced: String = text
        .chars()
        .filter(|c| !matches!(c, '\'' | '’'))
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_alphanumeric() { plain(c) } else { ' ' })
        .collect();
    let all = joined(spaced.split_whitespace());
    let telling: BTreeSet<String> = all.iter().filter(|w| !LEGAL.contains(&w.as_str())).cloned().collect();
    if telling.is_empty() { all.into_iter().collect() } else { telling }
}

/// Letters that stand alone in a row are one abbreviation: `L.L.C.` is `llc`, `B. V.` is `bv`.
fn joined<'a>(tokens: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut in_row = false;
    for token in tokens {
        let mut letters = token.chars();
        let alone = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
        match words.last_mut().filter(|_| alone && in_row) {
            Some(word) => word.push_str(token),
            None => words.push(token.to_owned()),
        }
        in_row = alone;
    }
    words
}

/// The letter without its accent, as far as names of companies have them.
fn plain(letter: char) -> char {
    match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'ç' => 'c',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ñ' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        'ý' | 'ÿ' => 'y',
        other => other,
    }
}

fn unmapped(records: Vec<Named>, kind: MappingKind, source: &SourceId, mapped: &[Mapping]) -> Vec<Named> {
    let known: BTreeSet<&str> = mapped
        .iter()
        .filter(|m| m.kind == kind && &m.source == source)
        .map(|m| m.source_id.as_str())
        .collect();
    records.into_iter().filter(|r| !known.contains(r.id.as_str())).collect()
}

fn proposals(kind: MappingKind, records: &[Named], targets: &[Named]) -> Vec<Proposal> {
    let mut by_word: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (at, target) in targets.iter().enumerate() {
        for word in target.keys.iter().flatten() {
            by_word.entry(word).or_default().insert(at);
        }
    }
    let mut found = Vec::new();
    for record in records {
        let near: BTreeSet<usize> =
            record.keys.iter().flatten().filter_map(|w| by_word.get(w.as_str())).flatten().copied().collect();
        let mut scored: Vec<(usize, &Named)> = near
            .into_iter()
            .filter_map(|at| targets.get(at))
            .map(|target| (likeness(record, target), target))
            .filter(|(score, _)| *score >= LEAST)
            .collect();
        scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.id.cmp(&b.1.id)));
        found.extend(scored.into_iter().take(MOST).filter_map(|(score, target)| {
            Some(Proposal {
                kind: kind.name(),
                source_id: record.id.clone(),
                source_name: record.name.clone(),
                psa_id: target.id.parse().ok()?,
                psa_name: target.name.clone(),
                score,
                confidence: 0,
                reasons: Vec::new(),
                taken_by: Vec::new(),
            })
        }));
    }
    found
}

/// Shared words in percent of all words, of the pair of names that are most alike.
fn likeness(a: &Named, b: &Named) -> usize {
    let pairs = a.keys.iter().flat_map(|x| b.keys.iter().map(move |y| (x, y)));
    pairs
        .map(|(x, y)| {
            let shared = x.intersection(y).count();
            let all = x.union(y).count().max(1);
            shared * 100 / all
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_accents_and_legal_forms_make_no_other_name() {
        let same = [
            ("Green Lane, L.L.C.", "Green Lane LLC"),
            ("Green Lane, Inc.", "Green Lane"),
            ("GREEN LANE LIMITED", "Green Lane Ltd."),
            ("Grüne Gasse GmbH & Co. KG", "Grune Gasse GmbH"),
            ("Groene Laan B.V.", "Groene Laan BV"),
            ("Verte Allée S.à r.l.", "Verte Allee SARL"),
            ("Verte Allée S.A.", "Verte Allee"),
            ("Green Lane A.G.", "Green-Lane AG"),
            ("Green Lane P.L.C.", "Green Lane plc"),
            ("Green Lane Corp", "Green Lane Corporation"),
            ("O’Brien & Sons Co.", "O'Brien and Sons Company"),
            ("The L.L.C.", "The LLC"),
            ("Co", "co."),
        ];
        for (a, b) in same {
            assert_eq!(words(a), words(b), "{a} / {b}");
            assert!(!words(a).is_empty(), "{a}");
        }
        let other =
            [("Green Lane LLC", "Blue Lane LLC"), ("Plan 1", "Plan 2"), ("A B", "A C"), ("", "Green")];
        for (a, b) in other {
            assert_ne!(words(a), words(b), "{a} / {b}");
        }
    }

    #[test]
    fn names_are_alike_without_their_legal_form() {
        let a = named("c-1".into(), "Green Lane LLC".into(), None);
        let b = named("12".into(), "Green Lane, Inc.".into(), Some("GreenLane"));
        assert_eq!(likeness(&a, &b), 100);
        let c = named("13".into(), "Blue Lane".into(), None);
        assert!(likeness(&a, &c) < LEAST);
    }
}
