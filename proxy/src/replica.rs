//! Which process this is: what admins are told when what they see is one replica's view, and what handles say of where something
//! lives. Made by `app`, completed by `run`. How a request gets to another replica is [`crate::edge`]'s.

pub(crate) mod cancels;
pub(crate) mod home;

use std::{fmt::Write, net::SocketAddr, sync::OnceLock};

use tokio::time::Instant;

use self::{cancels::Cancels, home::Home};
use crate::audit;

/// See the module.
pub(crate) struct Replica {
    /// Random, for the life of the process.
    pub(crate) id: String,
    /// The name of the machine, which is the pod's name in Kubernetes.
    pub(crate) host: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub(crate) began_ms: i64,
    /// The same moment, for how long that is ago.
    pub(crate) began: Instant,
    /// Where it listens, by the settings' names.
    pub(crate) listeners: OnceLock<Vec<(&'static str, SocketAddr)>>,
    /// This process, as handles name it.
    pub(crate) home: Home,
    /// Whether there may be other replicas.
    pub(crate) is_shared: bool,
    /// What it tells the others.
    pub(crate) cancels: Cancels,
}

impl Replica {
    /// This process, which others reach at `url`, if at all; `is_shared` says whether it has its store for itself.
    pub(crate) fn here(url: Option<&str>, is_shared: bool) -> Self {
        let bytes = patchbay_core::random_bytes();
        let mut id = String::with_capacity(16);
        for byte in bytes {
            let _ = write!(id, "{byte:02x}");
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Self {
            id,
            host,
            began_ms: audit::now_ms(),
            began: Instant::now(),
            listeners: OnceLock::new(),
            home: Home::new(bytes, url),
            is_shared: is_shared || url.is_some(),
            cancels: Cancels::default(),
        }
    }

    /// What is written down of where something lives that only this process has; `None` where there is no other.
    pub(crate) fn noted(&self) -> Option<&Home> {
        self.is_shared.then_some(&self.home)
    }
}
