//! The outbox: what goes in comes out in order, once, also after a restore; and its bytes on disk are frozen.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tidemill_checkpoints::Outbox;
use tidemill_types::{Epoch, ErrorKind, Parcel};

const EVERYTHING: u64 = u64::MAX;

fn parcel(epoch: u64, records: &[(&str, Option<&str>)]) -> Parcel {
    let mut parcel = Parcel {
        epoch: Epoch(epoch),
        ..Parcel::default()
    };
    for (key, value) in records {
        parcel
            .records
            .push(key.as_bytes(), value.map(str::as_bytes));
    }
    parcel
}

fn new(folder: &Path) -> Outbox {
    Outbox::restore(&folder.join("outbox"), None, 1 << 20).unwrap()
}

fn epochs(outbox: &Outbox) -> Vec<u64> {
    let parcels = outbox.oldest(EVERYTHING).unwrap();
    parcels.iter().map(|parcel| parcel.epoch.0).collect()
}

#[test]
fn parcels_come_out_in_order_until_they_are_delivered() {
    let folder = TempDir::new().unwrap();
    let outbox = new(folder.path());
    assert!(outbox.is_empty());
    let records = [("a", Some("1")), ("b", None), ("", Some(""))];
    for epoch in [3, 4, 9] {
        outbox.put(&parcel(epoch, &records)).unwrap();
    }
    assert_eq!(epochs(&outbox), [3, 4, 9]);
    let first = &outbox.oldest(1).unwrap()[0];
    assert!(first.records.iter().eq(parcel(3, &records).records.iter()));
    outbox.delivered(Epoch(5));
    assert_eq!(epochs(&outbox), [9]);
    outbox.delivered(Epoch(9));
    assert_eq!(outbox.gone_through(), Epoch(9));
    // A start that is quicker than its replay.
    outbox.put(&parcel(9, &records)).unwrap();
    assert!(outbox.is_empty() && outbox.bytes() == 0);
    assert_eq!(
        fs::read_dir(folder.path().join("outbox")).unwrap().count(),
        0
    );
    outbox.put(&parcel(10, &records)).unwrap();
    assert_eq!(epochs(&outbox), [10]);
}

#[test]
fn a_restored_outbox_has_what_the_checkpoint_had_through_its_epoch() {
    let folder = TempDir::new().unwrap();
    let outbox = new(folder.path());
    for epoch in 1..=3 {
        outbox.put(&parcel(epoch, &[("k", Some("v"))])).unwrap();
    }
    outbox.delivered(Epoch(1));
    let checkpoint = folder.path().join("checkpoint");
    outbox.write(&checkpoint).unwrap();
    // What comes later is not in it, nor does it take away what is.
    outbox.put(&parcel(4, &[("k", Some("v"))])).unwrap();
    outbox.delivered(Epoch(4));
    let restored = |through| {
        let from = Some((&*checkpoint, Epoch(through)));
        Outbox::restore(&folder.path().join("outbox"), from, 1 << 20).unwrap()
    };
    // The file has epoch 1 as well: where it was brought says so.
    assert_eq!(epochs(&restored(3)), [1, 2, 3]);
    assert_eq!(restored(3).gone_through(), Epoch(1));
    let outbox = restored(2);
    outbox.delivered(Epoch(1));
    assert_eq!(epochs(&outbox), [2]);
    // New ones go into a file of their own: the old one is the checkpoint's.
    outbox.put(&parcel(3, &[("k", Some("again"))])).unwrap();
    assert_eq!(epochs(&restored(3)), [1, 2, 3]);
}

#[test]
fn a_checkpoint_knows_what_was_delivered_and_of_what_never_was_there_nothing() {
    let folder = TempDir::new().unwrap();
    let outbox = new(folder.path());
    let checkpoint = folder.path().join("checkpoint");
    let restored = |through| {
        let from = Some((&*checkpoint, Epoch(through)));
        let outbox = Outbox::restore(&folder.path().join("other"), from, 1 << 20);
        outbox.unwrap().gone_through()
    };
    // The target has more than was ever in; of that it may lose what it likes.
    outbox.delivered(Epoch(2));
    outbox.write(&checkpoint).unwrap();
    assert_eq!(restored(7), Epoch(0), "no parcel was in");
    outbox.put(&parcel(3, &[("k", None)])).unwrap();
    outbox.delivered(Epoch(5));
    outbox.write(&checkpoint).unwrap();
    assert_eq!(restored(7), Epoch(3));
    // What came after the checkpoint comes again.
    assert_eq!(restored(2), Epoch(2));
}

#[test]
fn it_is_full_with_its_bytes() {
    let folder = TempDir::new().unwrap();
    let outbox = Outbox::restore(&folder.path().join("outbox"), None, 60).unwrap();
    outbox
        .put(&parcel(1, &[("k", Some("0123456789"))]))
        .unwrap();
    assert!(!outbox.is_full());
    outbox
        .put(&parcel(2, &[("k", Some("0123456789"))]))
        .unwrap();
    assert!(outbox.is_full());
    assert_eq!(outbox.oldest(1).unwrap().len(), 1, "at least one");
    assert_eq!(outbox.oldest(70).unwrap().len(), 1);
    assert_eq!(outbox.oldest(80).unwrap().len(), 2);
}

#[test]
fn what_is_damaged_in_a_checkpoint_is_told() {
    let folder = TempDir::new().unwrap();
    let outbox = new(folder.path());
    outbox.put(&parcel(1, &[("k", Some("v"))])).unwrap();
    let checkpoint = folder.path().join("checkpoint");
    outbox.write(&checkpoint).unwrap();
    let path = checkpoint.join(format!("{:020}.parcels", 0));
    let whole = fs::read(&path).unwrap();
    for damage in [
        &whole[..whole.len() - 1],
        &[&whole[..], b"x"].concat(),
        &[&whole[..30], b"x"].concat(),
    ] {
        fs::remove_file(&path).unwrap();
        fs::write(&path, damage).unwrap();
        let from = Some((&*checkpoint, Epoch(1)));
        let error = Outbox::restore(&folder.path().join("other"), from, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn its_bytes_on_disk_are_frozen() {
    let folder = TempDir::new().unwrap();
    let outbox = new(folder.path());
    outbox
        .put(&parcel(258, &[("k", Some("ab")), ("l", None)]))
        .unwrap();
    let bytes = fs::read(
        folder
            .path()
            .join("outbox")
            .join(format!("{:020}.parcels", 0)),
    )
    .unwrap();
    let mut frozen = b"TMO1\0\0\0\0\0\0\x01\x02\0\0\0\x14".to_vec();
    let body = b"\0\0\0\x01\0\0\0\x03kab\0\0\0\x01\0\0\0\0l";
    frozen.extend_from_slice(&0xa769_9765_u32.to_be_bytes());
    frozen.extend_from_slice(body);
    assert_eq!(bytes, frozen);
}
