//! Finds the leader, retries by verdict, watches that resume.
