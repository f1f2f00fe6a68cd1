//! The session in which everything is asked that is not the log: how types are written, how far the log is; and in which chunks are told.
//!
//! Connects when it is needed, and again after a failure. Does not try again by itself.

use std::mem;

use hashbrown::HashMap;

use crate::error::Failure;
use crate::options::Server;
use crate::session::Session;
use crate::source::replication::FORMS;
use crate::source::values::Kind;

/// What a type is that somebody made: a domain is what it is made of.
const TYPE: &str = "WITH RECURSIVE base AS (SELECT oid, typtype, typbasetype, typelem, typcategory FROM pg_catalog.pg_type WHERE oid = $1::text::oid \
     UNION ALL SELECT t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory FROM pg_catalog.pg_type t JOIN base ON base.typtype = 'd' AND t.oid = base.typbasetype) \
     SELECT oid::int8, typcategory::text, typelem::int8 FROM base WHERE typtype <> 'd'";

/// How deep types may be made of one another.
const DEPTH_MAX: u32 = 16;

/// The session, and what it said that stays so.
pub struct Catalog {
    server: Server,
    session: Option<Session>,
    kinds: HashMap<u32, Kind>,
}

impl Catalog {
    /// Of a server. Does not connect yet.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            session: None,
            kinds: HashMap::new(),
        }
    }

    /// Does something in the session; after a failure it is another one.
    pub fn with<T>(
        &mut self,
        step: impl FnOnce(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let session = match mem::take(&mut self.session) {
            Some(session) => session,
            None => {
                let session = Session::connect(&self.server)?;
                let forms = FORMS.map(|(name, value)| format!("SET {name} = '{value}'"));
                session.batch(&forms.join("; "))?;
                session
            }
        };
        let done = step(&session)?;
        self.session = Some(session);
        Ok(done)
    }

    /// A number that a statement answers, and texts that it is asked with.
    pub fn number(&mut self, sql: &str, parameters: &[&str]) -> Result<Option<i64>, Failure> {
        let rows = self.with(|session| session.ask(sql, parameters))?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }

    /// How a type is written.
    pub fn kind(&mut self, oid: u32) -> Result<Kind, Failure> {
        self.kind_within(oid, DEPTH_MAX)
    }

    fn kind_within(&mut self, oid: u32, depth: u32) -> Result<Kind, Failure> {
        if let Some(kind) = Kind::of(oid) {
            return Ok(kind);
        }
        if let Some(kind) = self.kinds.get(&oid) {
            return Ok(kind.clone());
        }
        let text = oid.to_string();
        let rows = self.with(|session| session.ask(TYPE, &[&text]))?;
        let number = |number: i64| u32::try_from(number).unwrap_or_default();
        let kind = match rows.first() {
            // An element that is an array is within one; a text tells of what is made in circles.
            Some(row) if row.get::<_, &str>(1) == "A" && row.get::<_, i64>(2) != 0 && depth > 0 => {
                let member = self.kind_within(number(row.get(2)), depth - 1)?;
                Kind::Array(Box::new(member))
            }
            Some(row) => Kind::of(number(row.get(0))).unwrap_or(Kind::Text),
            None => Kind::Text,
        };
        self.kinds.insert(oid, kind.clone());
        Ok(kind)
    }
}
