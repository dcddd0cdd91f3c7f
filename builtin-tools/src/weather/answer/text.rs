//! The answers as texts, for clients and people that do not read the structured ones.

use std::fmt::Write as _;

use super::{Conditions, CurrentAnswer, ForecastAnswer, Period, Place};

/// Has a text that says what the structured content says.
pub(crate) trait Readable {
    /// The text.
    fn text(&self) -> String;
}

/// A provider's text without control characters, not longer than `chars_max`; `None` where nothing is left.
pub(crate) fn clean(text: &str, chars_max: usize) -> Option<String> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    let kept = |c: &char| *c == '\n' || !c.is_control();
    let mut said: String = text.chars().filter(kept).take(chars_max).collect();
    if text.chars().filter(kept).nth(chars_max).is_some() {
        said.push('…');
    }
    (!said.is_empty()).then_some(said)
}

impl Readable for ForecastAnswer {
    fn text(&self) -> String {
        let place = self.place.as_ref().map(|place| format!(" near {place}")).unwrap_or_default();
        let issued = self.issued_at.as_ref().map(|at| format!(", made at {at}")).unwrap_or_default();
        let (latitude, longitude) = (self.latitude, self.longitude);
        let mut text = format!("Forecast for {latitude}, {longitude}{place} by the {}{issued}.\n", self.provider);
        if let Some(note) = &self.note {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{note}");
        }
        text.push('\n');
        for period in &self.periods {
            let _ = writeln!(text, "{}", period.line());
        }
        text
    }
}

impl Period {
    fn line(&self) -> String {
        let Self { name, summary, temperature_unit, .. } = self;
        let mut parts = vec![summary.clone()];
        if let Some(degrees) = self.temperature {
            let which = if self.is_daytime { "high" } else { "low" };
            parts.push(format!("{which} {degrees} °{temperature_unit}"));
        }
        if let Some(percent) = self.precipitation_probability_percent {
            parts.push(format!("precipitation {percent} %"));
        }
        if let Some(speed) = &self.wind_speed {
            let from = self.wind_direction.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
            parts.push(format!("wind {speed}{from}"));
        }
        let detail = self.detail.as_ref().map(|detail| format!(". {detail}")).unwrap_or_default();
        format!("- {name}: {}{detail}", parts.join(", "))
    }
}

impl Place {
    /// The place for people: name, region, country.
    pub(crate) fn label(&self) -> String {
        let parts = [Some(&self.name), self.region.as_ref(), self.country.as_ref()];
        let mut parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.dedup();
        parts.join(", ")
    }
}

impl Readable for CurrentAnswer {
    fn text(&self) -> String {
        let Conditions { observed_at, .. } = &self.conditions;
        let mut text = format!("{}: {}.\n", self.place.label(), self.conditions.line());
        let _ = writeln!(text, "As of {observed_at}, from {}.", self.provider);
        if let Some(note) = &self.note {
            let _ = writeln!(text, "{note}");
        }
        if !self.alternatives.is_empty() {
            let others: Vec<_> = self.alternatives.iter().map(Place::label).collect();
            let _ = writeln!(text, "There are also: {}.", others.join("; "));
        }
        text
    }
}

impl Conditions {
    fn line(&self) -> String {
        let said = [
            ("", self.temperature_celsius, " °C"),
            ("feels like ", self.apparent_temperature_celsius, " °C"),
            ("humidity ", self.humidity_percent, " %"),
            ("precipitation ", self.precipitation_mm, " mm"),
            ("cloud cover ", self.cloud_cover_percent, " %"),
            ("pressure ", self.pressure_hpa, " hPa"),
            ("wind ", self.wind_speed_kmh, " km/h"),
            ("wind from ", self.wind_direction_degrees, "°"),
            ("gusts ", self.wind_gusts_kmh, " km/h"),
        ];
        let mut parts = vec![self.description.clone()];
        parts.extend(said.iter().filter_map(|(label, value, unit)| value.map(|value| format!("{label}{value}{unit}"))));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_texts_are_cut_and_carry_no_control_characters() {
        assert_eq!(clean(" \u{1b}[31mred\u{7}\r\nline \0", 40).as_deref(), Some("[31mred\nline "));
        assert_eq!(clean("abcdef", 3).as_deref(), Some("abc…"));
        assert_eq!(clean("abc", 3).as_deref(), Some("abc"));
        assert_eq!(clean(" \r\n ", 3), None);
    }
}
