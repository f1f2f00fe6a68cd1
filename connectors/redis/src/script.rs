//! The two scripts that run at the server, and what they are given.
//!
//! A script is one atomic step: nobody sees half of it, and neither the append-only file nor a replica has half of it. But what it wrote before
//! an error of its own stays; so it looks at everything first that can refuse, writes one thing which changes nothing, and only then the rest.

use redis::{Cmd, Value};
use tidemill_connectors_api::Rejected;

use crate::error::Failure;
use crate::options::{SinkOptions, Type};
use crate::progress::{Place, Progress, read_rejected};
use crate::records::{Change, Record};
use crate::session::Session;

/// Takes a sink over: keys: the progress; arguments: job, sink, history, owner.
pub const CLAIM: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'hash' then return {'other', kind} end
local found = redis.call('HMGET', KEYS[1], 'job', 'sink', 'history', 'epoch', 'at_epoch', 'at_record', 'rejected')
if kind == 'hash' and not (found[1] and found[2] and found[3] and found[4] and found[5] and found[6]) then return {'other', kind} end
if kind == 'none' or found[4] .. found[5] .. found[6] == '000' then
  redis.call('HSET', KEYS[1], 'job', ARGV[1], 'sink', ARGV[2], 'history', ARGV[3], 'owner', ARGV[4], 'epoch', '0', 'at_epoch', '0', 'at_record', '0')
  return {'yours', '0', '0', '0', ''}
end
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] or found[3] ~= ARGV[3] then return {'foreign', found[1], found[2], found[3], found[4]} end
redis.call('HSET', KEYS[1], 'owner', ARGV[4])
return {'yours', found[4], found[5], found[6], found[7] or ''}
";

/// Brings records: keys: the progress, then those of the records, of a stream only its own; arguments: see [`Step::command`].
const DELIVER: &str = r"
local progress, owner, through, kept, expire, records = KEYS[1], ARGV[1], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local stands = redis.call('HMGET', progress, 'owner', 'at_epoch', 'at_record')
if not stands[1] then return {'lost'} end
if stands[1] ~= owner then return {'fenced'} end
if stands[2] ~= ARGV[2] or stands[3] ~= ARGV[3] then return {'lost'} end

-- Keys of another type are left alone.
local probe = ({string = 'STRLEN', hash = 'HLEN', stream = 'XLEN'})[kept]
local refused = {}
for n = 2, #KEYS do
  local found = redis.pcall(probe, KEYS[n])
  if type(found) == 'table' and found.err then
    if string.sub(found.err, 1, 9) ~= 'WRONGTYPE' then return found end
    refused[n] = found.err
  end
end
-- Where nothing can be written, this cannot either; once something was, the rest is not refused for want of memory.
local written = redis.pcall('HSET', progress, 'owner', owner)
if type(written) == 'table' and written.err then return written end

local at = 10
local function take()
  at = at + 1
  return ARGV[at]
end
local function skip(count)
  local from = at + 1
  at = at + count
  return from
end
local rejected = {}
for n = 1, records do
  local own = kept == 'stream' and 2 or n + 1
  local key, place, doing = KEYS[own], take(), take()
  local write = not refused[own]
  if not write then
    rejected[#rejected + 1] = place .. ' ' .. refused[own] .. '\n'
  end
  if doing == '-' then
    if write then redis.call('DEL', key) end
  elseif doing == '=' then
    local value = take()
    if write and expire ~= '' then
      redis.call('SET', key, value, 'PX', expire)
    elseif write then
      redis.call('SET', key, value)
    end
  else
    local count = tonumber(take())
    local from = skip(count)
    if write and count > 0 then
      if kept == 'stream' then
        redis.call('XADD', key, '*', unpack(ARGV, from, at))
      else
        redis.call('HSET', key, unpack(ARGV, from, at))
      end
    end
    count = tonumber(take())
    from = skip(count)
    if write and count > 0 then redis.call('HDEL', key, unpack(ARGV, from, at)) end
    if write and expire ~= '' then redis.call('PEXPIRE', key, expire) end
  end
end

local told = table.concat(rejected)
redis.call('HSET', progress, 'at_epoch', ARGV[4], 'at_record', ARGV[5])
if through ~= '' then
  redis.call('HSET', progress, 'epoch', through, 'rejected', ARGV[10])
elseif told ~= '' then
  redis.call('HSET', progress, 'rejected', (redis.call('HGET', progress, 'rejected') or '') .. told)
end
return {'done', told}
";

/// A question that runs a script on keys. The server knows a script again by its text.
pub fn script<'a>(text: &str, keys: impl IntoIterator<Item = &'a [u8]>) -> Cmd {
    let keys: Vec<&[u8]> = keys.into_iter().collect();
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(keys.len()).arg(keys);
    command
}

