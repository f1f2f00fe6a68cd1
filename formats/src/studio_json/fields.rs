//! The members of `data` that some column uses, and the slot of each.

use hashbrown::HashMap;

/// Names to slots. Producers write the members of one entity in one order, so the name after the last one found is tried first.
#[derive(Debug, Default)]
pub(super) struct FieldNames {
    names: Vec<Box<str>>,
    slots: HashMap<Box<str>, usize>,
    next: usize,
}

impl FieldNames {
    /// The slot of a name; a new one if the name is new.
    pub(super) fn add(&mut self, name: &str) -> usize {
        if let Some(&slot) = self.slots.get(name) {
            return slot;
        }
        let slot = self.names.len();
        self.names.push(name.into());
        self.slots.insert(name.into(), slot);
        slot
    }

    /// How many slots there are.
    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    /// Starts a new object.
    pub(super) const fn rewind(&mut self) {
        self.next = 0;
    }

    /// The slot of a name, if a column uses it.
    #[inline]
    pub(super) fn slot(&mut self, name: &str) -> Option<usize> {
        let slot = match self.names.get(self.next) {
            Some(expected) if **expected == *name => self.next,
            _ => *self.slots.get(name)?,
        };
        self.next = slot + 1;
        Some(slot)
    }
}
