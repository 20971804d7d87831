//! Texts for `execve`: made before the clone, because nothing may be allocated after it.

use std::ffi::{CString, c_char};
use std::ptr;

/// An array of C strings that ends with a null pointer.
pub(crate) struct CStringArray {
    // Owns what the pointers point to; a CString's text does not move when the CString does.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStringArray {
    pub(crate) fn new(strings: Vec<CString>) -> CStringArray {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        CStringArray { _strings: strings, pointers }
    }

    /// As `execve` takes it; valid as long as this array.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}
