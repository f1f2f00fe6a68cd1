//! Hand-written commits, possible and impossible.

use super::check_atomic;
use crate::testing::Outputs;
use crate::topic;

fn production(paid_total: &str, payments: i64) -> Option<String> {
    Some(format!(
        r#"{{"production_id":1,"paid_total":"{paid_total}","payments":{payments},"title":"July"}}"#
    ))
}

fn payment(production_id: i64, amount: &str) -> Option<String> {
    Some(format!(
        r#"{{"production_id":{production_id},"amount":{amount}}}"#
    ))
}

fn possible() -> Outputs {
    let mut outputs = Outputs::default();
    outputs.push(topic::PRODUCTION, 1, 1, production("0", 0));
    outputs.push(topic::PRODUCTION, 2, 1, production("12.50", 2));
    outputs.push(topic::PAYMENT_ENRICHED, 2, 10, payment(1, "\"12.50\""));
    outputs.push(topic::PAYMENT_ENRICHED, 2, 11, payment(1, "null"));
    // The payment moves to another production, which has a row too.
    outputs.push(topic::PAYMENT_ENRICHED, 5, 10, payment(2, "\"12.50\""));
    outputs.push(topic::PRODUCTION, 5, 1, production("0.00", 1));
    outputs.push(topic::PRODUCTION, 5, 2, production("12.50", 1));
    // The first production goes, and its payments with it.
    outputs.push(topic::PRODUCTION, 6, 1, None);
    outputs.push(topic::PAYMENT_ENRICHED, 6, 11, None);
    outputs
}

#[test]
fn commits_that_agree_at_every_epoch_pass() {
    let report = check_atomic(&possible()).expect("memory can be read");
    assert_eq!(
        report.to_string(),
        "checked 4 epochs, 5 totals: 0 violations"
    );
}

#[test]
fn a_total_that_is_only_wrong_in_between_is_noticed() {
    let mut outputs = possible();
    for (epoch, _, _) in outputs
        .0
        .get_mut(topic::PAYMENT_ENRICHED)
        .expect("was written")
        .iter_mut()
        .filter(|record| record.0 == 2)
    {
        *epoch = 3;
    }
    let report = check_atomic(&outputs).expect("memory can be read");
    assert_eq!(report.violations, 1);
    assert_eq!(
        report.examples,
        ["after epoch 2, production 1 says 12.50 in 2 payments, which are 0.00 in 0"]
    );
}

#[test]
fn a_wrong_count_is_noticed_although_the_sum_is_right() {
    let mut outputs = possible();
    outputs.push(topic::PAYMENT_ENRICHED, 7, 12, payment(2, "\"0.00\""));
    assert_eq!(
        check_atomic(&outputs)
            .expect("memory can be read")
            .violations,
        1
    );
}

#[test]
fn payments_of_a_production_without_a_row_are_noticed() {
    let mut outputs = possible();
    outputs.push(topic::PAYMENT_ENRICHED, 7, 12, payment(3, "\"1.00\""));
    let report = check_atomic(&outputs).expect("memory can be read");
    assert_eq!(
        report.examples,
        ["after epoch 7, production 3 has no row but 1 enriched payments"]
    );
}

#[test]
fn a_key_twice_in_an_epoch_and_an_epoch_that_goes_back_are_noticed() {
    let mut outputs = possible();
    outputs.push(topic::PRODUCTION, 6, 2, production("12.50", 1));
    outputs.push(topic::PRODUCTION, 6, 2, production("12.50", 1));
    assert_eq!(
        check_atomic(&outputs).expect("memory can be read").examples,
        ["'finance.production' has key 2 twice in epoch 6"]
    );

    let mut outputs = possible();
    outputs.push(topic::PRODUCTION, 4, 3, production("0", 0));
    let report = check_atomic(&outputs).expect("memory can be read");
    assert_eq!(
        report.examples,
        ["'finance.production' goes back from epoch 6 to 4 at 0/5"]
    );
}
