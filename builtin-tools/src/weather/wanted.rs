//! The place that a caller means: a city, and the regions it is in as far as they were named. Checked once, here.

use super::{error::WeatherError, states};

/// The longest name of a city or country, in characters.
const CHARS_MAX: usize = 100;
/// The most parts of `city, region, country`.
const PARTS_MAX: usize = 4;
/// What people call countries that the geocoding names otherwise.
const COUNTRIES: &[(&str, &str)] =
    &[("UK", "GB"), ("USA", "US"), ("U.S.", "US"), ("U.S.A.", "US"), ("Great Britain", "GB"), ("England", "GB")];
const UNITED_STATES: &str = "US";

/// A place by its names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    city: String,
    regions: Vec<String>,
}

/// Where a place is.
#[derive(Debug)]
pub(crate) struct Region<'a> {
    pub(crate) country_code: &'a str,
    pub(crate) country: &'a str,
    pub(crate) region: &'a str,
}

impl Wanted {
    /// Reads the arguments of a call. The city may carry its region and country, as in `Portland, Oregon`.
    pub(crate) fn parse(city: &str, country: Option<&str>) -> Result<Self, WeatherError> {
        checked("city", city)?;
        let mut parts = city.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
        let city = parts.next().ok_or_else(|| WeatherError::Arguments("`city` has no name in it.".to_owned()))?;
        let mut regions: Vec<_> = parts.collect();
        if let Some(country) = country {
            checked("country", country)?;
            regions.push(country.trim().to_owned());
        }
        if regions.len() >= PARTS_MAX {
            return Err(WeatherError::Arguments(
                "`city` has too many parts; expected `city, region, country`.".to_owned(),
            ));
        }
        Ok(Self { city, regions })
    }

    /// The city alone.
    pub(crate) fn city(&self) -> &str {
        &self.city
    }

    /// All that was said.
    pub(crate) fn label(&self) -> String {
        let parts: Vec<_> = std::iter::once(&self.city).chain(&self.regions).map(String::as_str).collect();
        parts.join(", ")
    }

    /// Whether the place is in all the regions that were named.
    pub(crate) fn is_in(&self, place: &Region<'_>) -> bool {
        self.regions.iter().all(|named| is_in(named, place))
    }
}

fn is_in(named: &str, place: &Region<'_>) -> bool {
    let country = COUNTRIES.iter().find(|(said, _)| said.eq_ignore_ascii_case(named)).map_or(named, |(_, code)| code);
    let same = |other: &str| other.to_lowercase() == named.to_lowercase();
    let state = || {
        place.country_code == UNITED_STATES && states::find(named).is_ok_and(|area| same_text(area.name, place.region))
    };
    place.country_code.eq_ignore_ascii_case(country) || same(place.country) || same(place.region) || state()
}

fn same_text(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn checked(argument: &str, text: &str) -> Result<(), WeatherError> {
    let chars = text.trim().chars().count();
    if !(1..=CHARS_MAX).contains(&chars) || text.chars().any(char::is_control) {
        return Err(WeatherError::Arguments(format!(
            "`{argument}` cannot be used; expected a name of 1 to {CHARS_MAX} characters without control characters."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXAS: Region<'static> = Region { country_code: "US", country: "United States", region: "Texas" };
    const FRANCE: Region<'static> = Region { country_code: "FR", country: "France", region: "Île-de-France" };

    #[test]
    fn names_that_are_none_are_refused() {
        let long = "x".repeat(101);
        for city in ["", "  ", ",", " , ,", "a\r\nHost: evil", "a\0", "a,b,c,d,e", &long] {
            assert_eq!(Wanted::parse(city, None).unwrap_err().code(), "INVALID_ARGUMENTS", "{city:?}");
        }
        assert!(Wanted::parse("Paris", Some("")).is_err());
    }

    #[test]
    fn regions_pick_among_places_of_one_name() {
        for (said, in_texas, in_france) in [
            ("Paris", true, true),
            ("Paris, Texas", true, false),
            ("Paris, TX, USA", true, false),
            ("Paris, île-de-france", false, true),
            ("Paris, FR", false, true),
            ("Paris, Texas, France", false, false),
        ] {
            let wanted = Wanted::parse(said, None).unwrap();
            assert_eq!((wanted.is_in(&TEXAS), wanted.is_in(&FRANCE)), (in_texas, in_france), "{said}");
        }
        let wanted = Wanted::parse(" Paris ", Some("france")).unwrap();
        assert_eq!((wanted.city(), wanted.is_in(&FRANCE), wanted.label()), ("Paris", true, "Paris, france".to_owned()));
    }
}
