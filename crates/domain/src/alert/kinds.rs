//! Kinds that are known: those of backup and sync vendors, and trueup's own.

use crate::finding::Code;

/// A kind that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindRow {
    /// The word.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Whether it makes tickets only where a rule names it: a rule about every kind does not switch it on.
    pub named_alone: bool,
}

const fn row(name: &'static str, meaning: &'static str) -> KindRow {
    KindRow { name, meaning, named_alone: false }
}

const fn named(name: &'static str, meaning: &'static str) -> KindRow {
    KindRow { name, meaning, named_alone: true }
}

/// The kind under which a storm's own ticket is made.
pub const STORM: &str = "storm";
/// A device that was silent for too long.
pub const DEVICE_OFFLINE: &str = "device_offline";
/// A sign of life, which is no alert by itself.
pub const HEARTBEAT: &str = "heartbeat";
/// A source that told nothing for too long.
pub const SOURCE_SILENT: &str = "source_silent";

/// The kinds that are known. A source may tell any other.
pub const KINDS: &[KindRow] = &[
    row("failed_backup", "a backup failed"),
    row("missed_backup", "a backup did not run when it should have"),
    row("no_backup", "there is no backup"),
    named("successful_backup", "a backup succeeded"),
    row("disk_usage", "a disk is full, or nearly"),
    row("pool_usage", "a storage pool is full, or nearly"),
    row("pool_state", "a storage pool is not healthy"),
    row("agent_status", "an agent does not work"),
    row("boot_vm_check", "a backup did not start as a virtual machine"),
    row("replication", "replication does not work"),
    row(DEVICE_OFFLINE, "a device was silent for longer than it may be (silent_minutes)"),
    named(HEARTBEAT, "a sign of life; silent_minutes of device_offline counts from it"),
    row("out_of_sync", "something is out of sync"),
    row("quota_reached", "a quota is reached"),
    row("account_locked", "an account is locked"),
    row("sync_conflict", "two changes of one file contradict each other"),
    row(STORM, "the ticket under which many tickets at once lie"),
    named("push_failed", "something could not be written to ConnectWise"),
    named("not_mapped", "a customer, product or agreement is not mapped"),
    named("rights_missing", "the API member lacks a right, or its keys are refused"),
    named(SOURCE_SILENT, "a source told nothing for longer than it may be (silent_minutes)"),
    named("findings", "any finding of trueup; a single one is named by its code, such as TU2003"),
];

/// The kind of trueup's own that a code belongs to; none where it has but its own and `findings`.
pub fn group_of(code: Code) -> Option<&'static str> {
    let name = code.row().name;
    match name.get(..4)? {
        "TU10" => Some("rights_missing"),
        "TU20" => Some("not_mapped"),
        "TU70" => Some("push_failed"),
        _ => None, // open set: groups of codes
    }
}

/// The kinds under which rules for a finding are looked for, nearest first.
pub fn kinds_of_finding(code: &str) -> Vec<&str> {
    let group = Code::from_name(code).and_then(group_of);
    std::iter::once(code).chain(group).chain(["findings"]).collect()
}

/// Whether a finding is about tickets themselves: it never becomes one, or each would beget the next.
pub fn tells_of_tickets(code: Code) -> bool {
    code.row().name.starts_with("TU95")
}
