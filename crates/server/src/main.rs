//! The binary `trueup`.
fn main() {}
