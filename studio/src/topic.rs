//! The topics of the studio: six of events, seven that its finance job writes.

/// A topic of events; there is one per kind of entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Films and series.
    Production,
    /// People engaged by a production.
    Talent,
    /// Phases of a production.
    Schedule,
    /// Budget lines of a production.
    Budget,
    /// Payments by a production.
    Payment,
    /// Money in and out.
    CashFlow,
}

impl Topic {
    /// All of them, in the order of their index.
    pub const ALL: [Self; 6] = [
        Self::Production,
        Self::Talent,
        Self::Schedule,
        Self::Budget,
        Self::Payment,
        Self::CashFlow,
    ];

    /// Position in [`Topic::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Name of the topic.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Production => "studio.production",
            Self::Talent => "studio.talent",
            Self::Schedule => "studio.schedule",
            Self::Budget => "studio.budget",
            Self::Payment => "studio.payment",
            Self::CashFlow => "studio.cash_flow",
        }
    }

    /// The entity that its envelopes carry.
    #[must_use]
    pub const fn entity(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Talent => "talent",
            Self::Schedule => "schedule",
            Self::Budget => "budget",
            Self::Payment => "payment",
            Self::CashFlow => "cash_flow",
        }
    }
}

/// One row per production with its totals (upserts).
pub const PRODUCTION: &str = "finance.production";
/// Payments with the names around them (upserts).
pub const PAYMENT_ENRICHED: &str = "finance.payment_enriched";
/// Spend by region and year of the due date (upserts).
pub const SPEND_BY_REGION_YEAR: &str = "finance.spend_by_region_year";
/// Cash in and out by production and day (upserts).
pub const CASH_FLOW_DAILY: &str = "finance.cash_flow_daily";
/// Every accepted change of a payment, in order per payment (append-only).
pub const PAYMENT_AUDIT: &str = "finance.payment_audit";
/// Changes that came too late for the audit (append-only).
pub const LATE: &str = "finance.late";
/// Undecodable records (append-only).
pub const DEAD_LETTERS: &str = "finance.dead_letters";
