//! Backups before a migration, rotation of the key that is interrupted, and what is not kept for ever.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use sea_orm::{ConnectionTrait, Database};
use std::path::Path;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{Connection, SecretText};
use trueup_store::backup::{self, BackupError};
use trueup_store::{Gone, Keep, SqlStore, StoreConfig};

fn config(dir: &Path) -> StoreConfig {
    StoreConfig { data_dir: dir.to_owned(), database_url: None }
}

async fn open(dir: &Path) -> SqlStore {
    SqlStore::open(config(dir)).await.unwrap()
}

fn org() -> OrganizationId {
    "a".into()
}

fn connection(name: &str) -> Connection {
    Connection {
        name: name.to_owned(),
        url: "https://api-na.myconnectwise.net".to_owned(),
        company: "c".to_owned(),
        public_key: "p".to_owned(),
        private_key: SecretText::new(format!("secret of {name}")),
        client_id: "i".to_owned(),
        created_at: 1,
    }
}

/// Speaks to the database behind the store's back.
async fn raw(dir: &Path, sql: &str) {
    let db = Database::connect(format!("sqlite://{}", dir.join("trueup.db").display())).await.unwrap();
    db.execute_unprepared(sql).await.unwrap();
    db.close().await.unwrap();
}

async fn secrets(store: &SqlStore) -> Vec<String> {
    let all = store.list_connections(&org()).await.unwrap();
    all.iter().map(|c| c.private_key.reveal().to_owned()).collect()
}

async fn with_two(dir: &Path) -> SqlStore {
    let store = open(dir).await;
    store.ensure_organization(&org()).await.unwrap();
    for name in ["one", "two"] {
        store.save_connection(&org(), &connection(name)).await.unwrap();
    }
    store
}

const BOTH: [&str; 2] = ["secret of one", "secret of two"];

/// Back to the tables of `m0002_picture`: takes away whatever a later migration made.
const BACK: &str = "DROP TABLE person; DROP TABLE session; DROP TABLE api_token; DROP TABLE run; \
    DROP TABLE kept_answer; DROP TABLE schedule; DROP TABLE run_turn; DROP TABLE callback; DROP TABLE picture_hint; \
    DROP TABLE approval; DROP TABLE approval_word; DROP INDEX lease_of; DROP TABLE webhook; DROP TABLE event; \
    DROP TABLE delivery; DROP TABLE delivery_attempt; \
    DROP TABLE quantity_entry; DROP TABLE quantity_line; DROP TABLE call_budget; \
    DROP TABLE alert; DROP TABLE alert_rule; DROP TABLE alert_seen; DROP TABLE activity; \
    DROP INDEX task_list; ALTER TABLE task DROP COLUMN kind; ALTER TABLE task DROP COLUMN search; \
    ALTER TABLE picture DROP COLUMN shared_at; DELETE FROM seaql_migrations WHERE version >= 'm0003'";

#[tokio::test]
async fn a_migration_is_preceded_by_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.save_mark(&org(), "m", "before").await.unwrap();
    store.close().await.unwrap();
    assert!(!dir.path().join("backups").exists(), "a new database has nothing to lose");
    raw(dir.path(), BACK).await;
    let last = "m0002_picture";
    open(dir.path()).await.close().await.unwrap();
    open(dir.path()).await.close().await.unwrap();
    let kept: Vec<_> =
        std::fs::read_dir(dir.path().join("backups")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "one migration, one backup, and nothing else: {kept:?}");
    let copy = dir.path().join("copy");
    let restored = backup::restore(&kept[0], &copy, None).await.unwrap();
    assert_eq!(restored.header.schema, last);
    let store = open(&copy).await;
    assert_eq!(store.load_mark(&org(), "m").await.unwrap().as_deref(), Some("before"));
}

#[tokio::test]
async fn without_room_for_the_backup_there_is_no_migration() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    raw(dir.path(), BACK).await;
    std::fs::write(dir.path().join("backups"), b"a file in the way").unwrap();
    for _ in 0..2 {
        let refused = SqlStore::open(config(dir.path())).await;
        assert!(matches!(refused, Err(StoreError::NotWritable(_))), "{refused:?}");
    }
    std::fs::remove_file(dir.path().join("backups")).unwrap();
    open(dir.path()).await;
}

#[tokio::test]
async fn a_later_versions_backup_is_refused_and_leaves_nothing() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(dir.path()).await.close().await.unwrap();
    raw(dir.path(), "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 1)").await;
    let archive = elsewhere.path().join("b");
    backup::create(dir.path(), &archive, 1).await.unwrap();
    let target = elsewhere.path().join("data");
    let refused = backup::restore(&archive, &target, None).await;
    assert!(matches!(refused, Err(BackupError::Store(StoreError::WrongVersion(_)))), "{refused:?}");
    assert!(!target.exists());
}

