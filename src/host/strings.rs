//! Text between C and Rust.

use std::ffi::{CStr, CString, c_char};

/// Text for a C function: a NUL byte, which would end it early, becomes U+FFFD.
pub(crate) fn to_c(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// The text at `pointer`, `None` for a null pointer; bytes that are not UTF-8 become U+FFFD.
///
/// # Safety
/// `pointer` is null or points to a NUL-terminated string that is not changed meanwhile.
pub(crate) unsafe fn from_c(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, and NUL-terminated by this function's contract.
    let text = unsafe { CStr::from_ptr(pointer) };
    Some(text.to_string_lossy().into_owned())
}

/// A copy of `text` that C may `free`; null when memory is short.
pub(crate) fn to_malloced(text: &str) -> *mut u8 {
    let text = to_c(text);
    // SAFETY: `text` is NUL-terminated; strdup copies it into memory from malloc.
    unsafe { libc::strdup(text.as_ptr()).cast() }
}
