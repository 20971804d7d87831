//! What is printed, and how.

mod application;
mod cluster;
mod driver;
mod event;
mod executor;
mod fields;
mod json;
mod labels;
mod pending;
mod role;
mod screen;
mod table;
mod time;
mod token;
mod units;
mod worker;

pub(crate) use application::application_page;
pub(crate) use cluster::cluster_page;
pub(crate) use driver::{driver_page, ending};
pub(crate) use event::event_line;
pub(crate) use executor::executor_page;
pub(crate) use json::{JsonError, WireMessage, to_json, to_json_line};
pub(crate) use labels::{application_state, driver_state, executor_state, is_running, worker_state};
pub(crate) use pending::pending_line;
pub(crate) use role::principal_words;
pub(crate) use screen::{Screen, print, style, tell};
pub(crate) use table::{TableRow, table};
pub(crate) use time::{DisplayClock, instant, length};
pub(crate) use token::{grant_word, role_word};
pub(crate) use units::{count, size};
pub(crate) use worker::worker_page;

#[cfg(test)]
mod tests;
