//! Messages of Protocol Buffers: the corpus that Python's protobuf wrote, and random ones that prost-reflect wrote.

mod contracts;
mod corpus;
mod events;
mod keys;
mod nested;
mod random;
mod writing;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tidemill_types::format::Column;

use super::kit::Spec;

const DESCRIPTORS: [&[u8]; 2] = [
    include_bytes!("../corpus/protobuf/payment.binpb"),
    include_bytes!("../corpus/protobuf/payment_2.binpb"),
];

/// A source of a message of the corpus, of version 1 or 2.
fn source(version: usize, message: &str, columns: Vec<Column>) -> Spec {
    Spec::new("plain", columns)
        .in_format("protobuf")
        .with(
            "protobuf.descriptors",
            &STANDARD.encode(DESCRIPTORS[version - 1]),
        )
        .with("protobuf.message", message)
}

/// A message of the first version of the corpus.
fn descriptor(message: &str) -> MessageDescriptor {
    let pool = DescriptorPool::decode(DESCRIPTORS[0]).unwrap();
    pool.get_message_by_name(message).unwrap()
}
