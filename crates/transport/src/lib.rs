//! The one HTTP sender: retry, adaptive rate limit, deadlines, redaction, host rules.
