//! Reads all lists of a server to their end, with bounds on everything a server could overdo. The items stay the text that the
//! server wrote; names, filters and merging are the gateway's. Called off the hot path, when a catalog is refreshed.

mod page;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use futures_util::future::join_all;
use patchbay_core::snapshot::SKILLS;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::page::Page;
use crate::{CallCx, Downstream, DownstreamError, Hello, Outgoing, ShareKey};

/// What bounds the reading of one catalog.
#[derive(Debug, Clone, Copy)]
pub struct CatalogBounds {
    /// Pages of one list.
    pub pages_max: usize,
    /// Items of one list.
    pub items_max: usize,
    /// Bytes of all answers together.
    pub bytes_max: usize,
    /// When everything must be there.
    pub deadline: Instant,
    /// What the reader says that it can be asked, a JSON object: some servers have tools only for who can be asked. Nobody is,
    /// while a catalog is read.
    pub capabilities: &'static str,
}

/// What one server offers, as it wrote it. A list that it does not have is empty.
///
/// A list that could not be read is named in [`Self::failed`], and its items here are none: that says nothing about what the
/// server has. [`Self::keep_failed_from`] puts the last good ones there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawCatalog {
    /// What the server says of itself.
    pub hello: Hello,
    /// Its tools, each a JSON object.
    pub tools: Vec<String>,
    /// Its prompts.
    pub prompts: Vec<String>,
    /// Its resources.
    pub resources: Vec<String>,
    /// Its resource templates.
    pub templates: Vec<String>,
    /// Its skills.
    #[serde(default)]
    pub skills: Vec<String>,
    /// The shortest time that the server said its lists stay good for.
    pub ttl_ms: Option<u64>,
    /// What operators should know: bounds that were met, items that were left out.
    pub warnings: Vec<String>,
    /// The lists that could not be read this time.
    #[serde(default)]
    pub failed: Vec<FailedList>,
}

/// A list that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedList {
    /// Which.
    pub list: CatalogList,
    /// Why, for operators.
    pub why: String,
}

/// The lists of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogList {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
    /// `skills/list` (the Skills extension)
    Skills,
}

impl CatalogList {
    /// All lists.
    pub const ALL: [Self; 5] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates, Self::Skills];

    /// The method that reads it.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
            Self::Skills => "skills/list",
        }
    }

    /// The member of the result that holds the items.
    const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Skills => "skills",
        }
    }

    /// The capability without which the server does not have it.
    const fn capability(self) -> &'static [&'static str] {
        match self {
            Self::Tools => &["tools"],
            Self::Prompts => &["prompts"],
            Self::Resources | Self::Templates => &["resources"],
            Self::Skills => &["extensions", SKILLS],
        }
    }
}

impl RawCatalog {
    /// The items of one list.
    pub fn items(&self, list: CatalogList) -> &[String] {
        match list {
            CatalogList::Tools => &self.tools,
            CatalogList::Prompts => &self.prompts,
            CatalogList::Resources => &self.resources,
            CatalogList::Templates => &self.templates,
            CatalogList::Skills => &self.skills,
        }
    }

    /// Takes the items of the lists that failed from an earlier catalog of the same server.
    pub fn keep_failed_from(&mut self, earlier: &Self) {
        for FailedList { list, .. } in self.failed.clone() {
            *self.items_mut(list) = earlier.items(list).to_vec();
        }
    }

    fn items_mut(&mut self, list: CatalogList) -> &mut Vec<String> {
        match list {
            CatalogList::Tools => &mut self.tools,
            CatalogList::Prompts => &mut self.prompts,
            CatalogList::Resources => &mut self.resources,
            CatalogList::Templates => &mut self.templates,
            CatalogList::Skills => &mut self.skills,
        }
    }
}

/// Reads a server's catalog. An error when the server does not say hello or none of its lists can be read; otherwise what
/// could be read, and in [`RawCatalog::failed`] what could not.
pub async fn fetch(server: &dyn Downstream, bounds: CatalogBounds) -> Result<RawCatalog, DownstreamError> {
    let hello = server.hello(bounds.deadline).await?;
    let reader = Reader { server, bounds, bytes_left: AtomicUsize::new(bounds.bytes_max) };
    let parts = join_all(CatalogList::ALL.map(|list| reader.list(list, &hello))).await;
    collect(&hello, parts)
}

