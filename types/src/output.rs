//! What a sink writes in one epoch, encoded.

/// Records for one sink in one epoch, in the order in which they are written, their bytes in one arena.
#[derive(Debug, Clone, Default)]
pub struct OutputRecords {
    /// Keys and values, back to back.
    pub arena: Vec<u8>,
    /// Per record: end of key (its start is the end of the record before) and end of value; equal key bounds are "no key".
    entries: Vec<(u32, Option<u32>)>,
}

impl OutputRecords {
    /// Appends a record; no key is the empty slice, no value is a tombstone.
    ///
    /// # Panics
    /// If the arena would pass 4 GiB; the engine bounds an epoch far below.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let end = |len: usize| {
            u32::try_from(len).expect("an epoch's output to one sink is bounded below 4 GiB")
        };
        self.arena.extend_from_slice(key);
        let key_end = end(self.arena.len());
        let value_end = value.map(|value| {
            self.arena.extend_from_slice(value);
            end(self.arena.len())
        });
        self.entries.push((key_end, value_end));
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Each record as `(key, value)`.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut start = 0;
        self.entries.iter().map(move |&(key_end, value_end)| {
            let key = &self.arena[start..key_end as usize];
            let value = value_end.map(|end| &self.arena[key_end as usize..end as usize]);
            start = value_end.unwrap_or(key_end) as usize;
            (key, value)
        })
    }
}
