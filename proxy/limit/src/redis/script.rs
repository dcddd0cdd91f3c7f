//! What is said to Redis and what it answers: keys, scripts and their arguments, as text. Sends nothing.

use std::time::Duration;

use ::redis::{Cmd, Script, Value};
use patchbay_core::{TenantId, limits::LimitKey};

use super::{Asked, lease::Member};
use crate::{Charge, Place, RETRY_CROWDED, Refused, Standing};

/// The arithmetic, in front of each script that computes.
const TAKE: &str = concat!(include_str!("gcra.lua"), include_str!("take.lua"));
const LOOK: &str = concat!(include_str!("gcra.lua"), include_str!("look.lua"));
const REPLICAS: &str = include_str!("replicas.lua");

/// Makes commands under one prefix.
pub(super) struct Scripts {
    prefix: String,
    take: Script,
}

/// What Redis says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: Result<Option<Standing>, Refused>,
    pub(super) would_deny: u32,
    /// When it was decided, by Redis's clock.
    pub(super) now_us: u64,
}

impl Scripts {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, take: Script::new(TAKE) }
    }

    /// The script by its digest, which Redis knows once it was loaded.
    pub(super) fn take(&self, asked: &Asked, member: Option<Member>) -> Cmd {
        self.filled("EVALSHA", self.take.get_hash(), asked, member)
    }

    /// The whole script, which Redis then knows.
    pub(super) fn take_and_load(&self, asked: &Asked, member: Option<Member>) -> Cmd {
        self.filled("EVAL", TAKE, asked, member)
    }

    pub(super) fn look(&self, asked: &Asked) -> Cmd {
        self.filled("EVAL", LOOK, asked, None)
    }

    pub(super) fn load(&self) -> Cmd {
        let mut cmd = ::redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(TAKE);
        cmd
    }

    /// Says that this replica is there; answered with how many are.
    pub(super) fn replicas(&self, replica: u64, alive: Duration) -> Cmd {
        let mut cmd = ::redis::cmd("EVAL");
        cmd.arg(REPLICAS).arg(1).arg(format!("{}:replicas", self.prefix));
        cmd.arg(format!("{replica:016x}")).arg(millis(alive));
        cmd
    }

    /// Gives one place back. Nobody waits for what Redis says to it.
    pub(super) fn release(&self, tenant: TenantId, key: LimitKey, member: Member) -> Cmd {
        let (mut name, mut text) = (Vec::new(), [0; Member::BYTES]);
        self.place_key(&mut name, tenant, key);
        let mut cmd = Cmd::with_capacity(3, 4 + name.len() + text.len());
        cmd.arg("ZREM").arg(&*name).arg(member.write(&mut text)).set_no_response(true);
        cmd
    }

    fn filled(&self, verb: &str, script: &str, asked: &Asked, member: Option<Member>) -> Cmd {
        let (charges, places) = (&*asked.charges, &*asked.places);
        let keys = charges.len() + places.len();
        let args = 7 + 5 * charges.len() + 3 * places.len();
        let mut cmd = Cmd::with_capacity(args, script.len() + 64 + keys * (self.prefix.len() + 110));
        cmd.arg(verb).arg(script).arg(keys);
        let mut name = Vec::with_capacity(self.prefix.len() + 72);
        for Charge { key, .. } in charges {
            self.rate_key(&mut name, asked.tenant, *key);
            cmd.arg(&*name);
        }
        for Place { key, .. } in places {
            self.place_key(&mut name, asked.tenant, *key);
            cmd.arg(&*name);
        }
        let mut text = [0; Member::BYTES];
        let member = member.map_or(&b"-"[..], |member| member.write(&mut text));
        cmd.arg(charges.len()).arg(member).arg(millis(asked.hold)).arg(RETRY_CROWDED.as_micros() as u64);
        for Charge { gcra, cost, dry_run, .. } in charges {
            cmd.arg(gcra.emission_us).arg(gcra.capacity_us).arg(*cost).arg(u8::from(*dry_run));
        }
        for Place { max, dry_run, .. } in places {
            cmd.arg(*max).arg(u8::from(*dry_run));
        }
        cmd
    }

    /// `prefix:{tenant}:key`: all of a tenant's keys lie in one slot of a cluster.
    fn rate_key(&self, name: &mut Vec<u8>, tenant: TenantId, key: LimitKey) {
        name.clear();
        name.extend_from_slice(self.prefix.as_bytes());
        name.extend_from_slice(b":{");
        push_hex(name, tenant.bits());
        name.extend_from_slice(b"}:");
        push_hex(name, key.0);
    }

    /// The same and `:c`: a limit whose kind is changed keeps its name, and so its key.
    fn place_key(&self, name: &mut Vec<u8>, tenant: TenantId, key: LimitKey) {
        self.rate_key(name, tenant, key);
        name.extend_from_slice(b":c");
    }
}

fn push_hex(text: &mut Vec<u8>, bits: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bits.to_be_bytes() {
        text.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Whole milliseconds, rounded up; at least one, at most about 35 years.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX).clamp(1, 1 << 40)
}

impl Answer {
    /// What `take.lua` returns; `None` when it is something else.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let mut fields = numbers(value)?;
        let mut next = || fields.next()?;
        let (allowed, at, first, second) = (next()?, next()?, next()?, next()?);
        let (would_deny, now_us) = (u32::try_from(next()?).ok()?, u64::try_from(next()?).ok()?);
        let verdict = if allowed == 1 {
            Ok(usize::try_from(at).ok().map(|at| standing(at, first, second)))
        } else {
            Err(Refused { at: usize::try_from(at).ok()?, retry_after: micros(first), away: false })
        };
        Some(Self { verdict, would_deny, now_us })
    }
}

/// What `look.lua` returns for so many limits.
pub(super) fn read_standings(value: &Value, count: usize) -> Option<Vec<Standing>> {
    let fields: Vec<i64> = numbers(value)?.collect::<Option<_>>()?;
    let standings: Vec<_> =
        fields.chunks_exact(2).enumerate().map(|(at, pair)| standing(at, pair[0], pair[1])).collect();
    (standings.len() == count).then_some(standings)
}

fn numbers(value: &Value) -> Option<impl Iterator<Item = Option<i64>>> {
    let text = match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?,
        Value::SimpleString(text) => text,
        _ => return None,
    };
    Some(text.split_ascii_whitespace().map(|field| field.parse().ok()))
}

fn standing(at: usize, remaining: i64, reset_us: i64) -> Standing {
    let remaining = u32::try_from(remaining.max(0)).unwrap_or(u32::MAX);
    Standing { at, remaining, reset_after: micros(reset_us) }
}

fn micros(count: i64) -> Duration {
    Duration::from_micros(count.unsigned_abs())
}

#[cfg(test)]
mod tests;
