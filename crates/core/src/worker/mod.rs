//! Workers: their streams, inventories and reports; their loss, drain and end.

mod assignments;
mod drain;
mod expiry;
mod forget;
mod forget_attempt;
mod hello;
mod inventory;
mod reports;
