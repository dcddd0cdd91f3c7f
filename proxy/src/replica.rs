//! Which process this is: what admins are told when what they see is one replica's view. Made by `app`, completed by `run`.

use std::{fmt::Write, net::SocketAddr, sync::OnceLock};

use tokio::time::Instant;

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
}

impl Replica {
    /// This process.
    pub(crate) fn here() -> Self {
        let mut id = String::with_capacity(16);
        for byte in patchbay_core::random_bytes::<8>() {
            let _ = write!(id, "{byte:02x}");
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Self { id, host, began_ms: audit::now_ms(), began: Instant::now(), listeners: OnceLock::new() }
    }
}
