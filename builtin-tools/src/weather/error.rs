//! What can go wrong with a call for weather, as the model may read it: a code, a sentence and what to try. No text here
//! has a URL in it, since one of the providers takes its key there.

/// Why there is no answer. Cloned to every caller that waits for the same request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeatherError {
    #[error("{0}")]
    Arguments(String),
    #[error("{0}")]
    NoSuchPlace(String),
    #[error("The National Weather Service has no forecast for that point; it covers only the US and its territories.")]
    NotCovered,
    #[error("{provider} asks for a pause: too many requests were made. Come again in {seconds} seconds.")]
    Limited { provider: &'static str, seconds: u64 },
    #[error("{provider} {why}.")]
    Unavailable { provider: &'static str, why: Why },
    #[error("{provider} refused the request (status {status}{said}).")]
    Refused { provider: &'static str, status: u16, said: String },
    #[error("{provider} does not accept the key that is configured here.")]
    Key { provider: &'static str },
    #[error("Too many requests for weather are under way.")]
    Crowded,
    #[error("The call was cancelled.")]
    Cancelled,
}

/// What a provider did instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error("cannot be reached")]
    Connect,
    #[error("did not answer in time")]
    Slow,
    #[error("broke off in the middle of its answer")]
    BrokeOff,
    #[error("answered with the status {0}")]
    Status(u16),
    #[error("answered with something that is not the JSON it documents")]
    Unreadable,
    #[error("answered with more than {0} bytes")]
    TooLarge(usize),
    #[error("sent the request on to another place, and it was not followed")]
    Redirect,
    #[error("cannot be asked: TLS could not be prepared on this machine")]
    Tls,
}

impl WeatherError {
    /// The class of the error.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Arguments(_) => "INVALID_ARGUMENTS",
            Self::NoSuchPlace(_) => "NO_SUCH_PLACE",
            Self::NotCovered => "NOT_COVERED",
            Self::Limited { .. } => "RATE_LIMITED",
            Self::Unavailable { why: Why::Slow, .. } => "TIMEOUT",
            Self::Unavailable { .. } | Self::Key { .. } => "UNAVAILABLE",
            Self::Refused { .. } => "REFUSED",
            Self::Crowded => "BUSY",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// What to try.
    const fn hint(&self) -> &'static str {
        match self {
            Self::Arguments(_) => "Compare the arguments with the tool's input schema.",
            Self::NoSuchPlace(_) => "Check the spelling, or add the region or country, as in `Springfield, Illinois`.",
            Self::NotCovered => "For other places call get_current_weather with a city.",
            Self::Limited { .. } => "Do not call again before that.",
            Self::Unavailable { .. } => "Try again in a minute; if it stays so, say that the weather is not known now.",
            Self::Refused { .. } => "Check the arguments; the same call would be refused again.",
            Self::Key { .. } => "Tell the person who runs this server.",
            Self::Crowded => "Wait a moment and call again.",
            Self::Cancelled => "Call again if the answer is still wanted.",
        }
    }

    /// Whether it may be over soon, so that an older answer is better than none.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Limited { .. } | Self::Unavailable { .. } | Self::Crowded)
    }

    /// Whether the same question would be answered so again for a while.
    pub(crate) const fn is_lasting(&self) -> bool {
        matches!(self, Self::NoSuchPlace(_) | Self::NotCovered)
    }

    /// All of it, as the text of a tool's error result.
    pub(crate) fn to_text(&self) -> String {
        format!("{}: {self} {}", self.code(), self.hint())
    }
}