#[tokio::test]
async fn a_backup_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = with_two(dir.path()).await;
    let archive = dir.path().join("b");
    let header = backup::create(dir.path(), &archive, 1).await.unwrap();
    assert!(header.key.is_some());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&archive), 0o600);
    let beside: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(beside.iter().all(|name| !name.to_string_lossy().starts_with("b.")), "{beside:?}");
    drop(store);
}

#[tokio::test]
async fn a_rotation_seals_everything_anew_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_two(dir.path()).await;
    let old = std::fs::read(dir.path().join("trueup.key")).unwrap();
    let rotated = store.rotate_key(7, "ann").await.unwrap();
    assert_eq!((rotated.secrets, rotated.resumed), (2, false));
    assert_eq!(secrets(&store).await, BOTH);
    assert_ne!(std::fs::read(dir.path().join("trueup.key")).unwrap(), old);
    assert_eq!(std::fs::read(rotated.previous.unwrap()).unwrap(), old);
    assert!(!dir.path().join("trueup.key.next").exists());
    let entries = store.list_audit(&"*".into(), None, 10).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.entry.action.as_str()).collect::<Vec<_>>(), ["key.rotate"]);
    // The old key alone opens nothing any more.
    std::fs::write(dir.path().join("trueup.key"), old).unwrap();
    assert!(matches!(store.list_connections(&org()).await, Err(StoreError::KeyMissing(_))));
}

#[tokio::test]
async fn a_rotation_that_died_before_its_transaction_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_two(dir.path()).await;
    std::fs::write(dir.path().join("trueup.key.next"), [7_u8; 32]).unwrap();
    assert_eq!(secrets(&store).await, BOTH, "the old key is in use");
    store.save_connection(&org(), &connection("two")).await.unwrap();
    assert_eq!(secrets(&store).await, BOTH, "one secret of each key");
    let rotated = store.rotate_key(7, "ann").await.unwrap();
    assert_eq!((rotated.secrets, rotated.resumed), (1, true));
    assert_eq!(secrets(&store).await, BOTH);
    assert_eq!(std::fs::read(dir.path().join("trueup.key")).unwrap(), [7_u8; 32]);
}

#[tokio::test]
async fn a_rotation_that_died_after_its_transaction_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_two(dir.path()).await;
    store.rotate_key(7, "ann").await.unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::rename(path("trueup.key"), path("trueup.key.next")).unwrap();
    std::fs::rename(path("trueup.key.previous"), path("trueup.key")).unwrap();
    assert_eq!(secrets(&store).await, BOTH, "the new key is found beside the old one");
    let rotated = store.rotate_key(8, "ann").await.unwrap();
    assert_eq!((rotated.secrets, rotated.resumed), (0, true));
    assert_eq!(secrets(&store).await, BOTH);
}

#[tokio::test]
async fn a_key_cut_short_while_it_was_written_is_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_two(dir.path()).await;
    std::fs::write(dir.path().join("trueup.key.next"), b"cut").unwrap();
    assert_eq!(secrets(&store).await, BOTH);
    let rotated = store.rotate_key(7, "ann").await.unwrap();
    assert_eq!((rotated.secrets, rotated.resumed), (2, false));
    assert_eq!(secrets(&store).await, BOTH);
}