fn collect(hello: &Hello, parts: Vec<Option<Result<Part, DownstreamError>>>) -> Result<RawCatalog, DownstreamError> {
    let mut catalog = RawCatalog {
        hello: hello.clone(),
        tools: Vec::new(),
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        skills: Vec::new(),
        ttl_ms: None,
        warnings: Vec::new(),
        failed: Vec::new(),
    };
    let (mut read, mut first_error) = (0, None);
    for (list, part) in CatalogList::ALL.into_iter().zip(parts) {
        match part {
            None => {}
            Some(Ok(part)) => {
                read += 1;
                *catalog.items_mut(list) = part.items;
                catalog.ttl_ms = [catalog.ttl_ms, part.ttl_ms].into_iter().flatten().min();
                catalog.warnings.extend(part.warnings.into_iter().map(|text| format!("{}: {text}", list.method())));
            }
            Some(Err(error)) => {
                catalog.failed.push(FailedList { list, why: error.to_string() });
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if read == 0 => Err(error),
        _ => Ok(catalog),
    }
}

/// One list as far as it was read.
#[derive(Default)]
struct Part {
    items: Vec<String>,
    ttl_ms: Option<u64>,
    warnings: Vec<String>,
}

struct Reader<'a> {
    server: &'a dyn Downstream,
    bounds: CatalogBounds,
    bytes_left: AtomicUsize,
}

impl Reader<'_> {
    /// One list; `None` when the server does not declare it.
    async fn list(&self, list: CatalogList, hello: &Hello) -> Option<Result<Part, DownstreamError>> {
        patchbay_core::json::at_path(&hello.capabilities, list.capability())?;
        Some(self.pages(list).await)
    }

    async fn pages(&self, list: CatalogList) -> Result<Part, DownstreamError> {
        let mut part = Part::default();
        let mut cursors: Vec<String> = Vec::new();
        for read in 0.. {
            if read == self.bounds.pages_max {
                part.warnings.push(format!("it has more than {read} pages; the rest is left out"));
                break;
            }
            let page = match self.page(list, cursors.last().map(String::as_str)).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(page::Trouble::TooLarge) if read > 0 => {
                    part.warnings.push(format!(
                        "its answers are larger than {} bytes; the rest is left out",
                        self.bounds.bytes_max
                    ));
                    break;
                }
                Err(trouble) => return Err(trouble.into()),
            };
            let next = page.next.clone();
            if !self.add(&mut part, page) {
                break;
            }
            match next {
                None => break,
                Some(cursor) if cursors.contains(&cursor) => {
                    part.warnings.push("its pages go round in a circle; each was read once".to_owned());
                    break;
                }
                Some(cursor) => cursors.push(cursor),
            }
        }
        Ok(part)
    }

    /// Adds a page; false when the list is full.
    fn add(&self, part: &mut Part, page: Page) -> bool {
        part.ttl_ms = [part.ttl_ms, page.ttl_ms].into_iter().flatten().min();
        part.warnings.extend(page.warnings);
        let room = self.bounds.items_max - part.items.len();
        let full = page.items.len() > room;
        part.items.extend(page.items.into_iter().take(room));
        if full {
            part.warnings.push(format!("it has more than {} items; the rest is left out", self.bounds.items_max));
        }
        !full
    }

    /// One page; `None` when the server does not know the method after all.
    async fn page(&self, list: CatalogList, cursor: Option<&str>) -> Result<Option<Page>, page::Trouble> {
        let params = cursor.map(|cursor| format!(r#""cursor":{}"#, patchbay_core::json::quote(cursor)).into());
        let cx = CallCx {
            deadline: self.bounds.deadline,
            extension: None,
            share: ShareKey::Tenant,
            capabilities: Arc::from(self.bounds.capabilities),
        };
        let reply = self.server.call(cx, Outgoing::plain(list.method(), params.into_iter().collect())).await?;
        let left = self.bytes_left.load(Relaxed);
        let response = page::response(reply, left).await?;
        let used = self.bytes_left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(response.len()));
        used.map_err(|_| page::Trouble::TooLarge)?;
        page::read(list, &response)
    }
}
