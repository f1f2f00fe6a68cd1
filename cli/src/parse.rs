//! How values are spelled on the command line and in the configuration: `100 ms`, `640 MiB`, `5%`.

use std::time::Duration;

use bytesize::ByteSize;

/// A length of time in milliseconds, such as `100 ms`, `30 s` or `5 min`; above 0.
pub fn milliseconds(text: &str) -> Result<u64, String> {
    let wrong =
        |_| format!("'{text}' is no length of time; write one such as '100 ms', '30 s' or '5 min'");
    let length: Duration = humantime::parse_duration(text).map_err(wrong)?;
    match u64::try_from(length.as_millis()) {
        Ok(0) => Err(format!("'{text}' is too short; the least is '1 ms'")),
        Ok(milliseconds) => Ok(milliseconds),
        Err(_) => Err(format!("'{text}' is too long")),
    }
}

/// A size in bytes, such as `640 MiB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let wrong = |_| format!("'{text}' is no size; write one such as '640 MiB' or '2 GiB'");
    let size: ByteSize = text.parse().map_err(wrong)?;
    usize::try_from(size.as_u64())
        .map_err(|_| format!("'{text}' is more than this machine can address"))
}

#[cfg(test)]
mod tests {
    use super::{bytes, milliseconds};

    #[test]
    fn lengths_of_time_and_sizes_carry_their_unit() {
        assert_eq!(milliseconds("100 ms"), Ok(100));
        assert_eq!(milliseconds("30s"), Ok(30_000));
        assert_eq!(milliseconds("1 min 30 s"), Ok(90_000));
        assert_eq!(bytes("640 MiB"), Ok(640 << 20));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
    }

    #[test]
    fn what_is_none_is_refused_with_an_example() {
        assert_eq!(
            milliseconds("100"),
            Err(
                "'100' is no length of time; write one such as '100 ms', '30 s' or '5 min'"
                    .to_owned()
            )
        );
        assert_eq!(
            milliseconds("0 s"),
            Err("'0 s' is too short; the least is '1 ms'".to_owned())
        );
        assert_eq!(
            bytes("much"),
            Err("'much' is no size; write one such as '640 MiB' or '2 GiB'".to_owned())
        );
    }
}
