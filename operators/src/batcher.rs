//! Batching: the changes of an arrangement's epochs, gathered as columns, become one sorted batch of encoded rows.
//!
//! Rows are encoded once, where they are sorted, and are never values of their own: what is sorted is their places and first bytes, and
//! what is merged later are the batches. Updates of one key, row and epoch are one in the batch, or none.

use std::collections::BTreeMap;
use std::rc::Rc;

use arrow_schema::ArrowError;
use differential_dataflow::batcher::{Batcher, Extract};
use differential_dataflow::trace::implementations::ord_neu::layers::UpdsBuilder;
use differential_dataflow::trace::implementations::ord_neu::val_batch::{
    OrdValBatch, OrdValStorage,
};
use differential_dataflow::trace::implementations::ord_neu::{Upds, Vals};
use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use tidemill_types::ChangeBatch;
use tidemill_types::row::EncodedRows;
use timely::progress::frontier::{Antichain, AntichainRef};

use crate::error::Context;
use crate::keyed::KeyedLayout;
use crate::row_list::{RowList, RowRef};
use crate::{Failure, Packet};

/// Keys, values, times, diffs and offsets of a batch: rows lie back to back.
pub type RowLayout = (RowList, RowList, Vec<u64>, Vec<i64>, OffsetList);

/// A packet and the epoch that it belongs to.
pub type Dated = (u64, Packet);

/// Gathers changes until their epoch is complete.
pub struct RowBatcher {
    name: String,
    layout: Rc<KeyedLayout>,
    failure: Failure,
    waiting: BTreeMap<u64, Vec<ChangeBatch>>,
    /// The first epoch that waits.
    lower: Antichain<u64>,
}

impl RowBatcher {
    /// A batcher of rows of `layout`, for the arrangement `name`.
    #[must_use]
    pub fn new(name: &str, layout: Rc<KeyedLayout>, failure: Failure) -> Self {
        Self {
            name: name.to_owned(),
            layout,
            failure,
            waiting: BTreeMap::new(),
            lower: Antichain::new(),
        }
    }
}

impl Batcher<Vec<Dated>> for RowBatcher {
    fn insert(&mut self, container: &mut Vec<Dated>) {
        for (epoch, packet) in container.drain(..) {
            self.waiting.entry(epoch).or_default().push(packet.changes);
        }
    }
}

impl Extract for RowBatcher {
    type Time = u64;
    type Output = OrdValBatch<RowLayout>;

    fn extract<'a>(
        &'a mut self,
        upper: AntichainRef<'_, u64>,
    ) -> (Option<Self::Output>, AntichainRef<'a, u64>) {
        let later = match upper.first() {
            Some(upper) => self.waiting.split_off(upper),
            None => BTreeMap::new(),
        };
        let ready = std::mem::replace(&mut self.waiting, later);
        self.lower = self.waiting.keys().next().copied().into_iter().collect();
        let batch = match sorted(&self.layout, ready).of(&self.name) {
            Ok(batch) => batch,
            Err(error) => {
                self.failure.report(error);
                None
            }
        };
        (batch, self.lower.borrow())
    }
}

/// The encoded rows of a batch of changes.
struct Encoded {
    epoch: u64,
    keys: EncodedRows,
    values: EncodedRows,
    changes: ChangeBatch,
}

/// Where a row lies, and its bytes at the first places at which rows differ.
struct Place {
    head: u128,
    batch: u32,
    row: u32,
}

fn sorted(
    layout: &KeyedLayout,
    ready: BTreeMap<u64, Vec<ChangeBatch>>,
) -> Result<Option<OrdValBatch<RowLayout>>, ArrowError> {
    let mut encoded = Vec::new();
    for (epoch, batches) in ready {
        for changes in batches {
            encoded.push(Encoded {
                epoch,
                keys: layout.encode_keys(&changes.rows)?,
                values: layout.encode_values(&changes.rows)?,
                changes,
            });
        }
    }
    let places = places(&encoded);
    let bytes = |place: &Place| {
        let (batch, row) = (&encoded[place.batch as usize], place.row as usize);
        (batch.keys.bytes(row), batch.values.bytes(row))
    };
    let mut builder = BatchBuilder::default();
    for same in places.chunk_by(|a, b| a.head == b.head && bytes(a) == bytes(b)) {
        for place in same {
            let batch = &encoded[place.batch as usize];
            let diff = batch.changes.diff(place.row as usize);
            builder.updates.push(batch.epoch, diff);
        }
        let (key, value) = bytes(&same[0]);
        builder.end_row(key, value);
    }
    Ok(builder.finish())
}

