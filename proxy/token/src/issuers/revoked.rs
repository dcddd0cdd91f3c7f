//! What was taken back before its time: single tokens by their `jti`, people, and what people got before a certain moment.

use std::{collections::HashMap, sync::Arc};

use patchbay_core::issuer::{RevocationRow, Revoked};

use crate::{
    Reason,
    explain::{Failed, shown, time},
};

/// All revocations of a tenant.
pub(super) struct Revocations {
    /// Sorted by id, to be compared with others.
    rows: Vec<RevocationRow>,
    by_what: HashMap<Revoked, Vec<usize>>,
}

/// Whom a token is from, as revocations name it.
pub(super) struct Bearer<'a> {
    pub(super) iss: &'a str,
    pub(super) subject: &'a str,
    pub(super) jti: Option<&'a str>,
    pub(super) issued_ms: Option<i64>,
}

impl Revocations {
    /// The revocations of these rows; those of before, when they are the same.
    pub(super) fn of(rows: &[RevocationRow], before: Option<&Arc<Self>>) -> Arc<Self> {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.id);
        if let Some(before) = before.filter(|before| before.rows == rows) {
            return before.clone();
        }
        let mut by_what: HashMap<_, Vec<_>> = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            by_what.entry(row.what.clone()).or_default().push(at);
        }
        Arc::new(Self { rows, by_what })
    }

    /// Refuses what one of them stands against now.
    pub(super) fn check(&self, bearer: &Bearer<'_>, now_ms: i64) -> Result<(), Failed> {
        let (issuer, subject) = (bearer.iss.to_owned(), bearer.subject.to_owned());
        let by_jti = bearer.jti.map(|jti| Revoked::Token { issuer: issuer.clone(), jti: jti.to_owned() });
        let all = Revoked::Subject { issuer: issuer.clone(), subject: subject.clone() };
        let earlier = Revoked::SubjectBefore { issuer, subject };
        let standing = by_jti.into_iter().chain([all, earlier]).find_map(|what| self.standing(&what, bearer, now_ms));
        standing.map_or(Ok(()), |row| Err(Failed::new(Reason::Revoked, found(row, bearer))))
    }

    fn standing(&self, what: &Revoked, bearer: &Bearer<'_>, now_ms: i64) -> Option<&RevocationRow> {
        let rows = self.by_what.get(what)?.iter().map(|at| &self.rows[*at]);
        let stands = |row: &&RevocationRow| row.expires_ms.is_none_or(|expires| now_ms < expires);
        let hits = |row: &&RevocationRow| match what {
            Revoked::SubjectBefore { .. } => bearer.issued_ms.is_none_or(|issued| issued < row.created_ms),
            Revoked::Token { .. } | Revoked::Subject { .. } => true,
        };
        rows.filter(stands).find(hits)
    }
}

fn found(row: &RevocationRow, bearer: &Bearer<'_>) -> String {
    let since = time(row.created_ms);
    let what = match &row.what {
        Revoked::Token { jti, .. } => format!("the token {} was revoked at {since}", shown(jti)),
        Revoked::Subject { subject, .. } => format!("all tokens of {} are revoked since {since}", shown(subject)),
        Revoked::SubjectBefore { subject, .. } => {
            let issued =
                bearer.issued_ms.map_or_else(|| "it does not say when".to_owned(), |at| format!("at {}", time(at)));
            format!("tokens of {} from before {since} are revoked; this one was issued: {issued}", shown(subject))
        }
    };
    let why = row.reason.as_deref().map(|why| format!(", because: {}", shown(why))).unwrap_or_default();
    format!("{what}{why}. `patchbay token restore` takes a revocation back")
}

#[cfg(test)]
mod tests {
    use patchbay_core::{RevocationId, TenantId};

    use super::*;

    const ISS: &str = "https://a.example";

    fn row(what: Revoked, created_ms: i64, expires_ms: Option<i64>) -> RevocationRow {
        let (id, tenant) = (RevocationId::random(), TenantId::random());
        RevocationRow { id, tenant, what, reason: Some("lost laptop".into()), created_ms, expires_ms }
    }

    fn token(jti: &str) -> Revoked {
        Revoked::Token { issuer: ISS.into(), jti: jti.into() }
    }

    fn passes(rows: &[RevocationRow], jti: Option<&str>, issued_ms: Option<i64>, now_ms: i64) -> bool {
        let bearer = Bearer { iss: ISS, subject: "alice", jti, issued_ms };
        Revocations::of(rows, None).check(&bearer, now_ms).is_ok()
    }

    #[test]
    fn a_token_is_refused_by_its_id_and_its_issuer() {
        let rows = [row(token("7"), 0, Some(100))];
        assert!(!passes(&rows, Some("7"), None, 99) && passes(&rows, Some("7"), None, 100));
        assert!(passes(&rows, Some("8"), None, 0) && passes(&rows, None, None, 0));
        let elsewhere = [row(Revoked::Token { issuer: "https://b.example".into(), jti: "7".into() }, 0, None)];
        assert!(passes(&elsewhere, Some("7"), None, 0));
    }

    #[test]
    fn a_person_is_refused_whole_or_with_what_is_older() {
        let (issuer, subject) = (ISS.to_owned(), "alice".to_owned());
        let all = [row(Revoked::Subject { issuer: issuer.clone(), subject: subject.clone() }, 50, None)];
        assert!(!passes(&all, None, Some(60), 70) && !passes(&all, None, None, 0));
        let older = [row(Revoked::SubjectBefore { issuer, subject }, 50, None)];
        assert!(!passes(&older, None, Some(49), 70) && passes(&older, None, Some(50), 70));
        assert!(!passes(&older, None, None, 70), "who does not say when it was issued may be old");
        let other = [row(Revoked::Subject { issuer: ISS.into(), subject: "bob".into() }, 0, None)];
        assert!(passes(&other, None, None, 0));
    }

    #[test]
    fn the_same_rows_in_another_order_are_the_same_revocations() {
        let mut rows = vec![row(token("1"), 0, None), row(token("2"), 0, None)];
        let first = Revocations::of(&rows, None);
        rows.reverse();
        assert!(Arc::ptr_eq(&first, &Revocations::of(&rows, Some(&first))));
        rows.pop();
        assert!(!Arc::ptr_eq(&first, &Revocations::of(&rows, Some(&first))));
    }
}
