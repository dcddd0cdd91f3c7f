//! Why a call is given up. A call is cancelled by dropping it, and a legacy server is told by a notification that can carry a
//! reason: who drops it on this thread while a [`Because`] lives gives the reason. Read by the transports where they cancel.

use std::cell::RefCell;

use patchbay_core::json;

/// The most characters of a reason that a server is told.
const REASON_CHARS_MAX: usize = 200;

thread_local! {
    static REASON: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// While it lives, calls that are dropped on this thread are dropped for this reason. Not to be held while anything is awaited.
#[derive(Debug)]
#[must_use]
pub struct Because(std::marker::PhantomData<*const ()>);

impl Because {
    /// In somebody else's words; only their beginning is told.
    pub fn of(reason: &str) -> Self {
        let clipped: String = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
        REASON.set(Some(clipped.into()));
        Self(std::marker::PhantomData)
    }

    /// The reason for which a call is dropped that is dropped now.
    pub fn given() -> Option<Box<str>> {
        REASON.with_borrow(Clone::clone)
    }
}

impl Drop for Because {
    fn drop(&mut self) {
        REASON.set(None);
    }
}

/// The notification that takes a request back. `id` is raw.
pub(crate) fn cancelled(id: impl std::fmt::Display) -> String {
    let reason = json::quote(Because::given().as_deref().unwrap_or("the caller no longer waits"));
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":{reason}}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_holds_while_it_lives_and_is_clipped() {
        let plain = cancelled(1);
        let because = Because::of(&["\u{7}\"", &"x".repeat(500)].concat());
        let told = cancelled(1);
        assert!(told.contains(r#""reason":"\"xxx"#) && told.len() < 320, "{told}");
        drop(because);
        assert_eq!(cancelled(1), plain);
        assert!(plain.contains("no longer waits"), "{plain}");
    }
}
