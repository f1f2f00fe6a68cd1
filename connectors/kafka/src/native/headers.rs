//! The headers of a record to produce, as librdkafka has them: the epoch's, and those of the sink.
//!
//! Promises: the list is destroyed once, by this value or by librdkafka, which takes it over with its record.

use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};

use rdkafka::bindings as ffi;
use rdkafka::bindings::{rd_kafka_headers_t, rd_kafka_resp_err_t};
use rdkafka::error::RDKafkaErrorCode;

use super::{EPOCH_HEADER, ProducedRecord};

/// How many headers a list has room for from the beginning, as librdkafka's own.
const HEADERS_USUAL: usize = 8;
/// What a list that cannot be made is said to be.
const OUT_OF_MEMORY: RDKafkaErrorCode = RDKafkaErrorCode::CriticalSystemResource;

/// The headers of a record to produce.
pub struct NativeHeaders(NonNull<rd_kafka_headers_t>);

impl NativeHeaders {
    /// Those of a record, copied; none if it has none.
    pub fn of(record: &ProducedRecord<'_>) -> Result<Option<Self>, RDKafkaErrorCode> {
        if record.epoch.is_none() && record.headers.is_empty() {
            return Ok(None);
        }
        // SAFETY: takes nothing but a number.
        let headers = unsafe { ffi::rd_kafka_headers_new(HEADERS_USUAL) };
        let mut headers = NonNull::new(headers).map(Self).ok_or(OUT_OF_MEMORY)?;
        if let Some(epoch) = record.epoch {
            headers.add(EPOCH_HEADER.to_bytes(), Some(&epoch.0.to_be_bytes()))?;
        }
        for (name, value) in record.headers {
            headers.add(name, value)?;
        }
        Ok(Some(headers))
    }

    /// The list, which librdkafka owns once it took a record with it: then this value is to be forgotten.
    pub const fn as_ptr(&self) -> *mut rd_kafka_headers_t {
        self.0.as_ptr()
    }

    fn add(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), RDKafkaErrorCode> {
        let length =
            |bytes: &[u8]| isize::try_from(bytes.len()).expect("a slice is no longer than that");
        let (start, size) = value.map_or((ptr::null(), 0), |value| {
            (value.as_ptr().cast::<c_void>(), length(value))
        });
        // SAFETY: the list is alive and ours; name and value are as long as is said, and copied during the call.
        let code = unsafe {
            ffi::rd_kafka_header_add(
                self.0.as_ptr(),
                name.as_ptr().cast::<c_char>(),
                length(name),
                start,
                size,
            )
        };
        match code {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(code.into()),
        }
    }
}

impl Drop for NativeHeaders {
    fn drop(&mut self) {
        // SAFETY: nobody took the list over; who does forgets this value.
        unsafe { ffi::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}
