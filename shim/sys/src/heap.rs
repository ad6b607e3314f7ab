//! Memory of a process that lives for months and is mostly idle.

/// Gives the allocator's free pages back to the kernel (malloc_trim(3)), those in the middle of the heap too. Takes some
/// tens of microseconds; for a moment when nobody waits.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
