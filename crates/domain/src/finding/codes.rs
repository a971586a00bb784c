//! The catalogue of exception codes, as data. A code is never renumbered and never reused; texts may be improved.

use super::{Retry, Severity};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct CodeRow {
    /// The code.
    pub code: Code,
    /// Its text form.
    pub name: &'static str,
    /// A short title.
    pub title: &'static str,
    /// The usual severity.
    pub severity: Severity,
    /// What makes it go away.
    pub retry: Retry,
    /// The smallest thing that stops.
    pub blocks: &'static str,
    /// What the user can do.
    pub fix: &'static str,
}

/// One line a code: its name, what it says, how grave it usually is, what makes it go away, the smallest thing that stops,
/// and what the user can do. Enum and catalogue come from the same lines, so that they cannot differ.
macro_rules! codes {
    ($($code:ident = $name:literal $title:literal, $severity:ident, $retry:ident, $blocks:literal, $fix:literal;)+) => {
        /// The stable exception codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "UPPERCASE")]
        pub enum Code {
            $(#[doc = $title] $code,)+
        }

        /// The catalogue, one row a code, in the order of the codes.
        pub const CODES: &[CodeRow] = &[$(CodeRow {
            code: Code::$code,
            name: $name,
            title: $title,
            severity: Severity::$severity,
            retry: Retry::$retry,
            blocks: $blocks,
            fix: $fix,
        },)+];
    };
}

codes! {
    Tu1001 = "TU1001" "ConnectWise out of reach", Error, Auto, "connection",
        "Wait; check the address, the firewall and the ConnectWise status page.";
    Tu1002 = "TU1002" "Credentials refused", Error, Fix, "connection",
        "Check the company id and enter a fresh pair of keys.";
    Tu1003 = "TU1003" "Client id missing or refused", Error, Fix, "connection",
        "Register a client id at the ConnectWise developer site and enter it for the connection.";
    Tu1004 = "TU1004" "Permission missing", Error, Fix, "what needs the right",
        "Give the API member the rights named (module > function > level), then test the connection again.";
    Tu1005 = "TU1005" "Wrong base address", Error, Fix, "connection",
        "Correct the company id, or take the address that is proposed, where one is; a self-hosted server must be on the \
         operator's list first (TRUEUP_ALLOWED_HOSTS, and TRUEUP_ALLOWED_PRIVATE_HOSTS for a private address).";
    Tu1006 = "TU1006" "ConnectWise throttles", Warning, Auto, "nothing",
        "Nothing to do; spread the schedules if it happens often.";
    Tu1007 = "TU1007" "Answer not understood", Error, Auto, "record",
        "Keep the exchange and update trueup, or pin an older API version.";
    Tu2001 = "TU2001" "Customer not mapped", Error, Fix, "customer",
        "Map the customer to a company (`mapping import`, kind customer), or mark it as not billed.";
    Tu2002 = "TU2002" "Mapped company gone", Error, Fix, "customer",
        "Restore the company, or map the customer to another one.";
    Tu2003 = "TU2003" "Product not mapped", Error, Fix, "task",
        "Map the product to a catalog item (`mapping import`, kind product), or mark it as not billed.";
    Tu2004 = "TU2004" "Mapped catalog item cannot be used", Error, Fix, "task",
        "Activate the catalog item, or map the product to another one.";
    Tu2005 = "TU2005" "Fee not mapped", Error, Fix, "line",
        "Map the fee to a catalog item (`mapping import`, kind fee).";
    Tu2006 = "TU2006" "Source customer or product gone", Warning, User, "nothing",
        "Release the mapping, or confirm that the record was renamed.";
    Tu2007 = "TU2007" "Mapping conflict", Error, User, "mapping",
        "Release the older mapping, or give the product an agreement of its own.";
    Tu2008 = "TU2008" "Lookup value missing", Error, Fix, "record",
        "Fill in the lookup value that is named.";
    Tu3001 = "TU3001" "No suitable agreement", Error, Fix, "subscription",
        "Choose, create or change an agreement of the company.";
    Tu3002 = "TU3002" "Several suitable agreements", Error, User, "subscription",
        "Choose one of them (`mapping import`, kind agreement).";
    Tu3003 = "TU3003" "Chosen agreement cannot be used", Error, Fix, "subscription",
        "Choose another agreement, or re-open this one.";
    Tu3004 = "TU3004" "Billing cycle differs", Error, User, "subscription",
        "Choose an agreement with the same billing cycle.";
    Tu3005 = "TU3005" "Subscription would span two agreements", Error, User, "task",
        "Move the subscription as a whole, or name a separate agreement for proration.";
    Tu3006 = "TU3006" "Double proration", Error, User, "task",
        "Let ConnectWise prorate (proration_by), name a separate agreement for proration, or switch the agreement's flag off.";
    Tu3007 = "TU3007" "Several open additions for one product", Error, User, "line",
        "Say which addition it is (`mapping import`, kind addition), or end the others; `--adopt` takes a single match.";
    Tu3008 = "TU3008" "Known addition is gone or was ended", Warning, User, "line",
        "Run again first: a list that ConnectWise gave short for once looks the same. Where it holds, confirm that it stays \
     ended, adopt another addition (`mapping import`, kind addition), or let a new one be created.";
    Tu4001 = "TU4001" "Before the billing start", Error, User, "line",
        "Take the first legal date that is shown, or move the billing start.";
    Tu4002 = "TU4002" "Period already invoiced", Error, User, "line",
        "Nothing, where the next open period is fine; else undo the invoice or let ConnectWise prorate.";
    Tu4003 = "TU4003" "Outside the agreement or term", Error, User, "line",
        "Change the dates, or extend the agreement.";
    Tu4004 = "TU4004" "Billing model not supported", Error, Never, "task",
        "Bill it by hand; the task stays ignored with this reason.";
    Tu4005 = "TU4005" "Ends before the last invoiced day", Warning, User, "line",
        "Keep the proposed last invoiced day, or switch credits on.";
    Tu4006 = "TU4006" "Part period cannot be computed", Error, User, "line",
        "Correct the period at the source.";
    Tu5001 = "TU5001" "Quantities differ", Warning, User, "nothing",
        "Take the source's quantity, keep the one in ConnectWise, or record an exception.";
    Tu5002 = "TU5002" "Quantity fell sharply", Error, User, "line",
        "Approve the new quantity or refuse it.";
    Tu5003 = "TU5003" "Quantity is zero", Warning, User, "line",
        "Write 0, end the line, or keep it.";
    Tu5004 = "TU5004" "Quantity not allowed", Error, Fix, "line",
        "Correct the quantity at the source.";
    Tu5005 = "TU5005" "Value is old or estimated", Warning, Auto, "line",
        "Wait for the final value, or bill the estimate.";
    Tu6001 = "TU6001" "Currency differs", Error, Fix, "subscription",
        "Choose an agreement in the right currency, or correct the source.";
    Tu6002 = "TU6002" "Price or cost missing", Error, Fix, "line",
        "Enter a price, choose the other price source, or confirm 0.";
    Tu6003 = "TU6003" "Price changed beyond the limit", Warning, User, "line",
        "Approve the new price, or keep the old one.";
    Tu6004 = "TU6004" "Margin too low", Warning, User, "nothing",
        "Change price or mark-up, or accept it with a reason.";
    Tu6005 = "TU6005" "Part period or credit left out", Warning, User, "nothing",
        "Take marketplace prices, let ConnectWise prorate, or switch credits on.";
    Tu6006 = "TU6006" "Totals differ", Warning, User, "nothing",
        "Compare the totals; adjust the rounding or the form of the line.";
    Tu7001 = "TU7001" "Plan is out of date", Warning, Auto, "agreement",
        "Plan again and look at the difference.";
    Tu7002 = "TU7002" "Changed by a person", Warning, User, "line",
        "Keep theirs, take ours, or change who owns the field.";
    Tu7003 = "TU7003" "Outcome unknown", Error, Auto, "agreement",
        "Nothing: ConnectWise is read again before anything is sent; run apply once the settle time is over.";
    Tu7004 = "TU7004" "ConnectWise refused the change", Error, User, "line",
        "Correct what ConnectWise names, then retry the task.";
    Tu7005 = "TU7005" "Read-back differs", Warning, User, "nothing",
        "Accept the form in which ConnectWise keeps it, or correct it.";
    Tu7006 = "TU7006" "Waits for an earlier change", Warning, Fix, "task",
        "Solve or ignore the earlier change first.";
    Tu7007 = "TU7007" "Needs approval", Warning, User, "run",
        "Look at the plan, then run `apply --all --approve` or apply it by its id.";
    Tu7008 = "TU7008" "Change goes back and forth", Warning, User, "line",
        "Decide who owns the field.";
    Tu8001 = "TU8001" "Source out of reach or refused", Error, Auto, "source",
        "Check the credentials of the source, or wait.";
    Tu8002 = "TU8002" "List incomplete", Error, Auto, "source",
        "Nothing: the list is read again.";
    Tu8003 = "TU8003" "Source empty or much smaller", Error, User, "source",
        "Confirm that it is true, or repair the source.";
    Tu8004 = "TU8004" "Record refused", Error, Fix, "record",
        "Correct the record at the source and import it again.";
    Tu8005 = "TU8005" "Gap in the history", Error, User, "source",
        "Take a full snapshot and reconcile.";
    Tu8006 = "TU8006" "Sold and billed disagree", Warning, User, "nothing",
        "End, create or map it, or mark it as intended.";
    Tu9001 = "TU9001" "Run missed, skipped or late", Warning, Auto, "run",
        "Nothing: it is caught up once. Check the host.";
    Tu9002 = "TU9002" "Push day adapted", Info, Never, "nothing",
        "Nothing; the date that was used is shown.";
    Tu9101 = "TU9101" "Data directory in use", Error, User, "run",
        "Stop the other process, or use PostgreSQL for several.";
    Tu9102 = "TU9102" "No room or not writable", Error, Auto, "run",
        "Free some room or make the directory writable, then run it again.";
    Tu9103 = "TU9103" "Database out of reach", Error, Auto, "run",
        "Start the database; work resumes by itself.";
    Tu9104 = "TU9104" "Database newer or migration failed", Error, User, "run",
        "Use the version that wrote the database, or restore the backup made before the migration.";
    Tu9105 = "TU9105" "Key missing or wrong", Error, User, "connection",
        "Put the key file back; sealed secrets cannot be read without it.";
    Tu9201 = "TU9201" "Message not delivered", Error, User, "nothing",
        "Look at the log of deliveries, repair the other side, switch it on again and send again what is missing.";
    Tu9501 = "TU9501" "Ticket target not valid", Error, Fix, "ticket",
        "Choose a board, type, status and priority that belong together.";
    Tu9502 = "TU9502" "Ticket could not be made, noted or closed", Error, Fix, "ticket",
        "Give the right that is named; the ticket is sent afterwards.";
    Tu9503 = "TU9503" "Ticket closed while the cause lasts", Info, User, "nothing",
        "Accept it, or reopen the ticket.";
    Tu9504 = "TU9504" "Alert held: not linked", Warning, Fix, "ticket",
        "Link the organization to a company; open alerts are then sent.";
}

impl Code {
    /// The row of the catalogue.
    pub fn row(self) -> &'static CodeRow {
        // The catalogue has one row a code, in the order of the enum: a test compares them.
        &CODES[self as usize]
    }

    /// The code of a text form.
    pub fn from_name(name: &str) -> Option<Self> {
        CODES.iter().find(|row| row.name == name).map(|row| row.code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}
