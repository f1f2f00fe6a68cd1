//! What a Rust source file says about itself, and the words that must not land.

/// Words of unfinished work, and the attribute of a test that does not run. In pieces, so that this file does not hold them itself.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("unimplemented", "!"),
    concat!("todo", "!"),
    concat!("#[", "ignore"),
];

/// True if the file opens with what it is for.
#[must_use]
pub fn opens_with_its_purpose(source: &str) -> bool {
    source.lines().next().is_some_and(|line| {
        line.strip_prefix("//!")
            .is_some_and(|purpose| !purpose.trim().is_empty())
    })
}

/// Line numbers (from 1) and words of unfinished work.
#[must_use]
pub fn unfinished(source: &str) -> Vec<(usize, &'static str)> {
    let in_line = |(number, line): (usize, &str)| {
        let found: Vec<_> = UNFINISHED
            .into_iter()
            .filter(|word| line.contains(word))
            .map(|word| (number + 1, word))
            .collect();
        found
    };
    source.lines().enumerate().flat_map(in_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_say_what_it_is_for_in_its_first_line() {
        assert!(opens_with_its_purpose("//! The unit of commit.\n"));
        assert!(!opens_with_its_purpose("//!\n//! The unit of commit.\n"));
        assert!(!opens_with_its_purpose(
            "use std::fmt;\n//! The unit of commit.\n"
        ));
        assert!(!opens_with_its_purpose(""));
    }

    #[test]
    fn unfinished_work_is_found_with_its_line() {
        let source = format!(
            "fn a() {{}}\n// {}: b\nfn c() {{ {}() }}\n",
            UNFINISHED[0], UNFINISHED[3]
        );
        assert_eq!(
            unfinished(&source),
            [(2, UNFINISHED[0]), (3, UNFINISHED[3])]
        );
    }
}
