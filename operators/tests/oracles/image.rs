//! Image against the multiset of all rows so far.
//!
//! Catches: a row lost, doubled or reordered on its way through; an image that is not the whole contents, with the number of times each
//! row came. Cannot catch: rows that are routed to two workers.

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::image::Image;

use crate::common::{
    Disk, Multiset, Value, Values, accumulated, at_end_of, batches, consolidated, history, ops,
    restored_tick, schema, tick,
};

fn columns() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("name", DataType::Utf8)])
}

fn row() -> impl Strategy<Value = Values> {
    (
        prop::option::of(0..3_i64),
        prop_oneof![Just("July"), Just("June")],
    )
        .prop_map(|(id, name)| vec![id.into(), Value::text(name)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_image_lets_everything_pass_and_gives_it_all_back_after_a_restart(
        epochs in ops(row(), 1..6, 8), batch_rows in 1..4_usize, roomy: bool, restarts in prop::collection::vec(any::<bool>(), 6),
    ) {
        let mut disk = Disk::new(roomy);
        let image = |disk: &Disk| Image::new("image", &columns(), disk.table()).expect("the types have encodings");
        let mut operator = image(&disk);
        let changes = history(&epochs);
        for ((changes, contents), restart) in changes.iter().zip(accumulated(&changes)).zip(restarts) {
            let net = accumulated(std::slice::from_ref(changes));
            let input = batches(&columns(), changes, batch_rows);
            let output = at_end_of(&mut operator, &tick(0, None), &input);
            assert_eq!(vec![consolidated(&output.rows)], net);
            if restart {
                disk.restart();
                operator = image(&disk);
                let output = at_end_of(&mut operator, &restored_tick(0, None), &input);
                let image: Multiset = consolidated(&output.rows);
                assert_eq!(image, contents);
            }
        }
    }
}
