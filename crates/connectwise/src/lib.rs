//! The ConnectWise dialect ([`client`]) and the Psa port on top of it ([`adapter`]).
//!
//! `client` is usable by anyone on its own: it knows how ConnectWise Manage (PSA) is spoken to and nothing of what
//! trueup does with it. `adapter` turns its records into trueup's words and back.

pub mod adapter;
pub mod client;
