//! The methods that the gateway knows by name. What is in no list here is answered -32601, or dropped when it is a
//! notification.

use std::sync::Arc;

/// Declares the methods with the names they have on the wire.
macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// A method of the protocol.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Method {
            $($(#[$doc])* $variant,)+
            /// One that the gateway does not know.
            Other(Arc<str>),
        }

        impl Method {
            /// The method of that name.
            pub fn of(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)+
                    other => Self::Other(other.into()),
                }
            }

            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other(name) => name,
                }
            }
        }
    };
}

methods! {
    /// Opens a legacy session.
    Initialize = "initialize",
    /// Legacy: the client is ready.
    Initialized = "notifications/initialized",
    /// Legacy: are you there.
    Ping = "ping",
    /// Modern: what is here.
    Discover = "server/discover",
    /// Lists tools.
    ToolsList = "tools/list",
    /// Calls a tool.
    ToolsCall = "tools/call",
    /// Lists prompts.
    PromptsList = "prompts/list",
    /// Fills a prompt in.
    PromptsGet = "prompts/get",
    /// Lists resources.
    ResourcesList = "resources/list",
    /// Lists resource templates.
    TemplatesList = "resources/templates/list",
    /// Reads a resource.
    ResourcesRead = "resources/read",
    /// Legacy: wants to hear of changes of a resource.
    ResourcesSubscribe = "resources/subscribe",
    /// Legacy: no longer.
    ResourcesUnsubscribe = "resources/unsubscribe",
    /// Completes an argument.
    Complete = "completion/complete",
    /// Legacy: from which level on log messages are wanted.
    SetLevel = "logging/setLevel",
    /// Modern: a stream of changes.
    Listen = "subscriptions/listen",
    /// Modern, Tasks: how a task stands.
    TasksGet = "tasks/get",
    /// Modern, Tasks: answers what a task asks for.
    TasksUpdate = "tasks/update",
    /// Modern, Tasks: asks a task to stop.
    TasksCancel = "tasks/cancel",
    /// Skills: lists them.
    SkillsList = "skills/list",
    /// Skills: one of them.
    SkillsGet = "skills/get",
    /// Skills: lists what is in a directory.
    DirectoryRead = "resources/directory/read",
    /// Takes a request back.
    Cancelled = "notifications/cancelled",
    /// Legacy: how far a request of the server is.
    Progress = "notifications/progress",
    /// Legacy: the client's roots changed.
    RootsChanged = "notifications/roots/list_changed",
}

impl Method {
    /// Whether the modern era has taken it away (it is answered 404 there).
    pub const fn is_legacy_only(&self) -> bool {
        matches!(
            self,
            Self::Initialize | Self::Ping | Self::SetLevel | Self::ResourcesSubscribe | Self::ResourcesUnsubscribe
        )
    }

    /// Whether only the modern era has it.
    pub const fn is_modern_only(&self) -> bool {
        matches!(self, Self::Discover | Self::Listen) || self.is_of_tasks()
    }

    /// Whether it is about a task that runs on (the Tasks extension).
    pub const fn is_of_tasks(&self) -> bool {
        matches!(self, Self::TasksGet | Self::TasksUpdate | Self::TasksCancel)
    }

    /// The member of params that the `Mcp-Name` header repeats (2026-07-28, Streamable HTTP).
    pub const fn mirrored(&self) -> Option<&'static str> {
        match self {
            Self::ToolsCall | Self::PromptsGet => Some("name"),
            Self::ResourcesRead => Some("uri"),
            Self::TasksGet | Self::TasksUpdate | Self::TasksCancel => Some("taskId"),
            _ => None,
        }
    }
}
