//! The first state of each entity, as a function of its number: nothing is remembered.
//!
//! A payment is drawn from a budget line and shares its production, so that spending follows the popularity of productions (Zipf) and sums
//! up to somewhat less or somewhat more than what was budgeted.

use super::draw::{Draw, Place, scaled};
use super::slate::Film;
use super::timeline::Timeline;
use super::vocabulary as words;
use crate::Topic;
use crate::calendar::{DAY_MS, iso_date};

/// Payments are made from the youngest so many budget lines: each gets about as many payments.
const OPEN_BUDGETS: u64 = 200;

/// A production; every field but the region and status is JSON text, as it may come from a slate.
#[derive(Debug, Clone)]
pub struct Production {
    pub film: Film,
    pub region: &'static str,
    pub status: &'static str,
}

/// Someone engaged by a production.
#[derive(Debug, Clone)]
pub struct Talent {
    pub production_id: u64,
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub role: &'static str,
    pub fee: i64,
}

/// A phase of a production; days since 1970.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub production_id: u64,
    pub phase: &'static str,
    pub starts_on: i32,
    pub ends_on: i32,
}

/// A budget line.
#[derive(Debug, Clone)]
pub struct Budget {
    pub production_id: u64,
    pub department: &'static str,
    pub amount: i64,
    pub currency: &'static str,
}

/// A payment; amount in cents, due day since 1970.
#[derive(Debug, Clone)]
pub struct Payment {
    pub production_id: u64,
    pub budget_id: Option<u64>,
    pub talent_id: Option<u64>,
    pub amount: Option<i64>,
    pub currency: &'static str,
    pub due_on: Option<i32>,
    pub status: &'static str,
}

/// Money in or out.
#[derive(Debug, Clone)]
pub struct CashFlow {
    pub production_id: u64,
    pub incoming: bool,
    pub category: &'static str,
    pub amount: i64,
    pub booked_at: i64,
}

/// All entities that the run will ever create.
#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub timeline: Timeline,
    slate: Option<Vec<Film>>,
}

impl World {
    /// A world over a timeline; a slate must be as long as the timeline was told.
    pub const fn new(seed: u64, timeline: Timeline, slate: Option<Vec<Film>>) -> Self {
        Self {
            seed,
            timeline,
            slate,
        }
    }

    fn draw(&self, topic: Topic, id: u64) -> (Draw, u64) {
        (
            Draw::at(self.seed, Place::Entity(topic.index()), id),
            self.timeline.slot_of(topic, id),
        )
    }

    /// A production that exists before the slot, popular ones more often.
    fn popular_production(&self, draw: &mut Draw, slot: u64) -> u64 {
        draw.zipf(self.timeline.created_before(Topic::Production, slot))
    }

    /// The day of a slot, since 1970.
    pub fn day(&self, slot: u64) -> i32 {
        i32::try_from(self.timeline.time_ms(slot).div_euclid(DAY_MS))
            .expect("a run stays within millions of years")
    }

    /// How much of its budgets a production tends to spend.
    fn temper(&self, production_id: u64) -> f64 {
        0.4 + 1.2 * Draw::at(self.seed, Place::Temper, production_id).unit()
    }

    pub fn production(&self, id: u64) -> Production {
        let (mut draw, slot) = self.draw(Topic::Production, id);
        let region = draw.one_of(words::REGIONS);
        let status = draw.one_of(words::PRODUCTION_STATUSES);
        let listed = self
            .slate
            .as_ref()
            .and_then(|films| films.get(usize::try_from(id - 1).ok()?));
        let film = listed.cloned().unwrap_or_else(|| {
            let quoted = |text: &str| format!("\"{text}\"");
            let person = |draw: &mut Draw| {
                format!(
                    "\"{} {}\"",
                    draw.one_of(words::FIRST_NAMES),
                    draw.one_of(words::LAST_NAMES)
                )
            };
            Film {
                title: title(&mut draw),
                genre: quoted(draw.one_of(words::GENRES)),
                distributor: if draw.share(0.1) {
                    "null".to_owned()
                } else {
                    quoted(draw.one_of(words::DISTRIBUTORS))
                },
                director: person(&mut draw),
                release_date: json_date(
                    self.day(slot) + i32::try_from(draw.between(60, 720)).expect("is below 720"),
                ),
                planned_budget: json_money(draw.amount(7.5, 10.0)),
            }
        });
        Production {
            film,
            region,
            status,
        }
    }