/// An answer that is a list of texts.
pub fn texts(answer: Value) -> Option<Vec<String>> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let parts = parts.into_iter().map(|part| match part {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) => Some(text),
        _ => None,
    });
    parts.collect()
}

/// Some records, and how far the sink came with them.
pub struct Step<'s, 'a> {
    pub owner: &'s str,
    pub from: Place,
    pub to: Place,
    /// What counts as delivered with it, and what was not taken of what does not yet, as a text; nothing if more steps follow.
    pub through: Option<(u64, String)>,
    pub records: Vec<(&'s Record<'a>, Change<'a>)>,
}

/// What became of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, but for these records.
    Done(Vec<Rejected>),
    /// A newer owner is there.
    Fenced,
    /// The progress is not where it was.
    Lost,
}

impl Step<'_, '_> {
    /// What the script is given: owner, the place that it continues from, the one that it reaches, the epoch that counts as delivered, the type, the
    /// expiry, the number of records, what was not taken of later epochs; and for each record its place and what becomes of it.
    fn command(&self, progress: &Progress, options: &SinkOptions) -> Cmd {
        let prefix = options.prefix.as_bytes();
        let mut keys = vec![progress.key().into_bytes()];
        match options.kept_as {
            Type::Stream => keys.push(prefix.to_vec()),
            Type::String | Type::Hash => keys.extend(
                self.records
                    .iter()
                    .map(|(record, _)| [prefix, &record.key()].concat()),
            ),
        }
        let mut command = script(DELIVER, keys.iter().map(Vec::as_slice));
        command.arg(self.owner);
        for place in [self.from, self.to] {
            command.arg(place.epoch).arg(place.record);
        }
        match &self.through {
            Some((epoch, _)) => command.arg(epoch),
            None => command.arg(""),
        };
        command.arg(options.kept_as.name());
        match options.expire_ms {
            Some(ms) => command.arg(ms),
            None => command.arg(""),
        };
        command.arg(self.records.len());
        let rest = self.through.as_ref().map(|(_, rest)| rest.as_str());
        command.arg(rest.unwrap_or_default());
        for (record, change) in &self.records {
            let Place { epoch, record } = record.place;
            command.arg(format!("{epoch} {record}"));
            write(change, &mut command);
        }
        command
    }

    /// Does it.
    pub fn run(
        &self,
        session: &mut Session,
        progress: &Progress,
        options: &SinkOptions,
    ) -> Result<Outcome, Failure> {
        let answer = session.ask(&self.command(progress, options))?;
        let answer = texts(answer).unwrap_or_default();
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        let outcome = match answer[..] {
            ["done", rejected] => read_rejected(rejected).map(Outcome::Done),
            ["fenced"] => Some(Outcome::Fenced),
            ["lost"] => Some(Outcome::Lost),
            _ => None,
        };
        outcome.ok_or_else(|| Failure::Garbage(format!("a step is answered by {answer:?}")))
    }
}

fn write(change: &Change<'_>, command: &mut Cmd) {
    match change {
        Change::Gone => {
            command.arg("-");
        }
        Change::Value(value) => {
            command.arg("=").arg(*value);
        }
        Change::Fields(fields, without) => {
            command.arg("+").arg(fields.len() * 2);
            for (name, value) in fields {
                command.arg(name).arg(value);
            }
            command.arg(without.len()).arg(without);
        }
    }
}
