//! The rows of the outputs, as they are compared. A column that is missing or unknown is an error, not a null.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::calendar::{iso_date, iso_time, parse_date, parse_time};
use crate::money::Money;

/// A text column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A date column; days since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(pub i32);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&iso_date(self.0)).expect("digits and dashes"))
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        parse_date(&text.0)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("not a date such as '2026-01-31'"))
    }
}

/// A timestamp column; milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&iso_time(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        parse_time(&text.0).map(Self).ok_or_else(|| {
            serde::de::Error::custom("not a time such as '2026-01-31T00:00:00.000Z'")
        })
    }
}

/// A nullable column that must be there. (Serde lets a missing `Option` pass otherwise.)
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// A row of `finance.production`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns of the sink")]
pub struct ProductionRow<'a> {
    pub production_id: i64,
    #[serde(borrow, deserialize_with = "nullable")]
    pub title: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub genre: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub region: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub distributor: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub director: Option<Text<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub release_date: Option<Date>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub status: Option<Text<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub planned_budget: Option<Money>,
    pub budget_total: Money,
    pub budget_lines: i64,
    pub paid_total: Money,
    pub payments: i64,
    pub talents: i64,
    pub phases: i64,
    pub variance: Money,
    pub over_budget: bool,
}

/// A row of `finance.payment_enriched`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns of the sink")]
pub struct PaymentRow<'a> {
    pub payment_id: i64,
    pub production_id: i64,
    #[serde(borrow, deserialize_with = "nullable")]
    pub title: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub region: Option<Text<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub budget_id: Option<i64>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub department: Option<Text<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub budget_amount: Option<Money>,
    #[serde(deserialize_with = "nullable")]
    pub talent_id: Option<i64>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub talent_name: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub role: Option<Text<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub amount: Option<Money>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub currency: Option<Text<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub due_on: Option<Date>,
    #[serde(borrow, deserialize_with = "nullable")]
    pub status: Option<Text<'a>>,
}

/// The key of `finance.spend_by_region_year`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns of the key")]
pub struct SpendKeyColumns<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    pub region: Option<Text<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub year: Option<i32>,
}

/// A row of `finance.spend_by_region_year`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns of the sink")]
pub struct SpendRow<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    pub region: Option<Text<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub year: Option<i32>,
    pub payments: i64,
    #[serde(deserialize_with = "nullable")]
    pub spend: Option<Money>,
}

/// The key of `finance.cash_flow_daily`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns of the key")]
pub struct DailyKeyColumns {
    #[serde(deserialize_with = "nullable")]
    pub production_id: Option<i64>,
    pub day: Time,
}

/// A row of `finance.cash_flow_daily`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the columns of the sink")]
pub struct DailyRow {
    #[serde(deserialize_with = "nullable")]
    pub production_id: Option<i64>,
    pub day: Time,
    pub cash_in: Money,
    pub cash_out: Money,
    pub net: Money,
    pub entries: i64,
}
