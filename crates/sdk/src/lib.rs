//! For programs that run on the cluster: application handle, sessions.
