//! Source dialects that end in feed records.
