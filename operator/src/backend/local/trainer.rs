//! Where the trainer is: beside this program, where `MIXBENCH_TRAINER` says, or on the `PATH`.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::BackendError;

const NAME: &str = "mixbench-trainer";
/// Names the trainer where it does not lie beside `mixbench`.
pub const VARIABLE: &str = "MIXBENCH_TRAINER";

/// Finds the trainer.
///
/// # Errors
/// [`BackendError::NoTrainer`] says where it was looked for.
pub fn find() -> Result<PathBuf, BackendError> {
    let own = std::env::current_exe().ok();
    look(own.as_deref(), std::env::var_os(VARIABLE).as_deref(), std::env::var_os("PATH").as_deref())
}

fn look(own: Option<&Path>, named: Option<&OsStr>, path: Option<&OsStr>) -> Result<PathBuf, BackendError> {
    if let Some(named) = named.filter(|n| !n.is_empty()) {
        let named = Path::new(named);
        return if runs(named) {
            Ok(named.to_owned())
        } else {
            Err(BackendError::NoTrainer(format!("{VARIABLE} names {}, which is no program", named.display())))
        };
    }
    let beside = own.and_then(Path::parent).map(|folder| folder.join(NAME));
    let on_path = path.into_iter().flat_map(std::env::split_paths).map(|folder| folder.join(NAME));
    beside.clone().into_iter().chain(on_path).find(|p| runs(p)).ok_or_else(|| {
        let beside = beside.map_or(String::new(), |p| format!("it is neither {} nor on the PATH; ", p.display()));
        BackendError::NoTrainer(format!("{beside}build it with `make build`, or name it in {VARIABLE}"))
    })
}

fn runs(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn program(folder: &Path) -> PathBuf {
        let path = folder.join(NAME);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_variable_wins_then_the_neighbour_then_the_path() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = a.path().join("mixbench");
        let path = Some(b.path().as_os_str());
        let on_path = program(b.path());
        assert_eq!(look(Some(&own), None, path).unwrap(), on_path);
        let beside = program(a.path());
        assert_eq!(look(Some(&own), None, path).unwrap(), beside);
        assert_eq!(look(Some(&own), Some(on_path.as_os_str()), None).unwrap(), on_path);
    }

    #[test]
    fn the_remedy_is_named() {
        let error = look(Some(Path::new("/nowhere/mixbench")), None, None).unwrap_err().to_string();
        assert!(error.contains("/nowhere/mixbench-trainer") && error.contains(VARIABLE), "{error}");
        let error = look(None, Some(OsStr::new("/nowhere")), None).unwrap_err().to_string();
        assert!(error.contains("/nowhere"), "{error}");
    }
}
