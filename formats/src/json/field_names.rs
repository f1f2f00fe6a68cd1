//! The names of the wanted members of an object, and the place of each.

use hashbrown::HashMap;

/// Names to places. Producers write the members of one kind of object in one order, so the name after the last one found is tried first.
#[derive(Debug, Default)]
pub struct FieldNames {
    names: Vec<Box<str>>,
    places: HashMap<Box<str>, usize>,
    next: usize,
}

impl FieldNames {
    /// The place of a name; a new one if the name is new.
    pub fn add(&mut self, name: &str) -> usize {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let place = self.names.len();
        self.names.push(name.into());
        self.places.insert(name.into(), place);
        place
    }

    /// Starts a new object.
    pub const fn rewind(&mut self) {
        self.next = 0;
    }

    /// The place of a name, if it is wanted.
    #[inline]
    pub fn slot(&mut self, name: &str) -> Option<usize> {
        let place = match self.names.get(self.next) {
            Some(expected) if **expected == *name => self.next,
            _ => *self.places.get(name)?,
        };
        self.next = place + 1;
        Some(place)
    }
}
