//! Why a customer may be a company, and a product a catalog item: identifiers that agree, each with its weight.

use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Customer, Product};
use trueup_domain::mapping_rules;
use trueup_domain::psa::{CatalogItem, Company, CompanyState};

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `tax_id`, `domain`, `code`, `sku` or `name`.
    pub by: &'static str,
    /// What agrees, in words.
    pub words: String,
    /// How sure it makes, in percent, by itself.
    pub weight: usize,
}

/// Something at the source that may be something in ConnectWise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Id at the source.
    pub source_id: String,
    /// Id in ConnectWise.
    pub psa_id: i64,
    /// Why, the weightiest first.
    pub reasons: Vec<Reason>,
}

/// How sure several reasons make together: each takes away its share of the doubt that the others leave. Never 100: only
/// a person knows.
pub fn confidence<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> usize {
    let doubt =
        reasons.into_iter().fold(10_000_usize, |doubt, reason| doubt * (100 - reason.weight.min(99)) / 100);
    (100 - doubt.div_ceil(100)).min(99)
}

/// Hosts whose mail is anybody's: a domain there tells nothing.
const ANYBODYS: [&str; 12] = [
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "live.com",
    "yahoo.com",
    "icloud.com",
    "aol.com",
    "gmx.de",
    "gmx.net",
    "web.de",
    "proton.me",
];

/// The domain that an address, a mail address or a host names; none where it tells nothing.
pub fn domain_of(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().trim_end_matches('.');
    let host = host.strip_prefix("www.").unwrap_or(host);
    let usable = host.contains('.')
        && !ANYBODYS.contains(&host)
        && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-'));
    usable.then(|| host.to_owned())
}

/// Letters and digits alone, in capitals: how identifiers are compared.
pub fn plain(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect();
    (!plain.is_empty()).then_some(plain)
}

