//! The lists of a view as bytes: pages that are sent as they are. The edge adds what differs from answer to answer (the time
//! to live, the cursor, the closing brace).

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::BuildOptions;
use crate::era::Era;

macro_rules! server_info {
    () => {
        concat!(r#"{"name":"patchbay","title":"Patchbay","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#)
    };
}

/// What the gateway says it is, a JSON object.
pub const SERVER_INFO: &str = server_info!();

macro_rules! modern_tail {
    ($scope:literal) => {
        concat!(
            r#","resultType":"complete","cacheScope":""#,
            $scope,
            r#"","_meta":{"io.modelcontextprotocol/serverInfo":"#,
            server_info!(),
            "}"
        )
    };
}

/// The prepared lists of a view.
#[derive(Debug, Clone, PartialEq)]
pub struct Lists {
    /// `tools/list`.
    pub tools: List,
    /// `prompts/list`.
    pub prompts: List,
    /// `resources/list`.
    pub resources: List,
    /// `resources/templates/list`.
    pub templates: List,
    /// `skills/list`.
    pub skills: List,
    /// Until when all parts are fresh, in milliseconds since 1970; `None` when a server did not say or is missing.
    pub fresh_until_ms: Option<i64>,
    /// Whether a server is missing or could not be asked lately.
    pub stale: bool,
}

/// One list. Its pages hold the same items in both eras, so a cursor is a page number and [`List::digest`].
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// Changes when a client would see another list or other pages.
    pub digest: [u8; 16],
    /// How many items it has.
    pub count: usize,
    modern: Vec<Bytes>,
    legacy: Vec<Bytes>,
    modern_tail: &'static str,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The result without its end: `{"tools":[…]`.
    pub open: Bytes,
    /// What the era adds to it, with a comma first: `,"resultType":…`; empty for a legacy client.
    pub tail: Bytes,
    /// Whether another page follows.
    pub more: bool,
}

impl Lists {
    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        [&self.tools, &self.prompts, &self.resources, &self.templates, &self.skills].into_iter().map(List::bytes).sum()
    }
}

impl List {
    /// How many bytes it takes; pages that both eras share count once.
    pub fn bytes(&self) -> usize {
        let own = |(modern, legacy): (&Bytes, &Bytes)| {
            if modern.as_ptr() == legacy.as_ptr() { modern.len() } else { modern.len() + legacy.len() }
        };
        self.modern.iter().zip(&self.legacy).map(own).sum()
    }

    /// The page of that number, from 0. The first one is always there.
    pub fn page(&self, era: Era, number: usize) -> Option<Page> {
        let (pages, tail) = match era {
            Era::Modern => (&self.modern, self.modern_tail),
            Era::Legacy => (&self.legacy, ""),
        };
        let open = pages.get(number)?.clone();
        Some(Page { open, tail: Bytes::from_static(tail.as_bytes()), more: number + 1 < pages.len() })
    }

    /// How many pages there are, at least one.
    pub const fn pages(&self) -> usize {
        self.modern.len()
    }
}

/// One item, written.
pub(super) struct Entry {
    pub(super) modern: String,
    /// For legacy clients, where it differs.
    pub(super) legacy: Option<String>,
}

/// Cuts items into pages.
pub(super) fn list(
    name: &str,
    entries: &mut dyn Iterator<Item = Entry>,
    is_public: bool,
    options: &BuildOptions,
) -> List {
    let mut pages = vec![Draft::new(name)];
    let mut count = 0;
    for entry in entries {
        count += 1;
        if pages.last().is_some_and(|page| page.is_full(options)) {
            pages.push(Draft::new(name));
        }
        if let Some(page) = pages.last_mut() {
            page.add(&entry);
        }
    }
    let mut hasher = Sha256::new();
    let mut digest = [0; 16];
    let (mut modern, mut legacy) = (Vec::new(), Vec::new());
    for page in pages {
        let (of_modern, of_legacy) = page.finish();
        hasher.update(of_modern.len().to_le_bytes());
        hasher.update(&of_modern);
        modern.push(of_modern);
        legacy.push(of_legacy);
    }
    digest.copy_from_slice(&hasher.finalize()[..16]);
    let modern_tail = if is_public { modern_tail!("public") } else { modern_tail!("private") };
    List { digest, count, modern, legacy, modern_tail }
}

/// A page that is being written. The legacy text begins where it first differs; until then both are one.
struct Draft {
    modern: String,
    legacy: Option<String>,
    items: usize,
}

impl Draft {
    fn new(name: &str) -> Self {
        Self { modern: format!("{{\"{name}\":["), legacy: None, items: 0 }
    }

    fn is_full(&self, options: &BuildOptions) -> bool {
        self.items > 0 && (self.items >= options.page_items_max || self.modern.len() >= options.page_bytes_max)
    }

    fn add(&mut self, entry: &Entry) {
        if entry.legacy.is_some() && self.legacy.is_none() {
            self.legacy = Some(self.modern.clone());
        }
        let comma = if self.items > 0 { "," } else { "" };
        for (page, text) in [
            (Some(&mut self.modern), &entry.modern),
            (self.legacy.as_mut(), entry.legacy.as_ref().unwrap_or(&entry.modern)),
        ] {
            if let Some(page) = page {
                page.push_str(comma);
                page.push_str(text);
            }
        }
        self.items += 1;
    }

    /// The bytes for modern and for legacy clients; one allocation where they are the same.
    fn finish(self) -> (Bytes, Bytes) {
        let close = |mut page: String| {
            page.push(']');
            page.shrink_to_fit();
            Bytes::from(page)
        };
        let modern = close(self.modern);
        let legacy = self.legacy.map_or_else(|| modern.clone(), close);
        (modern, legacy)
    }
}
