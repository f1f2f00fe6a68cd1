//! The books: all entities, what follows from them, and the expected row of each key.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::entities::{
    Budget, CashFlow, Payment, Production, Schedule, Talent, Text as TextNumber, Texts,
};
use super::load::Table;
use super::rows::{DailyRow, Date, PaymentRow, ProductionRow, SpendRow, Text, Time};
use crate::calendar::{start_of_day, year};
use crate::money::Money;

/// Sums and counts of a production.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the sink")]
pub struct ProductionTotals {
    pub budget_total: Money,
    pub budget_lines: i64,
    pub paid_total: Money,
    pub payments: i64,
    pub talents: i64,
    pub phases: i64,
}

/// Region and year.
pub type SpendKey = (Option<String>, Option<i32>);
/// Production and first millisecond of the day.
pub type DailyKey = (Option<i64>, i64);

/// Everything that is known at the end of the inputs.
#[derive(Debug)]
pub struct Books {
    texts: Texts,
    productions: Table<Production>,
    talents: Table<Talent>,
    budgets: Table<Budget>,
    payments: Table<Payment>,
    totals: HashMap<i64, ProductionTotals>,
    spend: HashMap<SpendKey, (i64, Option<Money>)>,
    daily: HashMap<DailyKey, DailyRow>,
}

/// The tables of all six topics.
#[derive(Debug)]
#[expect(missing_docs, reason = "one per topic")]
pub struct Tables {
    pub productions: Table<Production>,
    pub talents: Table<Talent>,
    pub schedules: Table<Schedule>,
    pub budgets: Table<Budget>,
    pub payments: Table<Payment>,
    pub cash_flows: Table<CashFlow>,
}

impl Books {
    /// Adds up.
    #[must_use]
    pub fn new(tables: Tables, texts: Texts) -> Self {
        let Tables {
            productions,
            talents,
            schedules,
            budgets,
            payments,
            cash_flows,
        } = tables;
        let totals = totals(&talents, &schedules, &budgets, &payments);
        let daily = daily(&cash_flows, &texts);
        let mut books = Self {
            texts,
            productions,
            talents,
            budgets,
            payments,
            totals,
            spend: HashMap::new(),
            daily,
        };
        books.spend = books.add_up_spend();
        books
    }

