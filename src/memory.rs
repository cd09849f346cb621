//! The allocator.

use libmimalloc_sys::mi_collect;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Gives back what this thread has freed and does not use. The allocator does
/// so by itself, but only when the thread allocates something again, and one
/// whose readers all wait does not.
#[allow(unsafe_code)]
pub fn tidy() {
    // SAFETY: it may be called at any time, from any thread, and takes no pointer.
    unsafe { mi_collect(true) }
}
