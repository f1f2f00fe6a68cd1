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
        self.push_with(
            |arena| arena.extend_from_slice(key),
            |arena| {
                arena.extend_from_slice(value.unwrap_or_default());
                value.is_some()
            },
        );
    }

    /// Appends a record whose key and value are written to the end of the arena by the functions given; false from the second, which then
    /// wrote nothing, is a tombstone.
    ///
    /// # Panics
    /// As [`OutputRecords::push`].
    #[inline]
    pub fn push_with(
        &mut self,
        write_key: impl FnOnce(&mut Vec<u8>),
        write_value: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        write_key(&mut self.arena);
        let key_end = end(self.arena.len());
        let value_end = write_value(&mut self.arena).then(|| end(self.arena.len()));
        self.entries.push((key_end, value_end));
    }

    /// Takes the last record back, as `(key, value)`.
    pub fn pop(&mut self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let (key_end, value_end) = self.entries.pop()?;
        let start = self.entries.last();
        let start = start.map_or(0, |&(key_end, value_end)| value_end.unwrap_or(key_end));
        let value = value_end.map(|_| self.arena.split_off(key_end as usize));
        Some((self.arena.split_off(start as usize), value))
    }

    /// Makes room for `records` more with `bytes` in all.
    pub fn reserve(&mut self, records: usize, bytes: usize) {
        self.entries.reserve(records);
        self.arena.reserve(bytes);
    }

    /// Appends all records of `other`.
    ///
    /// # Panics
    /// As [`OutputRecords::push`].
    pub fn append(&mut self, other: &Self) {
        let start = end(self.arena.len());
        // The last one's end is the greatest.
        let _ = end(self.arena.len() + other.arena.len());
        self.arena.extend_from_slice(&other.arena);
        let moved = |&(key_end, value_end): &(u32, Option<u32>)| {
            (start + key_end, value_end.map(|end| start + end))
        };
        self.entries.extend(other.entries.iter().map(moved));
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

fn end(len: usize) -> u32 {
    u32::try_from(len).expect("an epoch's output to one sink is bounded below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::OutputRecords;

    #[test]
    fn appended_records_follow_with_their_keys_and_tombstones() {
        let (mut first, mut second) = (OutputRecords::default(), OutputRecords::default());
        first.push(b"a", Some(b"1"));
        second.push(b"b", None);
        second.push(b"", Some(b"23"));
        first.append(&second);
        let records: Vec<_> = first.iter().collect();
        let expected: [(&[u8], Option<&[u8]>); 3] =
            [(b"a", Some(b"1")), (b"b", None), (b"", Some(b"23"))];
        assert_eq!(records, expected);
    }

    #[test]
    fn the_last_record_can_be_taken_back() {
        let mut records = OutputRecords::default();
        records.push(b"a", Some(b"1"));
        records.push(b"b", None);
        records.push(b"", Some(b"23"));
        assert_eq!(records.pop(), Some((vec![], Some(b"23".to_vec()))));
        assert_eq!(records.pop(), Some((b"b".to_vec(), None)));
        let left: Vec<_> = records.iter().collect();
        assert_eq!(left, [(&b"a"[..], Some(&b"1"[..]))]);
    }
}
