//! From a database's error to the store's: what a person can do about it decides the class.

use sea_orm::{DbErr, RuntimeErr};
use std::io::ErrorKind;
use trueup_engine::ports::StoreError;

/// SQLite's primary result codes (sqlite.org/rescode.html).
mod sqlite {
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const READONLY: u32 = 8;
    pub(super) const IOERR: u32 = 10;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const FULL: u32 = 13;
    pub(super) const CANTOPEN: u32 = 14;
    pub(super) const NOTADB: u32 = 26;
}

/// The class of a database's error.
pub(crate) fn of_db(error: DbErr) -> StoreError {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => of_sqlx(&inner),
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => StoreError::OutOfReach(error.to_string()),
        other => StoreError::Damaged(other.to_string()),
    }
}

fn of_sqlx(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(inner) => {
            let code = inner.code().unwrap_or_default();
            let text = inner.message().to_owned();
            if inner.is_unique_violation() {
                return StoreError::Conflict(format!("a row with this key ({text})"));
            }
            match code.parse::<u32>() {
                // SQLSTATE has five characters, an extended code of SQLite at most four.
                Ok(number) if code.len() < 5 => of_sqlite_code(number & 0xff, text),
                Ok(_) | Err(_) => of_sqlstate(&code, text),
            }
        }
        sqlx::Error::Io(inner) => of_io("the database", inner),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            StoreError::OutOfReach(error.to_string())
        }
        sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::Configuration(_) => {
            StoreError::OutOfReach(error.to_string())
        }
        _ => StoreError::Damaged(error.to_string()),
    }
}

fn of_sqlite_code(code: u32, text: String) -> StoreError {
    match code {
        sqlite::READONLY | sqlite::IOERR | sqlite::FULL | sqlite::CANTOPEN => StoreError::NotWritable(text),
        sqlite::BUSY | sqlite::LOCKED => StoreError::OutOfReach(text),
        sqlite::CORRUPT | sqlite::NOTADB => StoreError::Damaged(text),
        _ => StoreError::Damaged(text),
    }
}

/// Classes of SQLSTATE (PostgreSQL documentation, appendix A).
fn of_sqlstate(code: &str, text: String) -> StoreError {
    let message = format!("{text} (SQLSTATE {code})");
    match code {
        // disk_full, read_only_sql_transaction
        "53100" | "25006" => StoreError::NotWritable(message),
        // serialization_failure, deadlock_detected, lock_not_available: trying again helps
        "40001" | "40P01" | "55P03" => StoreError::OutOfReach(message),
        // character_not_in_repertoire, untranslatable_character: a NUL, in a text or in JSON
        "22021" | "22P05" => StoreError::Unfit(message),
        _ => match code.get(..2) {
            // connection, authorisation, unknown database, resources, operator intervention, system
            Some("08" | "28" | "3D" | "53" | "57" | "58") => StoreError::OutOfReach(message),
            _ => StoreError::Damaged(message),
        },
    }
}

/// The class of an error of the file system at `what`.
pub(crate) fn of_io(what: &str, error: &std::io::Error) -> StoreError {
    let message = format!("{what}: {error}");
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof
        | ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NotConnected
        | ErrorKind::AddrNotAvailable => StoreError::OutOfReach(message),
        ErrorKind::NotFound if what == "the database" => StoreError::OutOfReach(message),
        _ => StoreError::NotWritable(message),
    }
}

/// A row whose document cannot be read back.
pub(crate) fn damaged(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_fall_into_their_classes() {
        assert!(matches!(of_sqlstate("57P01", String::new()), StoreError::OutOfReach(_)));
        assert!(matches!(of_sqlstate("53100", String::new()), StoreError::NotWritable(_)));
        assert!(matches!(of_sqlstate("22021", String::new()), StoreError::Unfit(_)));
        assert!(matches!(of_sqlstate("22003", String::new()), StoreError::Damaged(_)));
        assert!(matches!(of_sqlstate("", String::new()), StoreError::Damaged(_)));
    }

    #[test]
    fn sqlite_codes_fall_into_their_classes() {
        assert!(matches!(of_sqlite_code(13, String::new()), StoreError::NotWritable(_)));
        assert!(matches!(of_sqlite_code(5, String::new()), StoreError::OutOfReach(_)));
        assert!(matches!(of_sqlite_code(11, String::new()), StoreError::Damaged(_)));
    }
}