    fn text(&self, number: Option<TextNumber>) -> Option<Text<'_>> {
        number.map(|number| Text(Cow::Borrowed(self.texts.get(number))))
    }

    /// The productions that must have a row.
    pub fn production_ids(&self) -> impl Iterator<Item = i64> {
        self.productions.iter().map(|(id, _)| id)
    }

    /// The row of a production.
    #[must_use]
    pub fn production(&self, id: i64) -> Option<ProductionRow<'_>> {
        let production = self.productions.get(id)?;
        let totals = self.totals.get(&id).copied().unwrap_or_default();
        Some(ProductionRow {
            production_id: id,
            title: self.text(production.title),
            genre: self.text(production.genre),
            region: self.text(production.region),
            distributor: self.text(production.distributor),
            director: self.text(production.director),
            release_date: production.release_date.map(Date),
            status: self.text(production.status),
            planned_budget: production.planned_budget,
            budget_total: totals.budget_total,
            budget_lines: totals.budget_lines,
            paid_total: totals.paid_total,
            payments: totals.payments,
            talents: totals.talents,
            phases: totals.phases,
            variance: totals.budget_total - totals.paid_total,
            over_budget: totals.paid_total > totals.budget_total,
        })
    }

    /// The payments that must have a row.
    pub fn payment_ids(&self) -> impl Iterator<Item = i64> {
        self.payments
            .iter()
            .filter(|(_, payment)| {
                payment
                    .production_id
                    .is_some_and(|id| self.productions.get(id).is_some())
            })
            .map(|(id, _)| id)
    }

    /// The row of a payment, if its production is there.
    #[must_use]
    pub fn payment(&self, id: i64) -> Option<PaymentRow<'_>> {
        let payment = self.payments.get(id)?;
        let production_id = payment.production_id?;
        let production = self.productions.get(production_id)?;
        let budget = payment.budget_id.and_then(|id| self.budgets.get(id));
        let talent = payment.talent_id.and_then(|id| self.talents.get(id));
        Some(PaymentRow {
            payment_id: id,
            production_id,
            title: self.text(production.title),
            region: self.text(production.region),
            budget_id: payment.budget_id,
            department: budget.and_then(|budget| self.text(budget.department)),
            budget_amount: budget.and_then(|budget| budget.amount),
            talent_id: payment.talent_id,
            talent_name: talent.and_then(|talent| self.text(talent.name)),
            role: talent.and_then(|talent| self.text(talent.role)),
            amount: payment.amount,
            currency: self.text(payment.currency),
            due_on: payment.due_on.map(Date),
            status: self.text(payment.status),
        })
    }

    fn add_up_spend(&self) -> HashMap<SpendKey, (i64, Option<Money>)> {
        type Cell = (Option<TextNumber>, Option<i32>);
        let mut numbered: HashMap<Cell, (i64, Option<Money>)> = HashMap::new();
        for (_, payment) in self.payments.iter() {
            let Some(production) = payment
                .production_id
                .and_then(|id| self.productions.get(id))
            else {
                continue;
            };
            let (count, spend) = numbered
                .entry((production.region, payment.due_on.and_then(year)))
                .or_default();
            *count += 1;
            if let Some(amount) = payment.amount {
                *spend.get_or_insert_default() += amount;
            }
        }
        let named =
            |region: Option<TextNumber>| region.map(|number| self.texts.get(number).to_owned());
        numbered
            .into_iter()
            .map(|((region, year), totals)| ((named(region), year), totals))
            .collect()
    }

    /// The regions and years that must have a row.
    pub fn spend_keys(&self) -> impl Iterator<Item = SpendKey> {
        self.spend.keys().cloned()
    }

    /// The row of a region and a year.
    #[must_use]
    pub fn spend(&self, key: &SpendKey) -> Option<SpendRow<'_>> {
        let ((region, year), (payments, spend)) = self.spend.get_key_value(key)?;
        Some(SpendRow {
            region: region.as_deref().map(|text| Text(Cow::Borrowed(text))),
            year: *year,
            payments: *payments,
            spend: *spend,
        })
    }

    /// All productions and days with a live cash flow, whether their window has closed or not.
    pub fn daily_keys(&self) -> impl Iterator<Item = DailyKey> {
        self.daily.keys().copied()
    }

    /// The row of a production and a day.
    #[must_use]
    pub fn daily(&self, key: &DailyKey) -> Option<&DailyRow> {
        self.daily.get(key)
    }
}

fn totals(
    talents: &Table<Talent>,
    schedules: &Table<Schedule>,
    budgets: &Table<Budget>,
    payments: &Table<Payment>,
) -> HashMap<i64, ProductionTotals> {
    let mut totals: HashMap<i64, ProductionTotals> = HashMap::new();
    for id in talents
        .iter()
        .filter_map(|(_, talent)| talent.production_id)
    {
        totals.entry(id).or_default().talents += 1;
    }
    for id in schedules
        .iter()
        .filter_map(|(_, schedule)| schedule.production_id)
    {
        totals.entry(id).or_default().phases += 1;
    }
    for (_, budget) in budgets.iter() {
        let Some(id) = budget.production_id else {
            continue;
        };
        let totals = totals.entry(id).or_default();
        totals.budget_lines += 1;
        totals.budget_total += budget.amount.unwrap_or_default();
    }
    for (_, payment) in payments.iter() {
        let Some(id) = payment.production_id else {
            continue;
        };
        let totals = totals.entry(id).or_default();
        totals.payments += 1;
        totals.paid_total += payment.amount.unwrap_or_default();
    }
    totals
}

fn daily(cash_flows: &Table<CashFlow>, texts: &Texts) -> HashMap<DailyKey, DailyRow> {
    let mut daily = HashMap::new();
    for (_, flow) in cash_flows.iter() {
        let Some(booked_at) = flow.booked_at else {
            continue;
        };
        let (production_id, day) = (flow.production_id, start_of_day(booked_at));
        let row = daily
            .entry((production_id, day))
            .or_insert_with(|| DailyRow {
                production_id,
                day: Time(day),
                cash_in: Money(0),
                cash_out: Money(0),
                net: Money(0),
                entries: 0,
            });
        row.entries += 1;
        let amount = flow.amount.unwrap_or_default();
        match flow.direction.map(|number| texts.get(number)) {
            Some("in") => row.cash_in += amount,
            Some("out") => row.cash_out += amount,
            _ => {}
        }
        row.net = row.cash_in - row.cash_out;
    }
    daily
}
