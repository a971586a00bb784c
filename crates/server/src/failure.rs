//! How a command ends: exit codes, and errors that say what happened, why and what to do.

use crate::output;
use crate::serve::problem::Problem;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::process::ExitCode;
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::settings::SettingError;
use trueup_engine::apply::ApplyError;
use trueup_engine::applying::RunError;
use trueup_engine::failure::Failure;
use trueup_engine::ports::{PsaError, StoreError};

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; warnings alone included.
    Done,
    /// Done, but something needs a person.
    NeedsPerson,
    /// Wrong usage or configuration.
    Usage,
    /// The other side refused or is out of reach.
    OutOfReach,
}

impl Exit {
    /// `NeedsPerson` where the condition holds.
    pub fn needs_person_if(condition: bool) -> Self {
        if condition { Self::NeedsPerson } else { Self::Done }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::from(0),
            Exit::NeedsPerson => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::OutOfReach => Self::from(3),
        }
    }
}

/// Why a command stopped.
#[derive(Clone, Debug)]
pub struct CliError {
    exit: Exit,
    code: Option<Code>,
    message: String,
    fix: String,
    their_words: Option<String>,
}

impl CliError {
    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, code: None, message: message.into(), fix: fix.into(), their_words: None }
    }

    /// With an exception code, its own fix and another exit code.
    pub fn coded(exit: Exit, code: Code, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: Some(code),
            message: message.into(),
            fix: code.row().fix.to_owned(),
            their_words: None,
        }
    }

    /// The same error with a way out of its own, where the code's is not the one.
    pub fn fixed_by(self, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..self }
    }

    /// What was printed did not arrive.
    pub fn output_lost(why: &str) -> Self {
        Self {
            fix: "What the command did stands. Free some room, and ask again for what it printed.".to_owned(),
            ..Self::coded(Exit::Usage, Code::Tu9102, format!("the output cannot be written: {why}"))
        }
    }

    /// The same error, told after what became of the request otherwise.
    pub fn after(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// What a caller of the API is told.
    pub fn problem(self) -> Problem {
        let status = match self.exit {
            Exit::OutOfReach => StatusCode::BAD_GATEWAY,
            Exit::Done | Exit::NeedsPerson | Exit::Usage => StatusCode::CONFLICT,
        };
        let mut problem = match self.code {
            Some(code) => Problem::coded(status, code, self.message),
            None => Problem::conflict(self.message, self.fix),
        };
        problem.their_words = self.their_words;
        problem
    }

    /// Whether another worker writes to the same agreement: the same run may pass a moment later.
    pub fn is_busy(&self) -> bool {
        self.code == Some(Code::Tu7006)
    }

    /// The document for `--format json`.
    pub fn document(&self) -> Value {
        json!({ "error": {
            "code": self.code.map(|c| c.to_string()),
            "title": self.code.map(|c| c.row().title),
            "message": self.message,
            "fix": self.fix,
            "their_words": self.their_words,
        }})
    }

    /// As a finding, where it is something that the machine lacks (its key, its disk, its database) and nobody may be looking.
    pub fn of_the_machine(&self) -> Option<Finding> {
        let code = self.code.filter(|code| code.row().name.starts_with("TU91"))?;
        let subject = Subject { detail: Some("runs".to_owned()), ..Subject::default() };
        let message = format!("A run could not be carried out: {}.", self.message.trim_end_matches('.'));
        Some(Finding::new(code, subject, message).severity(Severity::Error).fix(self.fix.clone()))
    }

    /// Whether the work goes on by itself once the database takes it again.
    pub fn passes_with_the_database(&self) -> bool {
        matches!(self.code, Some(Code::Tu9102 | Code::Tu9103))
    }

    /// Prints it and gives the exit code.
    pub fn report(&self, as_json: bool) -> ExitCode {
        if as_json {
            output::print_json(&self.document());
        }
        let code = self.code.map(|c| format!(" [{c} {}]", c.row().title)).unwrap_or_default();
        output::note(&format!("error{code}: {}", self.message));
        if let Some(words) = &self.their_words {
            output::note(&format!("  they said: {words}"));
        }
        output::note(&format!("  what to do: {}", self.fix));
        self.exit.into()
    }
}

/// What happened, as the log keeps it.
impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.map(|code| format!("{code}: ")).unwrap_or_default();
        write!(f, "{code}{}", self.message)
    }
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::usage(problem.detail.clone(), problem.fix.clone())
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let exit = match error {
            StoreError::OutOfReach(_) => Exit::OutOfReach,
            StoreError::Fenced | StoreError::Conflict(_) => Exit::NeedsPerson,
            StoreError::InUse(_)
            | StoreError::NotWritable(_)
            | StoreError::WrongVersion(_)
            | StoreError::KeyMissing(_)
            | StoreError::Unfit(_)
            | StoreError::Damaged(_) => Exit::Usage,
        };
        let coded = Self::coded(exit, error.code(), error.to_string());
        match error {
            StoreError::Damaged(words) => Self {
                message: format!("the database is damaged: {words}"),
                fix:
                    "Copy the data directory aside, then restore database and key file from the same backup."
                        .to_owned(),
                ..coded
            },
            StoreError::Unfit(_) => Self {
                fix: "Take the character NUL out of what was entered, and try again. Nothing was saved."
                    .to_owned(),
                ..coded
            },
            _ => coded, // open set: the others say all there is to say
        }
    }
}

impl From<PsaError> for CliError {
    fn from(error: PsaError) -> Self {
        Self {
            their_words: error.their_words.clone(),
            ..Self::coded(Exit::OutOfReach, error.code, error.message)
        }
    }
}

impl From<SettingError> for CliError {
    fn from(error: SettingError) -> Self {
        Self::usage(error.to_string(), "`trueup setting list` shows keys and values.")
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::Psa(error) => error.into(),
            Failure::Setting(error) => error.into(),
            Failure::Wrong { message, fix } => Self::usage(message, fix),
        }
    }
}

impl From<ApplyError> for CliError {
    fn from(error: ApplyError) -> Self {
        let code = error.code();
        match error {
            ApplyError::Store(error) => error.into(),
            ApplyError::Psa(error) => error.into(),
            ApplyError::Unread(ref failed) => Self {
                their_words: failed.their_words.clone(),
                ..Self::coded(Exit::OutOfReach, code, error.to_string())
            },
            ApplyError::Waits(finding) => {
                let problem = Self::coded(Exit::NeedsPerson, code, finding.message);
                Self { fix: finding.fix, ..problem }
            }
            ApplyError::NotChecked | ApplyError::Busy(_) => {
                Self::coded(Exit::NeedsPerson, code, error.to_string())
            }
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Planning(failure) => failure.into(),
            RunError::Applying(error) => error.into(),
            RunError::Rights(_) => Self::coded(Exit::NeedsPerson, Code::Tu1004, error.to_string()),
        }
    }
}
