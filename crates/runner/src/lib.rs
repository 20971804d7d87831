//! Starts, limits, fences, reaps and journals processes.
