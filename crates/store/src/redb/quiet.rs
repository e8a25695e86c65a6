//! Panics of the database on damaged files, caught and not printed. It must never silence a panic of anything
//! else: only the thread that is inside [`catch`] is quiet.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs code that may panic on what it reads; `None` when it did.
pub(super) fn catch<T>(run: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A thread that is ending has no flag any more, and is not in here.
            if QUIET.try_with(Cell::get).unwrap_or(false) {
                tracing::debug!("the database panicked: {info}");
            } else {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_none_and_the_next_call_works() {
        assert_eq!(catch(|| 1), Some(1));
        assert_eq!(catch(|| catch(|| [1][std::hint::black_box(7)])), Some(None));
        assert!(!QUIET.get());
        assert_eq!(catch(|| 2), Some(2));
    }
}
