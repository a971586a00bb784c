//! Where something was read, to refuse or remark it there.

use trueup_engine::ports::Refusal;

/// A file and a line of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u64,
}

impl Place {
    /// What is not taken in.
    pub(crate) fn refusal(&self, code: &str, field: &str, reason: String) -> Refusal {
        Refusal {
            field: Some(field.to_owned()).filter(|field| !field.is_empty()),
            ..crate::refusal(&self.file, self.line, code, reason)
        }
    }

    /// A remark on what is taken in.
    pub(crate) fn warning(&self, code: &str, field: &str, reason: String) -> Refusal {
        Refusal { warning: true, ..self.refusal(code, field, reason) }
    }
}
