//! What the parts of a tenant have in common: servers, toolsets and issuers, of which there are several by name, and limits and the
//! audit policy, of which there is one each. A part is shown as its tenant file says it; the nouns' own files describe the operations.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use patchbay_core::{Slug, admin::Need, model::TenantRow};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::{
    ROOT,
    desk::Desk,
    document::{Changed, Document, Edit, merge::merge, part::Part},
    input::{Members, name},
    problem::{FieldError, Problem},
    tag::{Condition, Tag},
    who::Admin,
};
use crate::control::doubts::{self, About};

/// A sort of parts that have names.
#[derive(Debug)]
pub(super) struct Sort {
    /// The member of the document that holds them, and their word in paths.
    pub(super) key: &'static str,
    /// One of them, in words.
    pub(super) one: &'static str,
}

pub(super) const SERVERS: Sort = Sort { key: "servers", one: "server" };
pub(super) const TOOLSETS: Sort = Sort { key: "toolsets", one: "toolset" };
pub(super) const ISSUERS: Sort = Sort { key: "issuers", one: "issuer" };

/// A part as it is shown: what its file would say, and its name if it has one.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(super) struct Shown(Members);

impl Shown {
    fn of(sort: &Sort, name: &str, part: &Json) -> Self {
        let mut members = Map::from_iter([("name".to_owned(), Json::from(name))]);
        members.extend(part.as_object().cloned().unwrap_or_default());
        if sort.key == SERVERS.key {
            members.entry("enabled").or_insert(Json::Bool(true));
        }
        Self(members)
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        self.0.get("name").and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    /// Whether it has this field.
    pub(super) fn has(&self, member: &str) -> bool {
        self.0.contains_key(member)
    }

    /// Whether it is switched on.
    pub(super) fn is_enabled(&self) -> bool {
        self.0.get("enabled").and_then(Json::as_bool).unwrap_or(true)
    }
}

/// The parts of one sort of a tenant, and who asks for them.
pub(super) struct Parts<'a> {
    desk: &'a Desk,
    admin: &'a Admin,
    tenant: Slug,
    sort: &'static Sort,
}

impl<'a> Parts<'a> {
    /// Those of the tenant that a path names.
    ///
    /// # Errors
    /// 404 for what is no name, or not seen by who asks.
    pub(super) fn of(desk: &'a Desk, admin: &'a Admin, sort: &'static Sort, tenant: &str) -> Result<Self, Problem> {
        let tenant = name(tenant)?;
        admin.may(Need::See(&tenant))?;
        Ok(Self { desk, admin, tenant, sort })
    }

    /// All of them, by their names.
    pub(super) async fn list(&self) -> Result<Vec<Shown>, Problem> {
        let document = self.desk.document(&self.tenant).await?;
        let members = document.json.get(self.sort.key).and_then(Json::as_object);
        let shown = members.into_iter().flatten().map(|(name, part)| Shown::of(self.sort, name, part));
        Ok(shown.collect())
    }

    /// One of them.
    pub(super) async fn show(&self, part: &str) -> Result<Response, Problem> {
        let part = name(part)?;
        let document = self.desk.document(&self.tenant).await?;
        let shown = self.find(&document, &part).ok_or_else(Problem::not_found)?;
        Ok(answer(StatusCode::OK, shown, None))
    }

    /// A new one, with its name in the body.
    pub(super) async fn create(&self, mut body: Members) -> Result<Response, Problem> {
        let word = self.sort.one;
        self.admin.may(Need::Change(&self.tenant))?;
        let part =
            named(&mut body, None)?.ok_or_else(|| field("/name", format!("expected the name of the new {word}")))?;
        let edit = self.edit(&part)?;
        let body = Json::Object(body);
        let changed = edit.change(format!("made the {word} {part} of {}", self.tenant), |document| {
            if self.find(document, &part).is_some() {
                return Err(Problem::conflict(format!("there is a {word} {part} already: change it where it is")));
            }
            Ok((self.with(document, &part, body.clone()), ()))
        });
        self.changed(&part, StatusCode::CREATED, &changed.await?)
    }

