//! Mutations of an input, from a seed: what a fuzzer without coverage does. The same seed gives the same mutation.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// No input grows beyond it.
const BYTES_MAX: usize = 8 * 1024;
/// How many changes one mutation makes at most.
const CHANGES_MAX: usize = 4;

/// Lengths and numbers at which decoders are wrong.
const NUMBERS: [u64; 14] = [
    0,
    1,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Texts at which decoders are wrong.
const TEXTS: [&str; 24] = [
    "null",
    "true",
    "{}",
    "[]",
    "{",
    "[",
    "\"",
    "\\u0000",
    "\\ud800",
    "\u{fffd}",
    "1e400",
    "-0",
    "0.0000000000000000000000000000000000001",
    "99999999999999999999999999999999999999999",
    "-9223372036854775808",
    "9999-12-31",
    "0000-00-00T00:00:00Z",
    "2026-01-31T24:00:60.999999999+23:59",
    "00000000-0000-0000-0000-000000000000",
    ",",
    ":",
    "\"\"",
    "\n",
    "\t",
];

/// A changed input; `others` are what parts are taken from.
#[must_use]
pub fn mutated(input: &[u8], others: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut mutant = input.to_vec();
    for _ in 0..rng.random_range(1..=CHANGES_MAX) {
        change(&mut mutant, others, rng);
        mutant.truncate(BYTES_MAX);
    }
    mutant
}

fn change(mutant: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..=mutant.len());
    let end = rng.random_range(at..=mutant.len().min(at + 64));
    match rng.random_range(0..10) {
        0 => {
            if let Some(byte) = mutant.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        1 => {
            if let Some(byte) = mutant.get_mut(at) {
                *byte = rng.random();
            }
        }
        2 => mutant.truncate(at),
        3 => drop(mutant.drain(at..end)),
        4 => {
            // So often that depth or number matters.
            let part = mutant[at..end].to_vec();
            let times = rng.random_range(1..=200);
            let room = BYTES_MAX.saturating_sub(mutant.len());
            let repeated: Vec<u8> = part
                .iter()
                .copied()
                .cycle()
                .take(part.len() * times)
                .collect();
            mutant.splice(at..at, repeated.into_iter().take(room));
        }
        5 => splice(mutant, at, others, rng),
        6 => {
            let text = TEXTS[rng.random_range(0..TEXTS.len())].bytes();
            let end = if rng.random() { end } else { at };
            mutant.splice(at..end, text);
        }
        7 => {
            let byte: u8 = rng.random();
            mutant.splice(at..at, std::iter::repeat_n(byte, rng.random_range(1..=32)));
        }
        8 => {
            let number = number(rng);
            for (place, byte) in mutant[at..].iter_mut().zip(number) {
                *place = byte;
            }
        }
        _ => {
            let number = number(rng);
            mutant.splice(at..at, number);
        }
    }
}

/// A part of another input, in place of the rest or before it.
fn splice(mutant: &mut Vec<u8>, at: usize, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    if others.is_empty() {
        return;
    }
    let other = &others[rng.random_range(0..others.len())];
    let from = rng.random_range(0..=other.len());
    if rng.random() {
        mutant.truncate(at);
        mutant.extend_from_slice(&other[from..]);
    } else {
        let to = rng.random_range(from..=other.len().min(from + 256));
        mutant.splice(at..at, other[from..to].iter().copied());
    }
}

/// A number in one of the ways in which lengths are written.
fn number(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let number = NUMBERS[rng.random_range(0..NUMBERS.len())];
    let width = [1, 2, 4, 8][rng.random_range(0..4)];
    match rng.random_range(0..3) {
        0 => number.to_le_bytes()[..width].to_vec(),
        1 => number.to_be_bytes()[8 - width..].to_vec(),
        _ => varint(number),
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}
