//! The payment as a message of Protocol Buffers.
//!
//! ```proto
//! syntax = "proto3";
//! message Payment {
//!   int64 id = 1;
//!   int64 production_id = 2;
//!   int64 budget_id = 3;
//!   int64 talent_id = 4;
//!   string amount = 5;
//!   string currency = 6;
//!   string due_on = 7;
//!   string status = 8;
//!   string note = 9;
//!   int64 updated_at = 10;
//! }
//! ```

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::encoding::{int64, string};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

/// The descriptor set of the message, in base64.
pub const DESCRIPTORS: &str = "CtABCg1wYXltZW50LnByb3RvIrYBCgdQYXltZW50EgoKAmlkGAEgASgDEhUKDXByb2R1Y3Rpb25faWQYAiABKAMSEQoJYnVkZ2V0X2lkGAMgASgDEhEKCXRhbGVudF9pZBgEIAEoAxIOCgZhbW91bnQYBSABKAkSEAoIY3VycmVuY3kYBiABKAkSDgoGZHVlX29uGAcgASgJEg4KBnN0YXR1cxgIIAEoCRIMCgRub3RlGAkgASgJEhIKCnVwZGF0ZWRfYXQYCiABKANiBnByb3RvMw==";
/// Its name.
pub const MESSAGE: &str = "Payment";

static DESCRIPTOR: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let bytes = STANDARD.decode(DESCRIPTORS).expect("it is base64");
    let pool = DescriptorPool::decode(bytes.as_slice()).expect("it is a descriptor set");
    pool.get_message_by_name(MESSAGE).expect("its only message")
});

/// The ten columns of a payment.
pub fn state(i: usize) -> Vec<u8> {
    let number = |from: usize| i64::try_from(from).expect("some thousands");
    let mut record = Vec::new();
    let numbers = [
        (1, i),
        (2, 100_000 + i % 500),
        (3, 200_000 + i % 3000),
        (4, 300_000 + i % 700),
    ];
    for (field, value) in numbers {
        int64::encode(field, &number(value), &mut record);
    }
    let texts = [
        format!("{}.{:02}", 10_000 + i % 900_000, i % 100),
        "USD".to_owned(),
        format!("2026-{:02}-15", 1 + i % 12),
        "planned".to_owned(),
        format!("second instalment, see contract {i:08}, to be approved"),
    ];
    for (field, value) in (5..).zip(&texts) {
        string::encode(field, value, &mut record);
    }
    int64::encode(10, &number(1_767_225_600_000 + i), &mut record);
    record
}

/// The weight of what prost-reflect makes of a record.
pub fn parsed(bytes: &[u8]) -> usize {
    let message = DynamicMessage::decode(DESCRIPTOR.clone(), bytes);
    message.map_or(0, |message| message.fields().count())
}
