//! Which pool a command is about.

use std::env;
use std::path::{Path, PathBuf};

use crate::daemon::{Kind, ServiceError, ServiceResult};

const VARIABLE: &str = "VOLFS_POOL";
const ROOTS_POOL: &str = "/var/lib/volfs";

/// A pool's folder, and whether somebody named it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PoolLocation {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// By option or environment; else it is the default.
    pub(crate) named: bool,
}

impl PoolLocation {
    /// The option, the environment, or the default.
    pub(crate) fn find(option: Option<PathBuf>) -> ServiceResult<PoolLocation> {
        let variable = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let named = option.or_else(|| variable(VARIABLE));
        let is_named = named.is_some();
        let path = match named {
            Some(path) => path,
            None => default_pool(
                rustix::process::geteuid().is_root(),
                variable("XDG_DATA_HOME"),
                variable("HOME"),
            )?,
        };
        let path = std::path::absolute(&path)
            .map_err(|error| ServiceError::environment("resolve", &path, &error))?;
        Ok(PoolLocation {
            path,
            named: is_named,
        })
    }

    /// Nobody named a pool, and the default one does not exist: there is simply nothing yet.
    pub(crate) fn is_missing_default(&self) -> bool {
        !self.named && !Path::exists(&self.path)
    }
}

fn default_pool(
    root: bool,
    data_home: Option<PathBuf>,
    home: Option<PathBuf>,
) -> ServiceResult<PathBuf> {
    if root {
        return Ok(ROOTS_POOL.into());
    }
    // The XDG specification tells to ignore a relative path.
    let data_home = data_home.filter(|path| path.is_absolute());
    let data_home = data_home.or_else(|| home.map(|home| home.join(".local/share")));
    data_home.map(|folder| folder.join("volfs")).ok_or_else(|| {
        ServiceError::new(
            Kind::Usage,
            "which pool? neither HOME nor XDG_DATA_HOME is set",
        )
        .hint(format!("name it with --pool DIR or {VARIABLE}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root's pool is the system's, a user's lies in the data folder of the XDG specification.
    #[test]
    fn defaults_follow_the_user() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            default_pool(true, path("/x"), path("/h")).unwrap(),
            Path::new("/var/lib/volfs")
        );
        assert_eq!(
            default_pool(false, path("/x"), path("/h")).unwrap(),
            Path::new("/x/volfs")
        );
        assert_eq!(
            default_pool(false, path("relative"), path("/h")).unwrap(),
            Path::new("/h/.local/share/volfs")
        );
        assert_eq!(
            default_pool(false, None, None).unwrap_err().kind,
            Kind::Usage
        );
    }

    /// A named pool is made absolute and remembered as named.
    #[test]
    fn a_named_pool_is_absolute() {
        let location = PoolLocation::find(Some("some/pool".into())).unwrap();
        assert!(location.path.is_absolute() && location.path.ends_with("some/pool"));
        assert!(location.named && !location.is_missing_default());
    }
}
