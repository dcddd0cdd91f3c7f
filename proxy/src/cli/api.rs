//! The admin API as the commands speak it: one way to ask, whoever answers. With `--server` that is a gateway elsewhere
//! ([`remote`]); without it, the same operations in this process, over the store of the configuration. What went wrong becomes
//! sentences in [`trouble`]; what is asked is in the files of the commands.

mod remote;
#[cfg(test)]
mod tests;
mod trouble;

use std::{fmt::Write, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use patchbay_config::{GatewayConfig, refuse_references, tenant_from_json};
use patchbay_core::{Slug, model::TenantDoc};
use patchbay_store::Store;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value as Json;

use self::{remote::Remote, trouble::Refusal};
pub(super) use self::{remote::Server, trouble::Trouble};
use super::{Desk, connect::base_of};
use crate::{
    app::{Keys, open_store},
    edge::admin::{Inside, Pieces},
};

/// Where the API stands.
const ROOT: &str = "/admin/v1";
/// Bytes of an answer that is read as a whole: more than a page of the longest records has.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Items of a page that is asked for.
const PAGE_ITEMS: &str = "1000";
/// Pages of a list that are read.
const LIST_PAGES_MAX: usize = 1000;
/// What stays as it is in a segment of a path.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// See the module.
pub(super) struct Api {
    place: Place,
}

enum Place {
    /// Here, over the store.
    Here { inside: Inside, store: Arc<dyn Store>, config: Box<GatewayConfig> },
    /// At a gateway.
    There(Remote),
}

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer with a status of success.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

/// An answer that is read piece by piece.
pub(super) struct Flow {
    pub(super) headers: HeaderMap,
    pieces: Pieces,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

/// A tenant, of what the API says of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Tenant {
    pub(super) name: Slug,
    #[serde(default)]
    pub(super) title: Option<String>,
    pub(super) enabled: bool,
    pub(super) generation: u64,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>) -> Self {
        let (query, headers, body) = (String::new(), HeaderMap::new(), Bytes::new());
        Self { method, path: path.into(), query, headers, body }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST with this body.
    pub(super) fn post(path: impl Into<String>, body: &Json) -> Self {
        Self::new(Method::POST, path).body(body)
    }

    /// A POST without a body.
    pub(super) fn act(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn put(path: impl Into<String>, body: &Json) -> Self {
        Self::new(Method::PUT, path).body(body)
    }

    /// A DELETE of whatever state is there.
    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path).header(header::IF_MATCH, HeaderValue::from_static("*"))
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With a parameter, if it has a value.
    pub(super) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            let mut query = url::form_urlencoded::Serializer::new(std::mem::take(&mut self.query));
            self.query = query.append_pair(name, &value.to_string()).finish();
        }
        self
    }

    fn body(mut self, body: &Json) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { body: body.to_string().into(), ..self }
    }

    /// The path with its query, from the root of the listener.
    fn target(&self) -> String {
        let mut target = format!("{ROOT}{}", self.path);
        if !self.query.is_empty() {
            let _ = write!(target, "?{}", self.query);
        }
        target
    }
}

impl Answer {
    /// The body as it came.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// What the body says.
    pub(super) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| anyhow::anyhow!("the gateway's answer cannot be read: is it of this version? ({error})"))
    }

    /// The body as a tree.
    pub(super) fn json(&self) -> anyhow::Result<Json> {
        self.read()
    }

    /// The state that the answer shows.
    pub(super) fn tag(&self) -> HeaderValue {
        self.headers.get(header::ETAG).cloned().unwrap_or(HeaderValue::from_static("*"))
    }
}

impl Flow {
    /// The next piece of the body.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        let piece = self.pieces.next().await.transpose();
        piece.map_err(|why| anyhow::anyhow!("the answer broke off, so this is not all of it: {why}"))
    }
}