    pub fn talent(&self, id: u64) -> Talent {
        let (mut draw, slot) = self.draw(Topic::Talent, id);
        Talent {
            production_id: self.popular_production(&mut draw, slot),
            first_name: draw.one_of(words::FIRST_NAMES),
            last_name: draw.one_of(words::LAST_NAMES),
            role: draw.one_of(words::ROLES),
            fee: draw.amount(5.0, 8.5),
        }
    }

    pub fn schedule(&self, id: u64) -> Schedule {
        let (mut draw, slot) = self.draw(Topic::Schedule, id);
        let production_id = self.popular_production(&mut draw, slot);
        let starts_on = self.day(slot) + i32::try_from(draw.below(300)).expect("is below 300");
        let ends_on = starts_on + 5 + i32::try_from(draw.below(120)).expect("is below 120");
        Schedule {
            production_id,
            phase: draw.one_of(words::PHASES),
            starts_on,
            ends_on,
        }
    }

    pub fn budget(&self, id: u64) -> Budget {
        let (mut draw, slot) = self.draw(Topic::Budget, id);
        Budget {
            production_id: self.popular_production(&mut draw, slot),
            department: draw.one_of(words::DEPARTMENTS),
            amount: draw.amount(6.0, 9.0),
            currency: draw.one_of(words::CURRENCIES),
        }
    }

    pub fn payment(&self, id: u64) -> Payment {
        let (mut draw, slot) = self.draw(Topic::Payment, id);
        let budgets = self.timeline.created_before(Topic::Budget, slot);
        let talents = self.timeline.created_before(Topic::Talent, slot);
        let budget_id = (budgets > 0 && !draw.share(0.03))
            .then(|| budgets - draw.below(budgets.min(OPEN_BUDGETS)));
        let (production_id, amount, currency) = match budget_id.map(|id| self.budget(id)) {
            Some(budget) => {
                #[expect(clippy::cast_precision_loss, reason = "amounts stay below 10^15 cents")]
                let line = budget.amount as f64;
                let amount = scaled(
                    line,
                    self.temper(budget.production_id) * (0.01 + 0.15 * draw.unit()),
                );
                (budget.production_id, amount, budget.currency)
            }
            None => (
                self.popular_production(&mut draw, slot),
                draw.amount(4.0, 7.0),
                "USD",
            ),
        };
        let talent_id = (talents > 0 && draw.share(0.3)).then(|| 1 + draw.below(talents.max(1)));
        let due_on = self.day(slot) + i32::try_from(draw.between(14, 540)).expect("is below 540");
        Payment {
            production_id,
            budget_id,
            talent_id,
            amount: (!draw.share(0.003)).then_some(amount),
            currency,
            due_on: (!draw.share(0.005)).then_some(due_on),
            status: draw.one_of(words::PAYMENT_STATUSES),
        }
    }

    pub fn cash_flow(&self, id: u64) -> CashFlow {
        let (mut draw, slot) = self.draw(Topic::CashFlow, id);
        let incoming = draw.share(0.4);
        CashFlow {
            production_id: self.popular_production(&mut draw, slot),
            incoming,
            category: draw.one_of(if incoming {
                words::INCOME
            } else {
                words::EXPENSE
            }),
            amount: draw.amount(4.5, 8.0),
            booked_at: self.timeline.time_ms(slot) - draw.between(0, 30 * 60 * 1000),
        }
    }
}

/// A title as JSON text.
pub fn title(draw: &mut Draw) -> String {
    let (adjective, noun) = (draw.one_of(words::ADJECTIVES), draw.one_of(words::NOUNS));
    match draw.below(4) {
        0 => format!("\"{adjective} {noun}\""),
        1 => format!(
            "\"A {adjective} {noun} in {}\"",
            draw.one_of(words::REGIONS)
        ),
        2 => format!("\"{noun}, {adjective}\""),
        _ => format!("\"The {adjective} {noun}\""),
    }
}

/// A day since 1970 as JSON text.
pub fn json_date(day: i32) -> String {
    let date = iso_date(day);
    format!(
        "\"{}\"",
        std::str::from_utf8(&date).expect("digits and dashes")
    )
}

/// Cents as JSON text.
pub fn json_money(cents: i64) -> String {
    format!("\"{}\"", crate::money::Money(i128::from(cents)))
}
