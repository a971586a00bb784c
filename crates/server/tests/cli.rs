//! The binary through its front door: command lines in, documents and exit codes out. ConnectWise is the sandbox, run
//! as a child on a port of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli {
    mod approvals;
    mod begun;
    pub mod bench;
    mod check;
    mod corrected;
    mod doubt;
    mod drift;
    mod edits;
    mod explain;
    mod feed;
    mod flow;
    mod intake;
    mod mapping;
    mod moves;
    mod organizations;
    mod place;
    mod postgres;
    mod presence;
    mod restored;
    mod rights;
    mod settings;
    mod terminal;
    mod turns;
    mod undo;
    mod usage;
}
