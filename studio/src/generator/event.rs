//! The bytes of the event in a slot. The same slot gives the same bytes every time: that is how duplicates are made.

use super::draw::{Draw, Place, scaled};
use super::entities::{
    Budget, CashFlow, Payment, Production, Schedule, Talent, World, json_date, json_money, title,
};
use super::json::Json;
use super::timeline::{BURST_STEPS, SlotKind};
use super::vocabulary as words;
use crate::Topic;
use crate::calendar::parse_date;

/// Which entity an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    pub topic: Topic,
    pub id: u64,
}

/// What an event does, in the words of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Delete,
    Read,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Read => "read",
        }
    }
}

/// Who is updated how often, in hundredths.
const UPDATED: [(Topic, u64); 6] = [
    (Topic::Payment, 55),
    (Topic::CashFlow, 15),
    (Topic::Budget, 12),
    (Topic::Production, 8),
    (Topic::Schedule, 5),
    (Topic::Talent, 5),
];
/// Who is deleted how often, in thousandths.
const DELETED: [(Topic, u64); 6] = [
    (Topic::Payment, 600),
    (Topic::CashFlow, 200),
    (Topic::Budget, 100),
    (Topic::Talent, 50),
    (Topic::Schedule, 45),
    (Topic::Production, 5),
];
/// Of a hundred entities so many have amounts that are JSON numbers instead of strings.
const NUMBERS_PER_HUNDRED: u64 = 15;
/// In which order the steps of a burst are published, by a draw.
const BURST_ORDERS: [[u8; BURST_STEPS as usize]; 5] =
    [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// An event, before it is bytes.
pub struct Event {
    pub subject: Subject,
    pub action: Action,
    pub ts: i64,
    /// The slot whose uuid it bears.
    slot: u64,
    /// A step of a burst.
    step: Option<u8>,
    draw: Draw,
}

impl World {
    /// The event in a slot.
    pub fn event(&self, slot: u64) -> Event {
        let mut draw = Draw::at(self.seed, Place::Slot, slot);
        let ts = self.timeline.time_ms(slot);
        let (subject, action) = match self.timeline.at(slot) {
            SlotKind::Create(topic, id) => (Subject { topic, id }, Action::Create),
            SlotKind::Update => (self.pick(&mut draw, slot, &UPDATED), Action::Update),
            SlotKind::Delete => (self.pick(&mut draw, slot, &DELETED), Action::Delete),
            SlotKind::Read => (self.pick(&mut draw, slot, &UPDATED), Action::Read),
            SlotKind::Burst { first_slot, step } => return self.burst(first_slot, step, slot),
        };
        Event {
            subject,
            action,
            ts,
            slot,
            step: None,
            draw,
        }
    }

    /// A step of a burst: the same entity changes three times within a second, published in another order than it happened.
    fn burst(&self, first_slot: u64, place: u8, slot: u64) -> Event {
        let mut draw = Draw::at(self.seed, Place::Slot, first_slot);
        let step = draw.one_of(&BURST_ORDERS)[usize::from(place)];
        let subject = self.pick(
            &mut draw,
            first_slot,
            &[(Topic::Production, 1), (Topic::Payment, 1)],
        );
        let ts = self.timeline.time_ms(first_slot) + i64::from(step) * draw.between(100, 400);
        Event {
            subject,
            action: Action::Update,
            ts,
            slot,
            step: Some(step),
            draw,
        }
    }

    /// An entity that exists before the slot, rather a young one.
    fn pick(&self, draw: &mut Draw, slot: u64, weights: &[(Topic, u64)]) -> Subject {
        let mut ticket = draw.below(weights.iter().map(|(_, weight)| weight).sum());
        let topic = weights.iter().find(|(_, weight)| {
            let hit = ticket < *weight;
            ticket = ticket.saturating_sub(*weight);
            hit
        });
        let topic = topic.map_or(Topic::Production, |(topic, _)| *topic);
        let count = self.timeline.created_before(topic, slot);
        if count == 0 {
            return Subject {
                topic: Topic::Production,
                id: 1,
            };
        }
        let age = match draw.below(10) {
            0..3 => draw.below(count.min(8)),
            3..6 => draw.below(count.min(2_000)),
            _ => draw.below(count),
        };
        Subject {
            topic,
            id: count - age,
        }
    }

    /// Appends the bytes of an event.
    pub fn write(&self, event: Event, arena: &mut Vec<u8>) {
        let mut uuid = Draw::at(self.seed, Place::Uuid, event.slot);
        self.write_as(
            event,
            u128::from(uuid.bits()) << 64 | u128::from(uuid.bits()),
            arena,
        );
    }

    /// Appends the bytes of another event, which updates the same entity.
    pub fn write_update(&self, event: Event, uuid: u128, arena: &mut Vec<u8>) {
        self.write_as(
            Event {
                action: Action::Update,
                ..event
            },
            uuid,
            arena,
        );
    }

    fn write_as(&self, mut event: Event, uuid: u128, arena: &mut Vec<u8>) {
        let Subject { topic, id } = event.subject;
        let json = Json::envelope(arena, uuid, event.action.name(), event.ts, topic, id);
        if event.action == Action::Delete {
            return json.close();
        }
        let changed = event.action == Action::Update;
        let draw = &mut event.draw;
        match topic {
            Topic::Production => {
                let mut production = self.production(id);
                match event.step {
                    Some(step) => production.film.release_date = july_june_july(step),
                    None if changed => change_production(&mut production, draw),
                    None => {}
                }
                write_production(json, &production);
            }
            Topic::Talent => write_talent(
                json,
                &changed_if(changed, self.talent(id), |talent| {
                    change_talent(talent, draw)
                }),
                id,
            ),
            Topic::Schedule => write_schedule(
                json,
                &changed_if(changed, self.schedule(id), |schedule| {
                    change_schedule(schedule, draw)
                }),
            ),
            Topic::Budget => {
                let budget = changed_if(changed, self.budget(id), |budget| {
                    change_amount(&mut budget.amount, draw)
                });
                write_budget(json, &budget, id);
            }
            Topic::Payment => {
                let payment = changed_if(changed, self.payment(id), |payment| match event.step {
                    Some(step) => {
                        payment.due_on = parse_date(july_june_july(step).trim_matches('"'))
                    }
                    None => self.change_payment(payment, event.slot, draw),
                });
                write_payment(json, &payment, id);
            }
            Topic::CashFlow => {
                let flow = changed_if(changed, self.cash_flow(id), |flow| {
                    change_amount(&mut flow.amount, draw)
                });
                write_cash_flow(json, &flow, id);
            }
        }
    }

    fn change_payment(&self, payment: &mut Payment, slot: u64, draw: &mut Draw) {
        match draw.below(100) {
            0..45 => payment.amount = Some(draw.amount(4.0, 7.5)),
            45..72 => payment.status = draw.one_of(words::PAYMENT_STATUSES),
            72..98 => {
                let days = i32::try_from(draw.between(-60, 400)).expect("is below 400");
                payment.due_on = payment.due_on.map(|day| day + days);
            }
            _ => {
                payment.production_id =
                    1 + draw.below(self.timeline.created_before(Topic::Production, slot))
            }
        }
    }
}

fn changed_if<T>(changed: bool, mut entity: T, change: impl FnOnce(&mut T)) -> T {
    if changed {
        change(&mut entity);
    }
    entity
}

/// A launch moves from July to June and back.
fn july_june_july(step: u8) -> String {
    (if step == 1 {
        "\"2027-06-18\""
    } else {
        "\"2027-07-16\""
    })
    .to_owned()
}

fn change_production(production: &mut Production, draw: &mut Draw) {
    match draw.below(10) {
        0..5 => {
            production.film.release_date =
                json_date(i32::try_from(draw.between(20_500, 21_500)).expect("is below 21,500"))
        }
        5..7 => production.film.title = title(draw),
        7..9 => production.status = draw.one_of(words::PRODUCTION_STATUSES),
        _ => production.film.planned_budget = json_money(draw.amount(7.5, 10.0)),
    }
}

fn change_talent(talent: &mut Talent, draw: &mut Draw) {
    if draw.share(0.5) {
        talent.role = draw.one_of(words::ROLES);
    } else {
        change_amount(&mut talent.fee, draw);
    }
}

fn change_schedule(schedule: &mut Schedule, draw: &mut Draw) {
    let days = i32::try_from(draw.between(-30, 90)).expect("is below 90");
    schedule.starts_on += days;
    schedule.ends_on += days;
}

fn change_amount(amount: &mut i64, draw: &mut Draw) {
    #[expect(clippy::cast_precision_loss, reason = "amounts stay below 10^15 cents")]
    let before = *amount as f64;
    *amount = scaled(before, 0.5 + draw.unit());
}

/// Whether an entity's money is a JSON number: a habit of the service that wrote it.
const fn as_number(id: u64) -> bool {
    id.wrapping_mul(2_654_435_761) % 100 < NUMBERS_PER_HUNDRED
}

fn write_production(json: Json<'_>, production: &Production) {
    let film = &production.film;
    json.open_data_raw("title", &film.title)
        .raw("genre", &film.genre)
        .text("region", production.region)
        .raw("distributor", &film.distributor)
        .raw("director", &film.director)
        .raw("release_date", &film.release_date)
        .text("status", production.status)
        .raw("planned_budget", &film.planned_budget)
        .close_data();
}

fn write_talent(json: Json<'_>, talent: &Talent, id: u64) {
    json.open_data(talent.production_id)
        .raw(
            "name",
            &format!("\"{} {}\"", talent.first_name, talent.last_name),
        )
        .text("role", talent.role)
        .money("fee", Some(talent.fee), as_number(id))
        .close_data();
}

fn write_schedule(json: Json<'_>, schedule: &Schedule) {
    json.open_data(schedule.production_id)
        .text("phase", schedule.phase)
        .date("starts_on", Some(schedule.starts_on))
        .date("ends_on", Some(schedule.ends_on))
        .close_data();
}

fn write_budget(json: Json<'_>, budget: &Budget, id: u64) {
    json.open_data(budget.production_id)
        .text("department", budget.department)
        .money("amount", Some(budget.amount), as_number(id))
        .text("currency", budget.currency)
        .close_data();
}

fn write_payment(json: Json<'_>, payment: &Payment, id: u64) {
    json.open_data(payment.production_id)
        .number("budget_id", payment.budget_id.map(u64::cast_signed))
        .number("talent_id", payment.talent_id.map(u64::cast_signed))
        .money("amount", payment.amount, as_number(id))
        .text("currency", payment.currency)
        .date("due_on", payment.due_on)
        .text("status", payment.status)
        .close_data();
}

fn write_cash_flow(json: Json<'_>, flow: &CashFlow, id: u64) {
    json.open_data(flow.production_id)
        .text("direction", if flow.incoming { "in" } else { "out" })
        .text("category", flow.category)
        .money("amount", Some(flow.amount), as_number(id))
        .number("booked_at", Some(flow.booked_at))
        .close_data();
}
