//! What a line stands on beside ConnectWise: the levels that make it, and what people set for them.

use super::compare::Inputs;
use super::config::ServiceTarget;
use super::line::LineKey;
use super::wants::{billed_as, chosen_agreement};
use crate::feed::Customer;
use crate::ids::{AgreementId, CatalogItemId, CustomerId, SourceId};
use crate::mapping::Mappings;
use crate::plan::{CountedFooting, short_hash};
use std::collections::BTreeMap;

/// What lines stand on as it is now, each with the name under which its services are assigned: it is the same in every
/// tenant. When something was counted does not matter: the same level asks for the same.
pub fn footings(
    inputs: &Inputs<'_>,
    (mappings, customers): (&Mappings, &BTreeMap<(SourceId, CustomerId), Customer>),
    lines: &BTreeMap<LineKey, String>,
) -> BTreeMap<LineKey, CountedFooting> {
    let mut said: BTreeMap<LineKey, String> = BTreeMap::new();
    for ((source, whose, service), readings) in inputs.readings.iter() {
        let customer = billed_as((mappings, customers), inputs.policy.with_children, source, whose);
        let Some(agreement) = chosen_agreement(mappings, source, customer) else { continue };
        let first = (agreement, CatalogItemId(i64::MIN));
        for (key, name) in lines.range(first..).take_while(|((of, _), _)| *of == agreement) {
            let rule = inputs.config.rule(source, name, customer);
            let assigned = inputs.config.assignment(source, service, customer).map(|found| found.target);
            let is_assigned =
                matches!(assigned, Some(ServiceTarget::Item { identifier, .. }) if identifier == name);
            let is_billed = is_assigned
                && inputs.config.bills(source, (customer, whose), service, inputs.policy.ticked_only);
            if !is_billed && !rule.excluded_services().any(|excluded| excluded == service) {
                continue;
            }
            let company = mappings.company_of(source, customer);
            let said = said.entry(*key).or_default();
            said.push_str(&format!("{source} {whose} {customer} {company:?} {service} {is_billed} {rule:?}"));
            for reading in readings {
                said.push_str(&format!(
                    " {} {:?} {:?}",
                    reading.value.display(),
                    reading.unit,
                    reading.doubt
                ));
            }
            said.push('\n');
        }
    }
    let of = |(key, name): (&LineKey, &String)| {
        let levels = short_hash("st", &[said.get(key).map_or("", String::as_str)], 26);
        (*key, CountedFooting { agreement: key.0, item: key.1, name: name.clone(), levels })
    };
    lines.iter().map(of).collect()
}

impl CountedFooting {
    /// Of which line.
    pub fn line(&self) -> (AgreementId, CatalogItemId) {
        (self.agreement, self.item)
    }
}