type Sign = (&'static str, String);

/// Names of hosts at which anybody has mail or a page, under whatever ending. A rule believes none of them; a proposal is
/// looked at by a person, and leaves out the most common alone.
const FAMILIES: [&str; 66] = [
    "163",
    "aol",
    "arcor",
    "att",
    "bellsouth",
    "bigpond",
    "blogspot",
    "bluewin",
    "btinternet",
    "business",
    "charter",
    "comcast",
    "cox",
    "facebook",
    "fastmail",
    "free",
    "freenet",
    "gmail",
    "gmx",
    "google",
    "googlemail",
    "hey",
    "home",
    "hotmail",
    "icloud",
    "inbox",
    "instagram",
    "interia",
    "jimdo",
    "jimdosite",
    "laposte",
    "libero",
    "linkedin",
    "list",
    "live",
    "mac",
    "mail",
    "me",
    "msn",
    "o2",
    "onet",
    "orange",
    "outlook",
    "proton",
    "protonmail",
    "qq",
    "rambler",
    "rocketmail",
    "sbcglobal",
    "seznam",
    "sky",
    "skynet",
    "squarespace",
    "t-online",
    "telenet",
    "tutanota",
    "verizon",
    "wanadoo",
    "web",
    "wixsite",
    "wordpress",
    "wp",
    "yahoo",
    "yandex",
    "ziggo",
    "zoho",
];

/// The domain of a firm's own site; none where it may be anybody's.
fn own_domain(text: &str) -> Option<String> {
    domain_of(text).filter(|host| {
        let names = host.rsplit('.').skip(1);
        !names.into_iter().any(|name| FAMILIES.contains(&name))
    })
}

/// Shorter codes agree by accident.
const LEAST_CODE: usize = 4;

/// What a rule compares: only what is meant for it. An id of the source stands against an account number, a code against
/// an identifier; a mail address says where somebody has mail, not who they are.
fn for_rule(
    sign: mapping_rules::Sign,
    name: &str,
    tax_id: Option<&str>,
    sites: &[Option<&str>],
    (id, code): (Option<&str>, Option<&str>),
) -> BTreeSet<String> {
    let long = |text: Option<&str>| text.and_then(plain).filter(|code| code.chars().count() >= LEAST_CODE);
    match sign {
        mapping_rules::Sign::Name => plain(name).into_iter().collect(),
        mapping_rules::Sign::TaxId => tax_id.and_then(plain).filter(|id| id.len() >= 5).into_iter().collect(),
        mapping_rules::Sign::Domain => sites.iter().flatten().filter_map(|site| own_domain(site)).collect(),
        mapping_rules::Sign::Code => {
            let id = long(id).map(|id| format!("id {id}"));
            let code = long(code).map(|code| format!("code {code}"));
            id.into_iter().chain(code).collect()
        }
        mapping_rules::Sign::Sku => BTreeSet::new(),
    }
}

/// What a customer shows of one kind of sign, for a rule.
pub(super) fn of_customer(customer: &Customer, sign: mapping_rules::Sign) -> BTreeSet<String> {
    let sites = [customer.domain.as_deref(), customer.website.as_deref()];
    let codes = (Some(customer.id.as_str()), customer.code.as_deref());
    for_rule(sign, &customer.name, customer.tax_id.as_deref(), &sites, codes)
}

/// What a company shows of one kind of sign, for a rule.
pub(super) fn of_company(company: &Company, sign: mapping_rules::Sign) -> BTreeSet<String> {
    let profile = &company.profile;
    let codes = (profile.account_number.as_deref(), Some(company.identifier.as_str()));
    for_rule(sign, &company.name, profile.tax_id.as_deref(), &[profile.website.as_deref()], codes)
}

/// What a product shows of one kind of sign.
pub(super) fn of_product(product: &Product, sign: mapping_rules::Sign) -> BTreeSet<String> {
    with_name(signs_of_product(product), &product.name, sign)
}

/// What a catalog item shows of one kind of sign.
pub(super) fn of_item(item: &CatalogItem, sign: mapping_rules::Sign) -> BTreeSet<String> {
    with_name(signs_of_item(item), &item.description, sign)
}

fn with_name(signs: BTreeSet<Sign>, name: &str, sign: mapping_rules::Sign) -> BTreeSet<String> {
    match sign {
        mapping_rules::Sign::Name => plain(name).into_iter().collect(),
        other => signs.into_iter().filter(|(by, _)| *by == other.name()).map(|(_, value)| value).collect(),
    }
}

fn signs_of_product(product: &Product) -> BTreeSet<Sign> {
    let texts = [product.sku.as_deref(), Some(product.id.as_str())];
    texts.into_iter().flatten().filter_map(plain).map(|sku| ("sku", sku)).collect()
}

fn signs_of_item(item: &CatalogItem) -> BTreeSet<Sign> {
    plain(&item.identifier).map(|sku| ("sku", sku)).into_iter().collect()
}

fn signs_of_customer(customer: &Customer) -> BTreeSet<Sign> {
    let mut signs = BTreeSet::new();
    let mut add = |by, value: Option<String>| signs.extend(value.map(|v| (by, v)));
    add("tax_id", customer.tax_id.as_deref().and_then(plain).filter(|id| id.len() >= 5));
    for text in [&customer.domain, &customer.website, &customer.email].into_iter().flatten() {
        add("domain", domain_of(text));
    }
    for text in [customer.code.as_deref(), Some(customer.id.as_str())].into_iter().flatten() {
        add("code", plain(text));
    }
    signs
}

fn signs_of_company(company: &Company) -> BTreeSet<Sign> {
    let profile = &company.profile;
    let mut signs = BTreeSet::new();
    let mut add = |by, value: Option<String>| signs.extend(value.map(|v| (by, v)));
    add("tax_id", profile.tax_id.as_deref().and_then(plain).filter(|id| id.len() >= 5));
    for text in [&profile.website, &profile.email].into_iter().flatten() {
        add("domain", domain_of(text));
    }
    for text in [Some(company.identifier.as_str()), profile.account_number.as_deref()].into_iter().flatten() {
        add("code", plain(text));
    }
    signs
}

fn weight(by: &str) -> usize {
    match by {
        "tax_id" => 95,
        "sku" => 95,
        "domain" => 80,
        _ => 75, // open set: a code of one's own
    }
}

fn matches<'a, T: 'a>(
    records: impl IntoIterator<Item = &'a T>,
    id: impl Fn(&T) -> String,
    signs: impl Fn(&T) -> BTreeSet<Sign>,
    targets: Vec<(i64, BTreeSet<Sign>)>,
) -> Vec<Match> {
    let mut by_sign: BTreeMap<Sign, Vec<i64>> = BTreeMap::new();
    for (target, signs) in targets {
        for sign in signs {
            by_sign.entry(sign).or_default().push(target);
        }
    }
    let mut found = Vec::new();
    for record in records {
        let mut reasons: BTreeMap<i64, Vec<Reason>> = BTreeMap::new();
        for sign in signs(record) {
            let Some(targets) = by_sign.get(&sign) else { continue };
            let (by, value) = &sign;
            for target in targets {
                // What several share tells less about each.
                let weight = if targets.len() > 1 { weight(by) / 2 } else { weight(by) };
                let what = match *by {
                    "tax_id" => "the same tax id",
                    "domain" => "the same domain",
                    "sku" => "the same part number",
                    _ => "the same code", // open set: words of ours
                };
                let words = format!("{what} {value}");
                reasons.entry(*target).or_default().push(Reason { by, words, weight });
            }
        }
        found.extend(reasons.into_iter().map(|(psa_id, mut reasons)| {
            reasons.sort_by(|a, b| b.weight.cmp(&a.weight).then(a.by.cmp(b.by)));
            Match { source_id: id(record), psa_id, reasons }
        }));
    }
    found
}

/// Customers that share tax id, domain or code with active companies.
pub fn of_customers<'a>(
    customers: impl IntoIterator<Item = &'a Customer>,
    companies: impl IntoIterator<Item = &'a Company>,
) -> Vec<Match> {
    let targets = companies
        .into_iter()
        .filter(|company| company.state == CompanyState::Active)
        .map(|company| (company.id.0, signs_of_company(company)))
        .collect();
    matches(customers, |customer| customer.id.to_string(), signs_of_customer, targets)
}