impl Api {
    /// Opens what answers: the gateway that is named, or else the store of the configuration.
    pub(super) async fn open(desk: &Desk) -> anyhow::Result<Self> {
        if let Some(server) = &desk.server {
            return Ok(Self { place: Place::There(Remote::new(server)?) });
        }
        let config = desk.config()?;
        let store = open_store(&config, &Keys::of(&config)?).await?;
        tell_faults();
        Ok(Self::over(store, config))
    }

    /// The operations over this store.
    pub(super) fn over(store: Arc<dyn Store>, config: GatewayConfig) -> Self {
        let inside = Inside::of_store(store.clone(), config.clone());
        Self { place: Place::Here { inside, store, config: Box::new(config) } }
    }

    /// Closes the store, where there is one.
    pub(super) async fn close(self) {
        if let Place::Here { store, .. } = self.place {
            store.close().await;
        }
    }

    /// The configuration, where it is the one of whoever answers.
    pub(super) fn config(&self) -> Option<&GatewayConfig> {
        match &self.place {
            Place::Here { config, .. } => Some(config),
            Place::There(_) => None,
        }
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// When it says that something is wrong, or there is none.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, Trouble> {
        let is_change = ask.method != Method::GET;
        let (status, headers, mut pieces) = self.begin(ask, true).await?;
        let mut body = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|why| self.broken(&why, is_change))?;
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(self.broken("it is longer than is read", is_change));
            }
            body.extend_from_slice(&piece);
        }
        if status.is_success() {
            return Ok(Answer { status: status.as_u16(), headers, body: body.freeze() });
        }
        Err(match Refusal::read(status, &headers, &body) {
            Some(refusal) => Trouble::Refused(Box::new(refusal)),
            None => Trouble::Other(self.stranger(status)),
        })
    }

    /// Asks for something long.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn flow(&self, ask: Ask) -> Result<Flow, Trouble> {
        let (status, headers, mut pieces) = self.begin(ask, false).await?;
        if status.is_success() {
            return Ok(Flow { headers, pieces });
        }
        let body = pieces.next().await.and_then(Result::ok).unwrap_or_default();
        Err(match Refusal::read(status, &headers, &body) {
            Some(refusal) => Trouble::Refused(Box::new(refusal)),
            None => Trouble::Other(self.stranger(status)),
        })
    }

    async fn begin(&self, ask: Ask, is_short: bool) -> Result<(StatusCode, HeaderMap, Pieces), Trouble> {
        match &self.place {
            Place::Here { inside, .. } => {
                let mut request = http::Request::new(ask.body.clone());
                *request.uri_mut() = ask.target().parse().map_err(|error| Trouble::Other(format!("{error}")))?;
                *request.method_mut() = ask.method;
                *request.headers_mut() = ask.headers;
                let (head, pieces) = inside.ask(request).await.into_parts();
                Ok((head.status, head.headers, pieces))
            }
            Place::There(remote) => remote.ask(ask, is_short).await,
        }
    }

    /// All items of a list.
    pub(super) async fn all<T: DeserializeOwned>(&self, ask: impl Fn() -> Ask) -> anyhow::Result<Vec<T>> {
        let (mut items, mut cursor) = (Vec::new(), None);
        for _ in 0..LIST_PAGES_MAX {
            let page = self.ask(ask().with("limit", Some(PAGE_ITEMS)).with("cursor", cursor)).await?;
            let page: Page<T> = page.read()?;
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(items);
            }
        }
        anyhow::bail!("the list has more than {LIST_PAGES_MAX} pages, and nobody reads that many")
    }

    /// Asks for something below a tenant. When there is no such tenant, the sentence names those there are.
    pub(super) async fn in_tenant(&self, tenant: &Slug, ask: Ask) -> anyhow::Result<Answer> {
        match self.ask(ask).await {
            Ok(answer) => Ok(answer),
            Err(trouble) => Err(self.absent(tenant, trouble.into()).await),
        }
    }

    /// Asks for something long below a tenant.
    pub(super) async fn flow_in_tenant(&self, tenant: &Slug, ask: Ask) -> anyhow::Result<Flow> {
        match self.flow(ask).await {
            Ok(flow) => Ok(flow),
            Err(trouble) => Err(self.absent(tenant, trouble.into()).await),
        }
    }

    /// All items of a list below a tenant.
    pub(super) async fn all_in_tenant<T: DeserializeOwned>(
        &self,
        tenant: &Slug,
        ask: impl Fn() -> Ask,
    ) -> anyhow::Result<Vec<T>> {
        match self.all(ask).await {
            Ok(items) => Ok(items),
            Err(error) => Err(self.absent(tenant, error).await),
        }
    }

    /// The tenant of that name.
    pub(super) async fn tenant(&self, tenant: &Slug) -> anyhow::Result<Tenant> {
        self.in_tenant(tenant, Ask::get(format!("/tenants/{tenant}"))).await?.read()
    }

    /// The tenant's document, which has its secrets as `${sealed}`, and the state that it shows.
    pub(super) async fn document(&self, tenant: &Slug) -> anyhow::Result<(Json, HeaderValue)> {
        let answer = self.in_tenant(tenant, Ask::get(format!("/tenants/{tenant}/document"))).await?;
        Ok((answer.json()?, answer.tag()))
    }

    /// The tenant as its document describes it.
    pub(super) async fn tenant_doc(&self, tenant: &Slug) -> anyhow::Result<TenantDoc> {
        described(&self.document(tenant).await?.0)
    }

    /// Where clients reach the gateway.
    pub(super) async fn base(&self) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Gateway {
            clients_url: String,
        }
        match self.config() {
            Some(config) => Ok(base_of(config, config.listen_mcp)),
            None => Ok(self.ask(Ask::get("/gateway")).await?.read::<Gateway>()?.clients_url),
        }
    }

    /// Says of what was not found that it is the tenant, where that is so.
    async fn absent(&self, tenant: &Slug, error: anyhow::Error) -> anyhow::Error {
        let is_absent = |error: &anyhow::Error| error.downcast_ref().is_some_and(|trouble: &Trouble| trouble.is(404));
        if !is_absent(&error) {
            return error;
        }
        match self.ask(Ask::get(format!("/tenants/{tenant}"))).await {
            Err(trouble) if trouble.is(404) => {}
            _ => return error,
        }
        let Ok(listed) = self.all::<Tenant>(|| Ask::get("/tenants")).await else { return error };
        if listed.is_empty() {
            return anyhow::anyhow!(
                "there is no tenant `{tenant}`, and no other: make one with `patchbay apply -f FILE`"
            );
        }
        let known: Vec<_> = listed.iter().map(|tenant| tenant.name.as_str()).collect();
        anyhow::anyhow!("there is no tenant `{tenant}`; there are: {}", known.join(", "))
    }

    fn broken(&self, why: &str, is_change: bool) -> Trouble {
        match &self.place {
            Place::Here { .. } => Trouble::Other(format!("the answer broke off: {why}")),
            Place::There(remote) => remote.broken(why, is_change),
        }
    }

    /// What is said of an answer that is none of the API's.
    fn stranger(&self, status: StatusCode) -> String {
        match &self.place {
            Place::Here { .. } => format!("the store's own API answered {status} without a word of why"),
            Place::There(remote) => remote.stranger(status),
        }
    }
}

/// The tenant that a document of the API describes.
pub(super) fn described(document: &Json) -> anyhow::Result<TenantDoc> {
    tenant_from_json(document, "the tenant's document", &refuse_references()).map_err(|errors| {
        anyhow::anyhow!("the tenant's document cannot be read: is the gateway of this version? {errors}")
    })
}

/// A text as a segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, &SEGMENT).to_string()
}

/// What the operations have for the log of a gateway is told on standard error, where there is none.
fn tell_faults() {
    let filter = tracing_subscriber::EnvFilter::new("error");
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
}
