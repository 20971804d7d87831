//! Joins the parts.

fn main() {}
