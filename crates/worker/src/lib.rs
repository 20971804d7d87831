//! The agent on every machine: link to the master, logs, artifacts, its own gRPC service.
