//! Workers: streams, inventories, reports, loss, drain and removal.

mod assignments;
mod drain;
mod expiry;
mod forget;
mod forget_attempt;
mod hello;
mod inventory;
mod reports;
mod revoke;
