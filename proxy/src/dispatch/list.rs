//! Lists: answered from the snapshot's prepared bytes, paged by cursors of our own. No server is asked here and no lock taken.

use patchbay_core::{
    envelope::Request,
    era::Era,
    seal::Purpose,
    snapshot::{List, Lists, View},
};

use super::{Answer, Cx};
use crate::{
    admission,
    audit::{self, Trail},
    error::GatewayError,
};

/// How long a client may keep a list that is fresh, in milliseconds.
const TTL_MS: i64 = 60_000;
/// How long it may keep one of which a part is missing or old.
const TTL_STALE_MS: i64 = 2_000;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
    /// `skills/list`
    Skills,
}

impl Kind {
    const fn of(self, view: &View) -> &List {
        match self {
            Self::Tools => &view.lists.tools,
            Self::Prompts => &view.lists.prompts,
            Self::Resources => &view.lists.resources,
            Self::Templates => &view.lists.templates,
            Self::Skills => &view.lists.skills,
        }
    }
}

/// Answers one page of a list.
pub(super) async fn list(mut cx: Cx, request: &Request, kind: Kind, trail: &mut Trail) -> Result<Answer, GatewayError> {
    cx.telling.tell(admission::request(&cx.app, &cx.tenant, &cx.principal).await?);
    if !cx.app.audit.lets_on(&cx.tenant.snapshot().audit) {
        return Err(super::NO_ROOM);
    }
    super::first_word(&mut cx).await;
    trail.policy(&cx.tenant.snapshot().audit, cx.tenant.snapshot().generation);
    let list = kind.of(cx.tenant.view());
    let at = match request.params.string("cursor") {
        Some(cursor) => page_of(&cx, kind, list, &cursor)?,
        None if request.params.raw("cursor").is_some() => return Err(bad_cursor()),
        None => 0,
    };
    let page = list.page(cx.caller.era(), at).ok_or_else(bad_cursor)?;
    let mut tail = page.tail.to_vec();
    if cx.caller.era() == Era::Modern {
        tail.extend_from_slice(format!(",\"ttlMs\":{}", ttl_ms(&cx.tenant.view().lists)).as_bytes());
    }
    if page.more {
        tail.extend_from_slice(format!(",\"nextCursor\":\"{}\"", cursor(&cx, kind, list, at + 1)).as_bytes());
    }
    tail.extend_from_slice(b"}}");
    let head = [b"{\"jsonrpc\":\"2.0\",\"id\":", &*request.id, b",\"result\":"].concat();
    trail.answered(head.len() + page.open.len() + tail.len());
    trail.kept().await.map_err(|_| super::OUTCOME_NOT_KEPT)?;
    Ok(Answer::Pieces(vec![head.into(), page.open, tail.into()]))
}

/// How long a client may keep a list: no longer than its parts are fresh, and hardly at all when one is missing or old.
fn ttl_ms(lists: &Lists) -> i64 {
    let left_ms = lists.fresh_until_ms.map_or(TTL_MS, |until_ms| until_ms - audit::now_ms());
    left_ms.clamp(0, if lists.stale { TTL_STALE_MS } else { TTL_MS })
}

fn cursor(cx: &Cx, kind: Kind, list: &List, page: usize) -> String {
    let mut plain = [0; 20];
    plain[..16].copy_from_slice(&list.digest);
    plain[16..].copy_from_slice(&u32::try_from(page).unwrap_or(u32::MAX).to_be_bytes());
    cx.app.sealer.seal(Purpose::Cursor, &bound(cx, kind).parts(), &plain)
}

/// The page that a cursor of ours stands for. One of another principal, another list or an older one is no cursor.
fn page_of(cx: &Cx, kind: Kind, list: &List, cursor: &str) -> Result<usize, GatewayError> {
    let plain = cx.app.sealer.open(Purpose::Cursor, &bound(cx, kind).parts(), cursor).ok_or_else(bad_cursor)?;
    let (digest, page) = plain.split_at_checked(16).ok_or_else(bad_cursor)?;
    if digest != list.digest {
        return Err(bad_cursor());
    }
    let page: [u8; 4] = page.try_into().map_err(|_| bad_cursor())?;
    Ok(u32::from_be_bytes(page) as usize)
}

pub(super) const fn bad_cursor() -> GatewayError {
    GatewayError::InvalidParams(std::borrow::Cow::Borrowed(
        "the cursor is not one of this list as it is now: start again without a cursor",
    ))
}

/// What a cursor is bound to.
struct Bound {
    tenant: [u8; 16],
    principal: [u8; 16],
    kind: u8,
    toolset: Box<[u8]>,
}

impl Bound {
    fn parts(&self) -> [&[u8]; 4] {
        [&self.tenant, &self.principal, std::slice::from_ref(&self.kind), &self.toolset]
    }
}

fn bound(cx: &Cx, kind: Kind) -> Bound {
    Bound {
        tenant: cx.tenant.id().bits().to_be_bytes(),
        principal: cx.principal.digest(),
        kind: kind as u8,
        toolset: cx.tenant.view().toolset.as_str().as_bytes().into(),
    }
}
