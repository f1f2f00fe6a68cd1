//! What is told to who asks, or asks wrongly.

use crate::call;

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = call(&["--help"]).good();
    for word in [
        "run",
        "plan",
        "checkpoints",
        "collect",
        "fenced",
        "TIDEMILL_LOG",
    ] {
        assert!(help.contains(word), "'{word}' is not in:\n{help}");
    }
}

#[test]
fn help_of_a_command_has_examples() {
    for command in [&["run"][..], &["plan"], &["checkpoints"], &["collect"]] {
        let help = call(&[command, &["--help"]].concat()).good();
        assert!(
            help.contains("Examples:\n  tidemill "),
            "{command:?}:\n{help}"
        );
    }
}

#[test]
fn what_is_no_terminal_gets_no_colours() {
    assert!(!call(&["--help"]).good().contains('\x1b'));
    assert!(!call(&["plan", "nowhere.sql"]).stderr.contains('\x1b'));
}

#[test]
fn a_wrong_option_ends_with_two_and_names_it() {
    let outcome = call(&["run", "job.sql", "--epoch-interval", "often"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome
            .stderr
            .contains("'often' is no length of time; write one such as '100 ms'"),
        "{}",
        outcome.stderr
    );
}