    /// One as the body says; a new one where there is none.
    pub(super) async fn put(&self, part: &str, condition: &Condition, mut body: Members) -> Result<Response, Problem> {
        let part = name(part)?;
        let edit = self.edit(&part)?;
        named(&mut body, Some(&part))?;
        let body = Json::Object(body);
        let changed = edit.change(format!("put the {} {part} of {}", self.sort.one, self.tenant), |document| {
            let tag = self.find(document, &part).as_ref().map(Tag::of);
            condition.put(tag.as_ref())?;
            Ok((self.with(document, &part, body.clone()), tag.is_none()))
        });
        let changed = changed.await?;
        let status = if changed.told { StatusCode::CREATED } else { StatusCode::OK };
        self.changed(&part, status, &changed)
    }

    /// One with the patch laid over it.
    pub(super) async fn patch(
        &self,
        part: &str,
        condition: &Condition,
        mut body: Members,
    ) -> Result<Response, Problem> {
        let part = name(part)?;
        let edit = self.edit(&part)?;
        named(&mut body, Some(&part))?;
        let body = Json::Object(body);
        let changed = edit.change(format!("changed the {} {part} of {}", self.sort.one, self.tenant), |document| {
            condition.change(&self.tag(document, &part)?)?;
            let mut patched = document.json[self.sort.key][part.as_str()].clone();
            merge(&mut patched, body.clone());
            Ok((self.with(document, &part, patched), ()))
        });
        self.changed(&part, StatusCode::OK, &changed.await?)
    }

    /// Takes one away.
    pub(super) async fn delete(&self, part: &str, condition: &Condition) -> Result<StatusCode, Problem> {
        let part = name(part)?;
        let edit = self.edit(&part)?;
        let changed = edit.change(format!("removed the {} {part} of {}", self.sort.one, self.tenant), |document| {
            condition.change(&self.tag(document, &part)?)?;
            let mut json = document.json.clone();
            if let Some(members) = json[self.sort.key].as_object_mut() {
                members.shift_remove(part.as_str());
            }
            Ok((json, ()))
        });
        changed.await.map(|_| StatusCode::NO_CONTENT)
    }

    fn edit<'b>(&'b self, part: &'b Slug) -> Result<Edit<'b>, Problem> {
        Edit::begin(self.desk, self.admin, &self.tenant, Part::Named(self.sort.key, part))
    }

    fn find(&self, document: &Document, part: &Slug) -> Option<Shown> {
        let found = document.json.get(self.sort.key)?.get(part.as_str())?;
        Some(Shown::of(self.sort, part.as_str(), found))
    }

    fn tag(&self, document: &Document, part: &Slug) -> Result<Tag, Problem> {
        self.find(document, part).as_ref().map(Tag::of).ok_or_else(Problem::not_found)
    }

    /// The document with this part in it.
    fn with(&self, document: &Document, part: &Slug, body: Json) -> Json {
        let mut json = document.json.clone();
        json[self.sort.key][part.as_str()] = body;
        json
    }

    fn changed<T>(&self, part: &Slug, status: StatusCode, changed: &Changed<T>) -> Result<Response, Problem> {
        let shown = self.find(&changed.now, part).ok_or_else(Problem::internal)?;
        let warnings = warnings(self.desk, self.sort, part, changed);
        let mut response = answer(status, shown, Some(warnings));
        if status == StatusCode::CREATED {
            let place = format!("{ROOT}/tenants/{}/{}/{part}", self.tenant, self.sort.key);
            let place = HeaderValue::from_str(&place).expect("names are plain characters");
            response.headers_mut().insert(header::LOCATION, place);
        }
        Ok(response)
    }
}

/// The part of which a tenant has one: its name in the document, and in words.
#[derive(Debug)]
pub(super) struct Single {
    pub(super) key: &'static str,
    pub(super) words: &'static str,
}

pub(super) const LIMITS: Single = Single { key: "limits", words: "limits" };
pub(super) const AUDIT_POLICY: Single = Single { key: "audit", words: "audit policy" };

impl Single {
    /// As it is.
    pub(super) async fn show(&self, desk: &Desk, admin: &Admin, tenant: &str) -> Result<Response, Problem> {
        let tenant = name(tenant)?;
        admin.may(Need::See(&tenant))?;
        Ok(answer(StatusCode::OK, self.of(&desk.document(&tenant).await?), None))
    }