/// So many first bytes of a row are looked at for those in which rows differ.
const FRONT_BYTES: usize = 64;

/// The first bytes of a row's key and value, and zeros behind its end.
type Front = [u8; FRONT_BYTES];

impl Encoded {
    fn len(&self, row: usize) -> usize {
        self.keys.bytes(row).len() + self.values.bytes(row).len()
    }

    /// Keys and values compare as what they are put together: no encoded key is the beginning of another one of its types.
    fn front(&self, row: usize) -> Front {
        let (key, value) = (self.keys.bytes(row), self.values.bytes(row));
        let mut front = [0; FRONT_BYTES];
        let of_key = key.len().min(FRONT_BYTES);
        let of_value = value.len().min(FRONT_BYTES - of_key);
        front[..of_key].copy_from_slice(&key[..of_key]);
        front[of_key..of_key + of_value].copy_from_slice(&value[..of_value]);
        front
    }
}

/// All rows, by key and value.
fn places(encoded: &[Encoded]) -> Vec<Place> {
    let rows = || {
        let batches = encoded.iter().zip(0_u32..);
        batches.flat_map(|(batch, number)| {
            (0..batch.changes.len()).map(move |row| (batch, number, row))
        })
    };
    let differing = differing(rows().map(|(batch, _, row)| (batch.front(row), batch.len(row))));
    let mut places: Vec<Place> = rows()
        .map(|(encoded, batch, row)| Place {
            head: head(&encoded.front(row), &differing),
            batch,
            row: u32::try_from(row).expect("rows are counted in u32"),
        })
        .collect();
    let bytes = |place: &Place| {
        let (batch, row) = (&encoded[place.batch as usize], place.row as usize);
        (batch.keys.bytes(row), batch.values.bytes(row))
    };
    places.sort_unstable_by(|a, b| a.head.cmp(&b.head).then_with(|| bytes(a).cmp(&bytes(b))));
    places
}

/// The first places, at most as many as a head has bytes, at which rows differ. A place at which all are alike tells nothing of their order.
fn differing(mut fronts: impl Iterator<Item = (Front, usize)>) -> Vec<usize> {
    let Some((first, mut shortest)) = fronts.next() else {
        return Vec::new();
    };
    let mut differs = [0; FRONT_BYTES];
    for (front, len) in fronts {
        shortest = shortest.min(len);
        for ((differs, a), b) in differs.iter_mut().zip(&first).zip(&front) {
            *differs |= a ^ b;
        }
    }
    (0..shortest.min(FRONT_BYTES))
        .filter(|&place| differs[place] != 0)
        .take(size_of::<u128>())
        .collect()
}

/// The bytes at these places, as a number of the same order.
fn head(front: &Front, places: &[usize]) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    for (byte, &place) in bytes.iter_mut().zip(places) {
        *byte = front[place];
    }
    u128::from_be_bytes(bytes)
}

/// Puts sorted rows into a batch.
#[derive(Default)]
struct BatchBuilder {
    keys: RowList,
    vals: Vals<OffsetList, RowList>,
    upds: Upds<OffsetList, Vec<u64>, Vec<i64>>,
    /// Those of the row at hand.
    updates: UpdsBuilder<Vec<u64>, Vec<i64>>,
}

impl BatchBuilder {
    /// Adds the row at hand, if its updates leave something of it.
    fn end_row(&mut self, key: &[u8], value: &[u8]) {
        if !self.updates.seal(&mut self.upds) {
            return;
        }
        if self.keys.last() != Some(RowRef(key)) {
            if self.keys.len() > 0 {
                self.vals.offs.push(self.vals.vals.len());
            }
            self.keys.push_ref(RowRef(key));
        }
        self.vals.vals.push_ref(RowRef(value));
    }

    fn finish(mut self) -> Option<OrdValBatch<RowLayout>> {
        self.vals.offs.push(self.vals.vals.len());
        let updates = self.updates.total();
        let storage = OrdValStorage {
            keys: self.keys,
            vals: self.vals,
            upds: self.upds,
        };
        (updates > 0).then_some(OrdValBatch { storage, updates })
    }
}
