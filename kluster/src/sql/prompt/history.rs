//! History: where the lines of earlier sessions are kept.

use std::path::{Path, PathBuf};

/// Where lines are kept; None: nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History(pub Option<PathBuf>);

impl History {
    /// The file given by hand, `none`, or the usual place.
    pub fn at(given: Option<&Path>) -> Self {
        match given {
            Some(file) if file == Path::new("none") => Self(None),
            Some(file) => Self(Some(file.to_owned())),
            None => {
                let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
                Self(usual(set("XDG_STATE_HOME"), set("HOME")))
            }
        }
    }
}

/// `kluster/history` among the user's state (<https://specifications.freedesktop.org/basedir-spec>: relative paths do not count).
fn usual(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let state = state.filter(|path| path.is_absolute());
    let state = state.or_else(|| home.map(|home| home.join(".local/state")))?;
    Some(state.join("kluster/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_given_usual_or_none() {
        assert_eq!(History::at(Some(Path::new("none"))), History(None));
        assert_eq!(History::at(Some(Path::new("h"))), History(Some("h".into())));
        assert_eq!(usual(Some("/state".into()), Some("/me".into())), Some("/state/kluster/history".into()));
        assert_eq!(usual(Some("state".into()), Some("/me".into())), Some("/me/.local/state/kluster/history".into()));
        assert_eq!(usual(None, None), None);
    }
}
