//! The alerts of an area: the most severe first, within a bound, and with a word on every one that is not shown.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::Readable;

/// The most alerts of one answer.
const ALERTS_MAX: usize = 25;
/// The degrees of severity, the worst first.
const SEVERITIES: [&str; 4] = ["Extreme", "Severe", "Moderate", "Minor"];

/// The active alerts of an area.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AlertsAnswer {
    /// Who issued them.
    pub(crate) provider: &'static str,
    /// The code of the area.
    pub(crate) area: &'static str,
    /// The name of the area.
    pub(crate) area_name: &'static str,
    /// When the list was made (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) updated_at: Option<String>,
    /// How many alerts are active.
    pub(crate) count: usize,
    /// The alerts, the most severe first; fewer than `count` where there are very many.
    pub(crate) alerts: Vec<Alert>,
    /// Whether there are more than are shown.
    pub(crate) truncated: bool,
    /// How many seconds old the answer is; only there when no newer one could be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale_seconds: Option<u64>,
    /// What else is to be known about this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// An alert.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Alert {
    /// What it is about, such as `Flood Warning`.
    pub(crate) event: String,
    /// `Extreme`, `Severe`, `Moderate`, `Minor` or `Unknown`.
    pub(crate) severity: String,
    /// `Immediate`, `Expected`, `Future`, `Past` or `Unknown`.
    pub(crate) urgency: String,
    /// `Observed`, `Likely`, `Possible`, `Unlikely` or `Unknown`.
    pub(crate) certainty: String,
    /// The counties, zones or waters, separated by semicolons.
    pub(crate) areas: String,
    /// In a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) headline: Option<String>,
    /// When the event begins (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) onset_at: Option<String>,
    /// When the event ends (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ends_at: Option<String>,
    /// When the alert has to be renewed (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sender: Option<String>,
    /// What happens where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// What people should do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instruction: Option<String>,
}

impl AlertsAnswer {
    /// The worst of `all` as far as one answer has room, and the word on the others. `unreadable` counts alerts that the
    /// provider listed and that could not be read.
    pub(crate) fn shown(mut all: Vec<Alert>, unreadable: usize) -> (Vec<Alert>, bool, Option<String>) {
        let count = all.len();
        all.sort_by_key(|alert| {
            SEVERITIES.iter().position(|known| *known == alert.severity).unwrap_or(SEVERITIES.len())
        });
        all.truncate(ALERTS_MAX);
        let mut notes = Vec::new();
        if count > ALERTS_MAX {
            notes.push(format!("Only the {ALERTS_MAX} most severe of {count} alerts are shown."));
        }
        if unreadable > 0 {
            notes.push(format!("{unreadable} more could not be read; look at https://www.weather.gov too."));
        }
        (all, !notes.is_empty(), (!notes.is_empty()).then(|| notes.join(" ")))
    }
}

impl Readable for AlertsAnswer {
    fn text(&self) -> String {
        let Self { area, area_name, provider, count, .. } = self;
        let mut text = match count {
            0 => format!("No active alerts for {area_name} ({area}), says the {provider}.\n"),
            1 => format!("1 active alert for {area_name} ({area}) from the {provider}.\n"),
            _ => format!("{count} active alerts for {area_name} ({area}) from the {provider}.\n"),
        };
        if let Some(note) = &self.note {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{note}");
        }
        for (number, alert) in (1..).zip(&self.alerts) {
            let _ = write!(text, "\n{number}. {}", alert.lines());
        }
        text
    }
}

impl Alert {
    fn lines(&self) -> String {
        let Self { event, severity, urgency, certainty, areas, .. } = self;
        let mut text =
            format!("{event} (severity {severity}, urgency {urgency}, certainty {certainty})\n   Where: {areas}\n");
        let end = self.ends_at.as_deref().or(self.expires_at.as_deref());
        let said = [
            ("From", self.onset_at.as_deref()),
            ("Until", end),
            ("Issued by", self.sender.as_deref()),
            ("Headline", self.headline.as_deref()),
            ("What", self.description.as_deref()),
            ("What to do", self.instruction.as_deref()),
        ];
        for (label, value) in said {
            if let Some(value) = value {
                let _ = writeln!(text, "   {label}: {}", value.replace('\n', "\n   "));
            }
        }
        text
    }
}
