//! Durable records and leadership: memory and embedded.
