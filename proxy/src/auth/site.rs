//! Where the gateway is for those outside: the address that clients paste, from which the names of toolsets as OAuth resources
//! are made. Finding it out for a request is the edge's.

use patchbay_core::model::DEFAULT_TOOLSET;

/// The outer address of the gateway for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Scheme, host in lower case and port where it is not the usual one: `https://tools.example.org`.
    pub origin: String,
    /// What stands before all paths, without a slash at its end: empty, or as in `/mcp-gateway`.
    pub prefix: String,
}

impl Site {
    /// A toolset's URL, the `resource` of its metadata and the audience of its tokens (RFC 9728 section 2, RFC 8707).
    pub fn resource(&self, tenant: &str, toolset: &str) -> String {
        format!("{}{}{}", self.origin, self.prefix, path(tenant, toolset))
    }

    /// Where that toolset's metadata is: the well-known name goes between host and path (RFC 9728 section 3.1).
    pub fn metadata_url(&self, tenant: &str, toolset: &str) -> String {
        format!("{}{WELL_KNOWN}{}{}", self.origin, self.prefix, path(tenant, toolset))
    }
}

/// The well-known name of resource metadata.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The path of a toolset.
pub(super) fn path(tenant: &str, toolset: &str) -> String {
    if toolset == DEFAULT_TOOLSET { format!("/t/{tenant}/mcp") } else { format!("/t/{tenant}/{toolset}/mcp") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_name_stands_between_host_and_path() {
        let site = Site { origin: "https://h.example:8443".into(), prefix: "/gw".into() };
        assert_eq!(site.resource("acme", "default"), "https://h.example:8443/gw/t/acme/mcp");
        assert_eq!(
            site.metadata_url("acme", "dev"),
            "https://h.example:8443/.well-known/oauth-protected-resource/gw/t/acme/dev/mcp"
        );
    }
}