/// Products whose part number or id is the identifier of a usable catalog item.
pub fn of_products<'a>(
    products: impl IntoIterator<Item = &'a Product>,
    items: impl IntoIterator<Item = &'a CatalogItem>,
) -> Vec<Match> {
    let targets = items
        .into_iter()
        .filter(|item| !item.inactive && !item.bundle)
        .map(|item| (item.id.0, signs_of_item(item)))
        .collect();
    matches(products, |product| product.id.to_string(), signs_of_product, targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_found_in_addresses_of_all_kinds() {
        let rows = [
            ("https://www.GreenLane.com/about?x", Some("greenlane.com")),
            ("ada@greenlane.com", Some("greenlane.com")),
            ("greenlane.com:8443", Some("greenlane.com")),
            ("http://ada:secret@greenlane.com/", Some("greenlane.com")),
            ("ada@gmail.com", None),
            ("localhost", None),
            ("", None),
            ("://", None),
        ];
        for (text, wanted) in rows {
            assert_eq!(domain_of(text).as_deref(), wanted, "{text}");
        }
    }

    fn customer(text: &str) -> Customer {
        let line = format!(r#"{{"customer":{{"name":"Green Lane LLC",{text}}}}}"#);
        match serde_json::from_str(&line) {
            Ok(trueup_domain::feed::Record::Customer(customer)) => customer,
            other => panic!("{other:?}"),
        }
    }

    fn company(identifier: &str, account: &str, website: &str) -> Company {
        Company {
            id: trueup_domain::ids::CompanyId(1),
            identifier: identifier.to_owned(),
            name: "Another".to_owned(),
            state: CompanyState::Active,
            currency: None,
            profile: trueup_domain::psa::CompanyProfile {
                account_number: Some(account.to_owned()),
                website: Some(website.to_owned()),
                email: Some("ada@t-online.de".to_owned()),
                ..trueup_domain::psa::CompanyProfile::default()
            },
        }
    }

    /// Whether a rule takes the two for one.
    fn agree(text: &str, company: &Company, sign: mapping_rules::Sign) -> bool {
        let (ours, theirs) = (of_customer(&customer(text), sign), of_company(company, sign));
        ours.intersection(&theirs).next().is_some()
    }

    #[test]
    fn a_rule_believes_no_coincidence() {
        let domain = mapping_rules::Sign::Domain;
        let lane = company("GreenLane", "C-10099", "https://www.greenlane.com/");
        assert!(agree(r#""id":"1","website":"greenlane.com""#, &lane, domain));
        assert!(agree(r#""id":"1","domain":"greenlane.com""#, &lane, domain));
        assert!(
            !agree(r#""id":"1","email":"ada@greenlane.com""#, &lane, domain),
            "anybody may write from there"
        );
        assert!(!agree(r#""id":"1","email":"ada@t-online.de""#, &lane, domain));
        for host in
            ["t-online.de", "yahoo.co.uk", "hotmail.fr", "me.com", "facebook.com/lane", "lane.wixsite.com"]
        {
            let shared = company("x", "y", host);
            assert!(!agree(&format!(r#""id":"1","website":"{host}""#), &shared, domain), "{host}");
        }
        let code = mapping_rules::Sign::Code;
        assert!(agree(r#""id":"c10099""#, &lane, code), "the id of the source is the account number");
        assert!(agree(r#""id":"1","code":"green lane""#, &lane, code));
        assert!(!agree(r#""id":"greenlane""#, &lane, code), "an id is no identifier");
        assert!(!agree(r#""id":"1","code":"C-10099""#, &lane, code), "a code is no account number");
        assert!(!agree(r#""id":"101""#, &company("x", "101", ""), code), "so short agrees by accident");
    }

    #[test]
    fn reasons_add_up_and_never_to_certainty() {
        let reason = |weight| Reason { by: "name", words: String::new(), weight };
        assert_eq!(confidence([&reason(80)]), 80);
        assert_eq!(confidence([&reason(80), &reason(75)]), 95);
        assert_eq!(confidence([&reason(99), &reason(99), &reason(100)]), 99);
        assert_eq!(confidence([]), 0);
    }
}
