//! Reading resources: from a URI to a source and a page, and from there to a text.

use rmcp::{
    ErrorData,
    model::{CacheScope, ReadResourceResult, ResourceContents},
};

use super::failed;
use crate::db::{
    DbExplorer,
    error::QueryError,
    resources::{self, Page},
    source::{Cx, ListFilter, Source},
};

/// The most bytes of an overview that is read as a resource.
const OVERVIEW_BYTES_MAX: usize = 64 * 1024;
/// A page that is made without the database changes only with the program.
const FIXED_TTL_MS: u64 = 300_000;

impl DbExplorer {
    /// The resource at that URI.
    pub(super) async fn read(&self, uri: String, cx: &Cx) -> Result<ReadResourceResult, ErrorData> {
        let unknown = |uri: &str| {
            let uri: String = uri.chars().take(256).collect();
            ErrorData::resource_not_found(format!("There is no resource {uri}."), None)
        };
        let found = resources::place(&uri).and_then(|(source, page)| Some((self.find(source)?, page)));
        let Some((source, page)) = found else { return Err(unknown(&uri)) };
        let text = text(source, &page, cx).await.map_err(|error| match error {
            QueryError::NoSuchTable => unknown(&uri),
            error => failed(&error),
        })?;
        let ttl_ms = if page == Page::Info { FIXED_TTL_MS } else { 0 };
        let contents = ResourceContents::text(text, uri).with_mime_type(page.kind());
        Ok(ReadResourceResult::new(vec![contents]).with_ttl_ms(ttl_ms).with_cache_scope(CacheScope::Private))
    }
}

async fn text(source: &dyn Source, page: &Page, cx: &Cx) -> Result<String, QueryError> {
    match page {
        Page::Overview => overview(source, OVERVIEW_BYTES_MAX, cx).await,
        Page::Info => resources::info(source.about()),
        Page::Examples => resources::examples(source, cx).await,
        Page::Table(table) => resources::schema(&source.describe_table(table, cx).await?),
    }
}

/// The overview of a source, in about so many bytes.
pub(super) async fn overview(source: &dyn Source, bytes_max: usize, cx: &Cx) -> Result<String, QueryError> {
    let list = source.list_tables(ListFilter::default(), cx).await?;
    Ok(resources::overview(source.about(), &list, bytes_max))
}
