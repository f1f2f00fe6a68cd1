//! The entities as the oracle keeps them.

use hashbrown::HashMap;
use serde::Deserialize;

use super::Reason;
use super::decode::{Raw, date, decimal, integer, string, time};
use crate::Topic;
use crate::money::Money;

/// A text kept once.
pub type Text = u32;

/// Texts by number: most fields repeat a few words.
#[derive(Debug, Default)]
pub struct Texts {
    numbers: HashMap<Box<str>, Text>,
    texts: Vec<Box<str>>,
}

impl Texts {
    fn keep(&mut self, raw: Raw<'_>) -> Result<Option<Text>, Reason> {
        let Some(text) = string(raw)? else {
            return Ok(None);
        };
        if let Some(number) = self.numbers.get(&*text) {
            return Ok(Some(*number));
        }
        let number = Text::try_from(self.texts.len())
            .expect("fewer than 2^32 different texts fit in memory");
        self.numbers.insert(text.clone().into(), number);
        self.texts.push(text.into());
        Ok(Some(number))
    }

    /// The text of a number.
    #[must_use]
    pub fn get(&self, number: Text) -> &str {
        &self.texts[number as usize]
    }
}

/// A kind of entity.
pub trait Entity: Sized {
    /// Where its events are.
    const TOPIC: Topic;

    /// Its state from the JSON object `data`.
    fn from_data(data: &str, texts: &mut Texts) -> Result<Self, Reason>;

    /// The time that its topic's watermark follows, for an event of the time `ts`.
    fn time(&self, ts: i64) -> Option<i64> {
        Some(ts)
    }

    /// The same for an event without state.
    fn time_of_delete(ts: i64) -> Option<i64> {
        Some(ts)
    }
}

fn parse<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Reason> {
    serde_json::from_str(data).map_err(|_| Reason::WrongType)
}

/// A production.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of the event")]
pub struct Production {
    pub title: Option<Text>,
    pub genre: Option<Text>,
    pub region: Option<Text>,
    pub distributor: Option<Text>,
    pub director: Option<Text>,
    pub release_date: Option<i32>,
    pub status: Option<Text>,
    pub planned_budget: Option<Money>,
}

impl Entity for Production {
    const TOPIC: Topic = Topic::Production;

    fn from_data(data: &str, texts: &mut Texts) -> Result<Self, Reason> {
        #[derive(Deserialize)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        #[derive(Default)]
        struct Data<'a> {
            title: Raw<'a>,
            genre: Raw<'a>,
            region: Raw<'a>,
            distributor: Raw<'a>,
            director: Raw<'a>,
            release_date: Raw<'a>,
            status: Raw<'a>,
            planned_budget: Raw<'a>,
        }
        let data: Data<'_> = parse(data)?;
        Ok(Self {
            title: texts.keep(data.title)?,
            genre: texts.keep(data.genre)?,
            region: texts.keep(data.region)?,
            distributor: texts.keep(data.distributor)?,
            director: texts.keep(data.director)?,
            release_date: date(data.release_date)?,
            status: texts.keep(data.status)?,
            planned_budget: decimal(data.planned_budget)?,
        })
    }
}

/// Someone engaged.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of the event")]
pub struct Talent {
    pub production_id: Option<i64>,
    pub name: Option<Text>,
    pub role: Option<Text>,
}

impl Entity for Talent {
    const TOPIC: Topic = Topic::Talent;

    fn from_data(data: &str, texts: &mut Texts) -> Result<Self, Reason> {
        #[derive(Deserialize, Default)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        struct Data<'a> {
            production_id: Raw<'a>,
            name: Raw<'a>,
            role: Raw<'a>,
            fee: Raw<'a>,
        }
        let data: Data<'_> = parse(data)?;
        decimal(data.fee)?;
        Ok(Self {
            production_id: integer(data.production_id)?,
            name: texts.keep(data.name)?,
            role: texts.keep(data.role)?,
        })
    }
}

