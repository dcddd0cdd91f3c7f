//! The areas that the National Weather Service gives alerts for: states, territories and parts of the sea, by their codes.
//! `handler` completes from here; `weather` takes from here what a caller may have meant.

use super::error::WeatherError;

/// The longest text that is looked at.
const TEXT_BYTES_MAX: usize = 64;
/// The most areas that a refusal suggests.
const SUGGESTED_MAX: usize = 5;

/// An area with alerts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Area {
    /// Two letters, as the National Weather Service writes them.
    pub(crate) code: &'static str,
    /// Its name for people.
    pub(crate) name: &'static str,
}

macro_rules! areas {
    ($($code:literal $name:literal,)*) => { &[$(Area { code: $code, name: $name }),*] };
}

/// All areas: the states and territories by name, then the seas and lakes.
pub(crate) const AREAS: &[Area] = areas![
    "AL" "Alabama", "AK" "Alaska", "AS" "American Samoa", "AZ" "Arizona", "AR" "Arkansas", "CA" "California",
    "CO" "Colorado", "CT" "Connecticut", "DE" "Delaware", "DC" "District of Columbia",
    "FM" "Federated States of Micronesia", "FL" "Florida", "GA" "Georgia", "GU" "Guam", "HI" "Hawaii", "ID" "Idaho",
    "IL" "Illinois", "IN" "Indiana", "IA" "Iowa", "KS" "Kansas", "KY" "Kentucky", "LA" "Louisiana", "ME" "Maine",
    "MH" "Marshall Islands", "MD" "Maryland", "MA" "Massachusetts", "MI" "Michigan", "MN" "Minnesota",
    "MS" "Mississippi", "MO" "Missouri", "MT" "Montana", "NE" "Nebraska", "NV" "Nevada", "NH" "New Hampshire",
    "NJ" "New Jersey", "NM" "New Mexico", "NY" "New York", "NC" "North Carolina", "ND" "North Dakota",
    "MP" "Northern Mariana Islands", "OH" "Ohio", "OK" "Oklahoma", "OR" "Oregon", "PW" "Palau", "PA" "Pennsylvania",
    "PR" "Puerto Rico", "RI" "Rhode Island", "SC" "South Carolina", "SD" "South Dakota", "TN" "Tennessee",
    "TX" "Texas", "UT" "Utah", "VT" "Vermont", "VI" "Virgin Islands", "VA" "Virginia", "WA" "Washington",
    "WV" "West Virginia", "WI" "Wisconsin", "WY" "Wyoming",
    "AM" "Atlantic south of Currituck Beach Light", "AN" "Atlantic north of Currituck Beach Light",
    "GM" "Gulf coastal waters", "LC" "Lake St. Clair", "LE" "Lake Erie", "LH" "Lake Huron", "LM" "Lake Michigan",
    "LO" "Lake Ontario", "LS" "Lake Superior", "PH" "Hawaiian waters", "PK" "Alaskan waters",
    "PM" "Waters of the western Pacific", "PS" "Waters of American Samoa", "PZ" "Pacific coastal waters",
    "SL" "St. Lawrence River",
];

/// Names that people use beside those above.
const ALIASES: &[(&str, &str)] = &[
    ("Washington DC", "DC"),
    ("Washington, DC", "DC"),
    ("Washington, D.C.", "DC"),
    ("D.C.", "DC"),
    ("US Virgin Islands", "VI"),
    ("U.S. Virgin Islands", "VI"),
    ("Micronesia", "FM"),
];

/// The area of that code or name, in any case.
pub(crate) fn find(text: &str) -> Result<&'static Area, WeatherError> {
    let text = text.trim();
    let code = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(text)).map_or(text, |(_, code)| code);
    let meant = |area: &&Area| area.code.eq_ignore_ascii_case(code) || area.name.eq_ignore_ascii_case(code);
    AREAS.iter().find(meant).ok_or_else(|| WeatherError::Arguments(unknown(text)))
}

fn unknown(text: &str) -> String {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return "`state` is no state; expected a code such as CA or a name such as California.".to_owned();
    }
    let near: Vec<_> =
        suggestions(text).take(SUGGESTED_MAX).map(|area| format!("{} ({})", area.code, area.name)).collect();
    let near = if near.is_empty() { String::new() } else { format!(" Perhaps one of: {}.", near.join(", ")) };
    format!(
        "`state` is {text:?}, which the National Weather Service has no alerts for; expected a code such as CA or a name such as California.{near}"
    )
}

fn suggestions(text: &str) -> impl Iterator<Item = &'static Area> {
    let beginning: String = text.chars().take(3).collect();
    AREAS.iter().filter(move |area| begins(area.name, &beginning))
}

/// The codes of areas whose code or name begins so, for completion.
pub(crate) fn complete(beginning: &str) -> Vec<String> {
    let beginning = beginning.trim();
    let fits = |area: &&Area| begins(area.code, beginning) || begins(area.name, beginning);
    AREAS.iter().filter(fits).map(|area| area.code.to_owned()).collect()
}

fn begins(text: &str, beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_state_is_refused_with_what_may_be_meant() {
        for text in
            ["", "  ", "XX", "C", "Calif", "CA/../admin", "CA,NY", "CA\r\nHost: x", "Ontario", &"x".repeat(9000)]
        {
            let refused = find(text).unwrap_err();
            assert_eq!(refused.code(), "INVALID_ARGUMENTS", "{text:?}");
            assert!(refused.to_string().len() < 400);
        }
        assert!(find("Calif").unwrap_err().to_string().contains("Perhaps one of: CA (California)."));
    }

    #[test]
    fn codes_and_names_are_understood_in_any_case() {
        for (text, code) in [("ca", "CA"), (" California ", "CA"), ("new york", "NY"), ("D.C.", "DC"), ("gm", "GM")] {
            assert_eq!(find(text).unwrap().code, code);
        }
    }

    #[test]
    fn completion_goes_by_code_and_by_name() {
        assert_eq!(complete("cal"), ["CA"]);
        assert_eq!(complete("N").len(), 9);
        assert_eq!(complete("").len(), AREAS.len());
        assert!(complete("é").is_empty());
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<_> = AREAS.iter().map(|area| area.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!((codes.len(), AREAS.len()), (74, 74));
    }
}