#[tokio::test]
async fn a_secret_that_does_not_open_stops_the_rotation_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_two(dir.path()).await;
    let key = std::fs::read(dir.path().join("trueup.key")).unwrap();
    raw(dir.path(), "UPDATE connection SET sealed_private_key = 'v1.AAAA' WHERE name = 'two'").await;
    let refused = store.rotate_key(7, "ann").await;
    assert!(matches!(refused, Err(StoreError::KeyMissing(_))), "{refused:?}");
    assert_eq!(std::fs::read(dir.path().join("trueup.key")).unwrap(), key);
    assert!(!dir.path().join("trueup.key.next").exists());
    store.save_connection(&org(), &connection("two")).await.err();
    raw(dir.path(), "DELETE FROM connection WHERE name = 'two'").await;
    assert_eq!(secrets(&store).await, ["secret of one"]);
    assert!(store.list_audit(&"*".into(), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_replaced_long_ago_goes_and_the_newest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.ensure_organization(&org()).await.unwrap();
    store.ensure_organization(&"b".into()).await.unwrap();
    // Versions 1 to 3 came at 10, 20 and 30; the newest of them is in `record`.
    for org in ["a", "b"] {
        let row = |table: &str, version: i64| {
            format!(
                "INSERT INTO {table} (org, source, kind, id, version, hash, received_at, doc) \
                 VALUES ('{org}', 's', 'customer', 'c', {version}, 'h', {}, '{{}}');",
                version * 10
            )
        };
        let runs = format!(
            "INSERT INTO run (org, id, kind, state, actor, request, attempts, created_at, finished_at, done, total) \
             VALUES ('{org}', 'old', 'check', 'done', 'x', '{{}}', 1, 1, 15, 0, 0), \
             ('{org}', 'new', 'check', 'failed', 'x', '{{}}', 1, 1, 40, 0, 0), \
             ('{org}', 'waits', 'check', 'queued', 'x', '{{}}', 1, 1, NULL, 0, 0);"
        );
        let finding = |id: &str, state: &str, seen: i64| {
            format!(
                "INSERT INTO finding (org, id, scope, code, severity, state, count, first_seen_at, last_seen_at, doc) \
                 VALUES ('{org}', '{id}', 's', 'TU5001', 1, '{state}', 1, 1, {seen}, '{{}}');"
            )
        };
        let findings =
            [finding("1", "resolved", 5), finding("2", "resolved", 50), finding("3", "open", 5)].concat();
        let approval = |id: &str, state: &str, closed: &str| {
            format!(
                "INSERT INTO approval (org, id, plan, connection, persons, reasons, maker, asked_at, state, closed_at) \
                 VALUES ('{org}', '{id}', 'p', 'c', 1, '[]', 'x', 1, '{state}', {closed});\
                 INSERT INTO approval_word (org, approval, number, person, actor, approves, at) \
                 VALUES ('{org}', '{id}', 1, 'x', 'x', 1, 1);"
            )
        };
        let approvals = [
            approval("old", "applied", "15"),
            approval("new", "withdrawn", "40"),
            approval("open", "open", "NULL"),
        ]
        .concat();
        let alert = |id: &str, kind: &str, state: &str, settled: i64, at: i64| {
            format!(
                "INSERT INTO alert (org, id, kind, state, settled, last_at, doc) \
                 VALUES ('{org}', '{id}', '{kind}', '{state}', {settled}, {at}, '{{}}');"
            )
        };
        let alerts = [
            alert("old", "failed_backup", "cleared", 1, 15),
            alert("new", "failed_backup", "cleared", 1, 40),
            alert("lasts", "failed_backup", "open", 1, 15),
            alert("known", "failed_backup", "acknowledged", 1, 15),
            alert("ticket", "failed_backup", "cleared", 0, 15),
            alert("watch", "device_offline", "cleared", 1, 15),
        ]
        .concat();
        let log = |seq: i64| {
            format!(
                "INSERT INTO activity (org, seq, at, kind, doc) VALUES ('{org}', {seq}, {}, 'alert', '{{}}');",
                seq * 15
            )
        };
        let (versions, logs) =
            ([row("record_history", 1), row("record_history", 2)].concat(), [log(1), log(2)].concat());
        let rows = [versions, row("record", 3), runs, findings, approvals, alerts, logs];
        raw(dir.path(), &rows.concat()).await;
    }
    let keep = keep_before(25);
    let one = Gone { feed_versions: 1, runs: 1, findings: 1, approvals: 1, activity: 1, alerts: 1 };
    let forget = |keep: Keep, dry: bool| {
        let store = &store;
        async move { store.forget_old(&org(), keep, 100, "ann", dry).await.unwrap() }
    };
    assert_eq!(forget(Keep::default(), false).await, Gone::default(), "nothing is said to go");
    assert_eq!(forget(keep, true).await, one);
    assert_eq!(forget(keep, false).await, one, "a dry run took nothing");
    assert_eq!(forget(keep, false).await, Gone::default());
    let later = keep_before(1_000);
    assert_eq!(forget(later, false).await, one, "the newest version, what waits and what is open stay");
    assert_eq!(store.verify_audit(&org()).await.unwrap(), None);
    assert_eq!(store.list_audit(&org(), None, 10).await.unwrap().len(), 2);
    let other = store.forget_old(&"b".into(), keep, 100, "ann", true).await.unwrap();
    assert_eq!(other, one, "another organization keeps what it has");
}

fn keep_before(at: i64) -> Keep {
    Keep {
        feed_before: Some(at),
        runs_before: Some(at),
        findings_before: Some(at),
        approvals_before: Some(at),
        activity_before: Some(at),
        alerts_before: Some(at),
    }
}
