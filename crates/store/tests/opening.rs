//! Opening the store: the lock, what cannot be written, what cannot be reached.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{OperationRow, OperationState};
use trueup_store::{SqlStore, StoreConfig};

fn config(dir: &std::path::Path) -> StoreConfig {
    StoreConfig { data_dir: dir.to_owned(), database_url: None }
}

#[tokio::test]
async fn a_data_directory_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let first = SqlStore::open(config(dir.path())).await.unwrap();
    let Err(StoreError::InUse(words)) = SqlStore::open(config(dir.path())).await else {
        panic!("a second store must not open")
    };
    assert!(words.contains(&dir.path().display().to_string()), "{words}");
    first.close().await.unwrap();
    SqlStore::open(config(dir.path())).await.unwrap();
}

/// Run by the test below as a process of its own.
#[tokio::test]
async fn child_process_is_refused() {
    let Some(dir) = std::env::var_os("TRUEUP_TEST_HELD_DIR") else { return };
    let refused = SqlStore::open(config(dir.as_ref())).await;
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _held = SqlStore::open(config(dir.path())).await.unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process_is_refused", "--test-threads=1"])
        .env("TRUEUP_TEST_HELD_DIR", dir.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && words.contains("1 passed"), "{words}");
}

/// Run by the test below as a process of its own: it dies the moment its intents are said to be durable.
#[tokio::test]
async fn child_process_dies_after_begin() {
    let Some(dir) = std::env::var_os("TRUEUP_TEST_DYING_DIR") else { return };
    let store = SqlStore::open(config(dir.as_ref())).await.unwrap();
    let lease = store.acquire_lease(&"a".into(), "agreement/1", "w", 0, 100).await.unwrap().unwrap();
    let row = r#"{"plan":"p","change":"c","key":"k","agreement":1,"state":"intent","addition":null,"fencing":0,
        "attempts":1,"sent_at":5,"absent_at":null,"calls":0,"error":null,"updated_at":5}"#;
    let row: OperationRow = serde_json::from_str(row).unwrap();
    store.begin_operations(&"a".into(), &lease, &[row]).await.unwrap();
    std::process::abort();
}

#[tokio::test]
async fn what_was_begun_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process_dies_after_begin", "--test-threads=1"])
        .env("TRUEUP_TEST_DYING_DIR", dir.path())
        .output()
        .unwrap();
    assert!(!child.status.success());
    let store = SqlStore::open(config(dir.path())).await.unwrap();
    let unresolved = store.list_unresolved_operations(&"a".into()).await.unwrap();
    assert_eq!(
        unresolved.iter().map(|row| (row.state, row.attempts)).collect::<Vec<_>>(),
        [(OperationState::Sending, 1)]
    );
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let refused = SqlStore::open(config(&file.join("below"))).await;
    assert!(matches!(refused, Err(StoreError::NotWritable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("trueup.db"), "this is not a database ".repeat(200)).unwrap();
    let refused = SqlStore::open(config(dir.path())).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_out_of_reach() {
    let dir = tempfile::tempdir().unwrap();
    for url in [
        "postgres://nobody@127.0.0.1:1/none",
        "mysql://localhost/x",
        "postgres://u@localhost/d?host=/nowhere",
    ] {
        let config = StoreConfig { data_dir: dir.path().to_owned(), database_url: Some(url.to_owned()) };
        let refused = SqlStore::open(config).await;
        assert!(matches!(refused, Err(StoreError::OutOfReach(_))), "{url}: {refused:?}");
    }
}

#[tokio::test]
async fn a_backup_can_be_opened() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = SqlStore::open(config(dir.path())).await.unwrap();
    store.save_mark(&"a".into(), "m", "1").await.unwrap();
    let target = copy.path().join("trueup.db");
    store.back_up(&target).await.unwrap();
    assert!(matches!(store.back_up(&target).await, Err(StoreError::NotWritable(_))));
    let copy = SqlStore::open(config(copy.path())).await.unwrap();
    assert_eq!(copy.load_mark(&"a".into(), "m").await.unwrap().as_deref(), Some("1"));
}
