//! The wire: generated code and the only conversions between wire and vocabulary.