    /// As the body says.
    pub(super) async fn put(
        &self,
        desk: &Desk,
        admin: &Admin,
        tenant: &str,
        condition: &Condition,
        body: Members,
    ) -> Result<Response, Problem> {
        self.change(desk, admin, tenant, condition, |_| Json::Object(body.clone())).await
    }

    /// With the patch laid over it.
    pub(super) async fn patch(
        &self,
        desk: &Desk,
        admin: &Admin,
        tenant: &str,
        condition: &Condition,
        body: Members,
    ) -> Result<Response, Problem> {
        let patched = |Shown(members): Shown| {
            let mut now = Json::Object(members);
            merge(&mut now, Json::Object(body.clone()));
            now
        };
        self.change(desk, admin, tenant, condition, patched).await
    }

    async fn change(
        &self,
        desk: &Desk,
        admin: &Admin,
        tenant: &str,
        condition: &Condition,
        wanted: impl Fn(Shown) -> Json,
    ) -> Result<Response, Problem> {
        let tenant = name(tenant)?;
        let edit = Edit::begin(desk, admin, &tenant, Part::Member(self.key))?;
        let changed = edit.change(format!("changed the {} of {tenant}", self.words), |document| {
            let shown = self.of(document);
            condition.change(&Tag::of(&shown))?;
            let mut json = document.json.clone();
            json[self.key] = wanted(shown);
            Ok((json, ()))
        });
        let changed = changed.await?;
        let about = |doubt: &doubts::Doubt| self.key == LIMITS.key && doubt.about == About::Limits;
        let doubts = doubts::beside_servers(desk.config(), &changed.doc).into_iter().filter(about);
        Ok(answer(StatusCode::OK, self.of(&changed.now), Some(doubts.map(|doubt| doubt.text).collect())))
    }

    fn of(&self, document: &Document) -> Shown {
        Shown(document.json.get(self.key).and_then(Json::as_object).cloned().unwrap_or_default())
    }
}

/// A part with its tag; after a change also with what will not work as it stands.
fn answer(status: StatusCode, shown: Shown, warnings: Option<Vec<String>>) -> Response {
    let tag = Tag::of(&shown).header();
    let mut body = shown.0;
    body.extend(warnings.map(|warnings| ("warnings".to_owned(), Json::from(warnings))));
    (status, [tag], axum::Json(body)).into_response()
}

/// What will not work of a part that was changed; nobody is asked for it.
fn warnings<T>(desk: &Desk, sort: &Sort, part: &Slug, changed: &Changed<T>) -> Vec<String> {
    let (config, held): (_, &TenantRow) = (desk.config(), &changed.held);
    let about = match sort.key {
        "servers" => {
            let server = changed.doc.servers.get(part);
            let doubt = server.and_then(|server| doubts::at_server(config, part, server, Some(held)).0);
            return doubt.into_iter().map(|doubt| doubt.text).collect();
        }
        "toolsets" => About::Toolset(part.clone()),
        _ => About::Issuer(part.clone()),
    };
    let doubts = doubts::beside_servers(config, &changed.doc).into_iter();
    doubts.filter(|doubt| doubt.about == about).map(|doubt| doubt.text).collect()
}

/// Takes the name out of a body; it must be this one, where there is one already.
///
/// # Errors
/// 422.
pub(super) fn named(body: &mut Members, known: Option<&Slug>) -> Result<Option<Slug>, Problem> {
    let Some(given) = body.shift_remove("name") else { return Ok(None) };
    let text = given.as_str().ok_or_else(|| field("/name", "expected a text"))?;
    if let Some(known) = known.filter(|known| known.as_str() != text) {
        return Err(field("/name", format!("expected `{known}`, as in the path: a name stays as long as its owner")));
    }
    text.parse().map(Some).map_err(|error: patchbay_core::ids::SlugError| field("/name", error.to_string()))
}

/// One field that is wrong.
pub(super) fn field(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![FieldError { pointer: pointer.to_owned(), detail: detail.into() }])
}
