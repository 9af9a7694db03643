//! What operators of nginx expect at the edge: headers with variables, access by address, preflights, passwords, redirects, names of headers.

mod access;
pub mod basic_auth;
mod cors;
mod detached;
mod header_names;
mod header_rules;
mod redirects;
