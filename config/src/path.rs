//! The way from the top of a file to a field, as people write it: `servers.github.tools.allow[1]`.

use std::fmt;

/// A field of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldPath(Vec<Step>);

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

impl FieldPath {
    pub(crate) fn of<const N: usize>(keys: [&str; N]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    pub(crate) fn key(&self, key: impl fmt::Display) -> Self {
        self.step(Step::Key(key.to_string()))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// The path of these steps, the last one first.
    pub(crate) fn of_reversed(mut steps: Vec<Step>) -> Self {
        steps.reverse();
        Self(steps)
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(crate) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The same as a JSON pointer (RFC 6901); empty for the whole document.
    pub(crate) fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.0 {
            pointer.push('/');
            match step {
                Step::Index(index) => pointer.push_str(&index.to_string()),
                Step::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            }
        }
        pointer
    }

    /// The last key, which says what kind of value the field holds.
    pub(crate) fn last_key(&self) -> &str {
        let keys = self.0.iter().rev();
        let mut keys = keys.filter_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None });
        keys.next().unwrap_or_default()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-/@".contains(c);
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let dot = if at > 0 { "." } else { "" };
                    if !key.is_empty() && key.chars().all(plain) {
                        write!(f, "{dot}{key}")?;
                    } else {
                        write!(f, "{dot}{:?}", key.chars().take(80).collect::<String>())?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_can_be_followed_whatever_the_keys_are() {
        let document = serde_json::json!({ "a/b": { "m~n": ["x", { "": { ".~1": 1 } }] } });
        let path = FieldPath::of(["a/b", "m~n"]).index(1).key("").key(".~1");
        assert_eq!(path.pointer(), "/a~1b/m~0n/1//.~01");
        assert_eq!(document.pointer(&path.pointer()), Some(&serde_json::json!(1)));
        assert_eq!(FieldPath::default().pointer(), "");
    }

    #[test]
    fn paths_read_like_paths() {
        let path = FieldPath::of(["servers", "a b"]).key("allow").index(1);
        assert_eq!(path.to_string(), "servers.\"a b\".allow[1]");
        assert_eq!(path.last_key(), "allow");
        assert_eq!(path.key("*/x~y").pointer(), "/servers/a b/allow/1/*~1x~0y");
        assert!(path.starts_with(&FieldPath::of(["servers"])));
        assert!(!path.starts_with(&FieldPath::of(["server"])));
    }
}
