//! Documents as the providers' references describe them, with what we do not read left in.

use serde_json::{Value, json};

/// An alert of the National Weather Service.
pub(crate) fn alert(event: &str, severity: &str) -> Value {
    json!({
        "id": "https://api.weather.gov/alerts/urn:oid:2.49.0.1.840.0.1",
        "type": "Feature",
        "geometry": { "type": "Polygon", "coordinates": [[[-121.5, 38.5], [-121.4, 38.5], [-121.4, 38.6], [-121.5, 38.5]]] },
        "properties": {
            "@id": "https://api.weather.gov/alerts/urn:oid:2.49.0.1.840.0.1",
            "id": "urn:oid:2.49.0.1.840.0.1",
            "areaDesc": "Lower River Valley; Eastern Hills",
            "geocode": { "SAME": ["006067"], "UGC": ["CAZ017"] },
            "sent": "2026-11-21T03:12:00-08:00",
            "effective": "2026-11-21T03:12:00-08:00",
            "onset": "2026-11-21T06:00:00-08:00",
            "expires": "2026-11-21T18:00:00-08:00",
            "ends": "2026-11-22T04:00:00-08:00",
            "status": "Actual",
            "messageType": "Alert",
            "category": "Met",
            "severity": severity,
            "certainty": "Likely",
            "urgency": "Expected",
            "event": event,
            "senderName": "NWS Sacramento CA",
            "headline": format!("{event} in force until four in the morning"),
            "description": "* WHAT...Water over low roads.\r\n\r\n* WHERE...Along the lower river.",
            "instruction": "Stay away from the banks.\nDo not drive into water.",
            "response": "Avoid",
            "parameters": { "NWSheadline": ["WATER OVER LOW ROADS"] }
        }
    })
}

/// The active alerts of an area.
pub(crate) fn alerts(features: &[Value]) -> Value {
    json!({
        "@context": ["https://geojson.org/geojson-ld/geojson-context.jsonld", { "@version": "1.1" }],
        "type": "FeatureCollection",
        "features": features,
        "title": "Current watches, warnings, and advisories",
        "updated": "2026-11-21T11:58:00+00:00"
    })
}

/// What a point is to the National Weather Service, whose links lead to its own address.
pub(crate) fn point() -> Value {
    json!({
        "id": "https://api.weather.gov/points/37.7749,-122.4194",
        "type": "Feature",
        "geometry": { "type": "Point", "coordinates": [-122.4194, 37.7749] },
        "properties": {
            "@type": "wx:Point",
            "cwa": "MTR",
            "gridId": "MTR",
            "gridX": 85,
            "gridY": 105,
            "forecast": "https://api.weather.gov/gridpoints/MTR/85,105/forecast",
            "forecastHourly": "https://api.weather.gov/gridpoints/MTR/85,105/forecast/hourly",
            "relativeLocation": {
                "type": "Feature",
                "properties": { "city": "San Francisco", "state": "CA", "distance": { "unitCode": "wmoUnit:m", "value": 1.2 } }
            },
            "timeZone": "America/Los_Angeles"
        }
    })
}

/// Seven days and nights.
pub(crate) fn forecast() -> Value {
    let period = |number: i32| {
        let day = number % 2 == 1;
        json!({
            "number": number,
            "name": if day { format!("Day {number}") } else { format!("Night {number}") },
            "startTime": "2026-11-21T06:00:00-08:00",
            "endTime": "2026-11-21T18:00:00-08:00",
            "isDaytime": day,
            "temperature": if day { 61 } else { 48 },
            "temperatureUnit": "F",
            "temperatureTrend": null,
            "probabilityOfPrecipitation": { "unitCode": "wmoUnit:percent", "value": if day { json!(20) } else { json!(null) } },
            "windSpeed": "5 to 10 mph",
            "windDirection": "NW",
            "icon": "https://api.weather.gov/icons/land/day/few?size=medium",
            "shortForecast": "Mostly Sunny",
            "detailedForecast": "Mostly sunny, with a light wind from the bay."
        })
    };
    json!({
        "type": "Feature",
        "geometry": null,
        "properties": {
            "units": "us",
            "generatedAt": "2026-11-21T11:50:00+00:00",
            "updateTime": "2026-11-21T10:30:00+00:00",
            "validTimes": "2026-11-21T04:00:00+00:00/P7DT21H",
            "periods": (1..=14).map(period).collect::<Vec<_>>()
        }
    })
}

/// The refusal of a point that is not in the US.
pub(crate) fn unknown_point() -> Value {
    json!({
        "correlationId": "1a2b3c",
        "title": "Data Unavailable For Requested Point",
        "type": "https://api.weather.gov/problems/InvalidPoint",
        "status": 404,
        "detail": "Nothing is known of this point",
        "instance": "https://api.weather.gov/requests/1a2b3c"
    })
}

/// A place of Open-Meteo's geocoding.
pub(crate) fn place(name: &str, region: &str, country: &str, code: &str, latitude: f64) -> Value {
    json!({
        "id": 1, "name": name, "latitude": latitude, "longitude": 2.3488, "elevation": 42.0, "feature_code": "PPLC",
        "country_code": code, "admin1_id": 2, "timezone": "Europe/Paris", "population": 2138551,
        "country_id": 3, "country": country, "admin1": region
    })
}

pub(crate) fn places(results: &[Value]) -> Value {
    if results.is_empty() {
        return json!({ "generationtime_ms": 0.4 });
    }
    json!({ "results": results, "generationtime_ms": 0.7 })
}

/// Three places called Paris.
pub(crate) fn parises() -> Value {
    places(&[
        place("Paris", "Île-de-France", "France", "FR", 48.85341),
        place("Paris", "Texas", "United States", "US", 33.66094),
        place("Paris", "Ontario", "Canada", "CA", 43.2),
    ])
}

/// The weather now by Open-Meteo.
pub(crate) fn meteo() -> Value {
    json!({
        "latitude": 48.86, "longitude": 2.3599997, "generationtime_ms": 0.1, "utc_offset_seconds": 3600,
        "timezone": "Europe/Paris", "timezone_abbreviation": "GMT+1", "elevation": 38.0,
        "current_units": { "time": "iso8601", "interval": "seconds", "temperature_2m": "°C" },
        "current": {
            "time": "2026-11-21T13:15", "interval": 900, "temperature_2m": 9.4, "relative_humidity_2m": 81,
            "apparent_temperature": 6.9, "is_day": 1, "precipitation": 0.2, "weather_code": 61, "cloud_cover": 96,
            "pressure_msl": 1012.3, "wind_speed_10m": 14.8, "wind_direction_10m": 230, "wind_gusts_10m": 33.1
        }
    })
}

/// The weather now by WeatherAPI.
pub(crate) fn wapi() -> Value {
    json!({
        "location": {
            "name": "Paris", "region": "Ile-de-France", "country": "France", "lat": 48.867, "lon": 2.333,
            "tz_id": "Europe/Paris", "localtime_epoch": 1795263600, "localtime": "2026-11-21 13:20"
        },
        "current": {
            "last_updated_epoch": 1795263300, "last_updated": "2026-11-21 13:15", "temp_c": 9.0, "temp_f": 48.2, "is_day": 1,
            "condition": { "text": "Patchy rain", "icon": "//cdn.example/day/176.png", "code": 1063 },
            "wind_kph": 15.1, "wind_degree": 225, "wind_dir": "SW", "pressure_mb": 1012.0, "precip_mm": 0.1,
            "humidity": 82, "cloud": 100, "feelslike_c": 6.6, "vis_km": 10.0, "uv": 1.0, "gust_kph": 31.0
        }
    })
}
