//! What becomes of each member of a message and of its result: the table of the translation between the eras. How a member is
//! copied, dropped or held is the machine's, in the parent module.

use super::{Plan, RewriteError, Seen};
use crate::era::Era;

/// The members that were met.
#[derive(Debug, Default)]
pub(super) struct Has {
    pub(super) id: bool,
    pub(super) outcome: bool,
    pub(super) result_type: bool,
    pub(super) meta: bool,
    pub(super) ttl: bool,
    pub(super) scope: bool,
    pub(super) structured: bool,
    pub(super) is_error: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Copy,
    Drop,
    /// Write the client's id in its place.
    Id,
    /// Look at its members.
    Descend,
    /// Keep back and decide at its end.
    Hold(Held),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    ResultType,
    Meta,
    IsError,
}

/// What becomes of a member of the message.
pub(super) fn message_member(name: &str, first: u8, has: &mut Has, seen: &mut Seen) -> Result<Action, RewriteError> {
    Ok(match name {
        "id" => {
            once(&mut has.id)?;
            Action::Id
        }
        "result" if first == b'{' => {
            once(&mut has.outcome)?;
            Action::Descend
        }
        "result" => return Err(RewriteError::NotAResponse),
        "error" => {
            once(&mut has.outcome)?;
            seen.error = true;
            Action::Copy
        }
        _ => Action::Copy,
    })
}

/// What becomes of a member of the result.
pub(super) fn result_member(name: &str, first: u8, plan: &Plan, has: &mut Has) -> Result<Action, RewriteError> {
    let modern = plan.to == Era::Modern;
    Ok(match name {
        "resultType" => {
            once(&mut has.result_type)?;
            Action::Hold(Held::ResultType)
        }
        "_meta" => {
            once(&mut has.meta)?;
            let ours = first == b'{' && (modern || plan.from == Era::Modern);
            if ours { Action::Hold(Held::Meta) } else { Action::Copy }
        }
        "isError" => {
            once(&mut has.is_error)?;
            Action::Hold(Held::IsError)
        }
        "structuredContent" => {
            once(&mut has.structured)?;
            if !modern && first != b'{' { Action::Drop } else { Action::Copy }
        }
        "ttlMs" if plan.cacheable => {
            once(&mut has.ttl)?;
            if modern { Action::Copy } else { Action::Drop }
        }
        // What a server calls public was still asked for with one tenant's credentials.
        "cacheScope" if plan.cacheable => {
            once(&mut has.scope)?;
            Action::Drop
        }
        _ => Action::Copy,
    })
}

/// Marks a member as met; a second time is an error.
const fn once(met: &mut bool) -> Result<(), RewriteError> {
    if *met {
        return Err(RewriteError::Member);
    }
    *met = true;
    Ok(())
}
