//! How many bytes of requests are held at a time, of all connections together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What may be held.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    max: usize,
}

/// What one request holds of it; given back when this goes.
#[derive(Debug)]
pub struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    /// So many bytes.
    pub const fn new(max: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            max,
        }
    }

    /// What is held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Nothing of it, to grow.
    pub const fn share(&self) -> Share<'_> {
        Share {
            budget: self,
            bytes: 0,
        }
    }
}

impl Share<'_> {
    /// Takes more; false if that is more than there is.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let max = self.budget.max;
        let held = &self.budget.held;
        let grown = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(bytes).filter(|held| *held <= max)
        });
        if grown.is_ok() {
            self.bytes += bytes;
        }
        grown.is_ok()
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn what_goes_is_given_back_and_what_is_too_much_is_not_taken() {
        let budget = Budget::new(10);
        let mut first = budget.share();
        let mut second = budget.share();
        assert!(first.grow(4) && second.grow(6));
        assert!(!first.grow(1) && !first.grow(usize::MAX));
        drop(second);
        assert!(first.grow(6));
        assert_eq!(budget.held(), 10);
        drop(first);
        assert_eq!(budget.held(), 0);
    }
}