/// A phase of a production.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of the event")]
pub struct Schedule {
    pub production_id: Option<i64>,
}

impl Entity for Schedule {
    const TOPIC: Topic = Topic::Schedule;

    fn from_data(data: &str, _texts: &mut Texts) -> Result<Self, Reason> {
        #[derive(Deserialize, Default)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        struct Data<'a> {
            production_id: Raw<'a>,
            phase: Raw<'a>,
            starts_on: Raw<'a>,
            ends_on: Raw<'a>,
        }
        let data: Data<'_> = parse(data)?;
        string(data.phase)?;
        date(data.starts_on)?;
        date(data.ends_on)?;
        Ok(Self {
            production_id: integer(data.production_id)?,
        })
    }
}

/// A budget line.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of the event")]
pub struct Budget {
    pub production_id: Option<i64>,
    pub department: Option<Text>,
    pub amount: Option<Money>,
}

impl Entity for Budget {
    const TOPIC: Topic = Topic::Budget;

    fn from_data(data: &str, texts: &mut Texts) -> Result<Self, Reason> {
        #[derive(Deserialize, Default)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        struct Data<'a> {
            production_id: Raw<'a>,
            department: Raw<'a>,
            amount: Raw<'a>,
            currency: Raw<'a>,
        }
        let data: Data<'_> = parse(data)?;
        string(data.currency)?;
        Ok(Self {
            production_id: integer(data.production_id)?,
            department: texts.keep(data.department)?,
            amount: decimal(data.amount)?,
        })
    }
}

/// A payment.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of the event")]
pub struct Payment {
    pub production_id: Option<i64>,
    pub budget_id: Option<i64>,
    pub talent_id: Option<i64>,
    pub amount: Option<Money>,
    pub currency: Option<Text>,
    pub due_on: Option<i32>,
    pub status: Option<Text>,
}

impl Entity for Payment {
    const TOPIC: Topic = Topic::Payment;

    fn from_data(data: &str, texts: &mut Texts) -> Result<Self, Reason> {
        #[derive(Deserialize, Default)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        struct Data<'a> {
            production_id: Raw<'a>,
            budget_id: Raw<'a>,
            talent_id: Raw<'a>,
            amount: Raw<'a>,
            currency: Raw<'a>,
            due_on: Raw<'a>,
            status: Raw<'a>,
        }
        let data: Data<'_> = parse(data)?;
        Ok(Self {
            production_id: integer(data.production_id)?,
            budget_id: integer(data.budget_id)?,
            talent_id: integer(data.talent_id)?,
            amount: decimal(data.amount)?,
            currency: texts.keep(data.currency)?,
            due_on: date(data.due_on)?,
            status: texts.keep(data.status)?,
        })
    }
}

/// Money in or out.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of the event")]
pub struct CashFlow {
    pub production_id: Option<i64>,
    pub direction: Option<Text>,
    pub amount: Option<Money>,
    pub booked_at: Option<i64>,
}

impl Entity for CashFlow {
    const TOPIC: Topic = Topic::CashFlow;

    fn from_data(data: &str, texts: &mut Texts) -> Result<Self, Reason> {
        #[derive(Deserialize, Default)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        struct Data<'a> {
            production_id: Raw<'a>,
            direction: Raw<'a>,
            category: Raw<'a>,
            amount: Raw<'a>,
            booked_at: Raw<'a>,
        }
        let data: Data<'_> = parse(data)?;
        string(data.category)?;
        Ok(Self {
            production_id: integer(data.production_id)?,
            direction: texts.keep(data.direction)?,
            amount: decimal(data.amount)?,
            booked_at: time(data.booked_at)?,
        })
    }

    fn time(&self, _ts: i64) -> Option<i64> {
        self.booked_at
    }

    fn time_of_delete(_ts: i64) -> Option<i64> {
        None
    }
}
