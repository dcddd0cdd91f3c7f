//! The audit, its sinks, and traces: addresses, and secrets that go with every request to them.

use std::collections::{BTreeMap, HashSet};

use patchbay_core::audit::AuditDefaults;
use secrecy::SecretString;
use url::Url;

use super::Lower;
use crate::{
    gateway::{AuditConfig, SinkConfig, TracesConfig},
    path::FieldPath,
    schema::{AuditFile, SinkFile, SinkKind, TracesFile},
    tenant::{check_header_name, check_secret_text, check_url, slugify},
};

/// The shortest secret that signs bodies: what is shorter is guessed.
const SIGNING_BYTES_MIN: usize = 16;

impl Lower<'_, '_> {
    pub(super) fn audit(&mut self, file: AuditFile) -> AuditConfig {
        let mut sinks = BTreeMap::new();
        for (name, sink) in file.sinks {
            let field = FieldPath::of(["audit", "sinks"]).key(&name);
            let slug = match name.parse() {
                Ok(slug) => Some(slug),
                Err(why) => {
                    self.report.meaning(&field, format!("{why}; `{}` would be one", slugify(&name)));
                    None
                }
            };
            sinks.extend(slug.zip(self.sink(&field, &sink)));
        }
        AuditConfig {
            spool_bytes_max: u64::from(file.spool_mib) << 20,
            defaults: AuditDefaults { level: file.level, arguments: file.arguments, when_full: file.when_full },
            retention_days: file.retention_days,
            sinks,
        }
    }

    fn sink(&mut self, field: &FieldPath, file: &SinkFile) -> Option<SinkConfig> {
        let url = self.target(&field.key("url"), &file.url);
        let secret = self.signing_secret(&field.key("secret"), file.kind, file.secret.as_deref());
        let headers = self.headers(&field.key("headers"), &file.headers);
        let mut tenants = Vec::new();
        for (at, name) in file.tenants.iter().enumerate() {
            match name.parse() {
                Ok(slug) => tenants.push(slug),
                Err(why) => self.report.meaning(&field.key("tenants").index(at), format!("{why}")),
            }
        }
        Some(SinkConfig { kind: file.kind, url: url?, secret, headers, tenants })
    }

    fn signing_secret(&mut self, field: &FieldPath, kind: SinkKind, text: Option<&str>) -> Option<SecretString> {
        match (kind, text) {
            (SinkKind::Webhook, None) => {
                let message = "expected `${env:NAME}` or `${file:PATH}`, found nothing: a webhook's bodies are signed, so that \
                               who gets them can tell whose they are";
                self.report.meaning(field, message);
                None
            }
            (SinkKind::Otlp, Some(_)) => {
                self.report
                    .meaning(field, "belongs to a sink of kind `webhook`; this one is `otlp`, which `headers` open");
                None
            }
            (SinkKind::Otlp, None) => None,
            (SinkKind::Webhook, Some(text)) => {
                let secret = self.secret(field, text)?;
                if secret.len() < SIGNING_BYTES_MIN {
                    self.report.meaning(field, format!("expected a secret of at least {SIGNING_BYTES_MIN} bytes"));
                } else if let Err(why) = check_secret_text(&secret, false) {
                    self.report.meaning(field, why);
                }
                Some(secret.into())
            }
        }
    }

    pub(super) fn traces(&mut self, file: &TracesFile) -> Option<TracesConfig> {
        let headers = self.headers(&FieldPath::of(["traces", "headers"]), &file.headers);
        let field = FieldPath::of(["traces", "url"]);
        let Some(url) = file.url.as_deref() else {
            if !headers.is_empty() {
                self.report.meaning(&field, "expected the address for which `traces.headers` are, found nothing");
            }
            return None;
        };
        let url = self.target(&field, url)?;
        Some(TracesConfig { url, headers, sample: file.sample, trust_callers: file.trust_callers })
    }

    /// An address that something is sent to.
    fn target(&mut self, field: &FieldPath, text: &str) -> Option<Url> {
        match check_url(text) {
            Ok(()) => Url::parse(text).ok(),
            Err(why) => {
                self.report.meaning(field, why);
                None
            }
        }
    }

    fn headers(&mut self, field: &FieldPath, values: &BTreeMap<String, String>) -> BTreeMap<String, SecretString> {
        let (mut headers, mut seen) = (BTreeMap::new(), HashSet::new());
        for (name, text) in values {
            let field = field.key(name);
            if let Err(why) = check_header_name(name) {
                self.report.meaning(&field, why);
            } else if !seen.insert(name.to_ascii_lowercase()) {
                let message = "this header stands here twice, in different spelling; expected it once";
                self.report.meaning(&field, message);
            }
            let Some(value) = self.secret(&field, text) else { continue };
            if let Err(why) = check_secret_text(&value, true) {
                self.report.meaning(&field, why);
            }
            headers.insert(name.clone(), value.into());
        }
        headers
    }
}
