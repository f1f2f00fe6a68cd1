//! The finance job of the studio on a real Kafka.
