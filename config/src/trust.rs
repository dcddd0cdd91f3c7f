//! Commands that were put on the operator's list at run time, by `import --trust-commands`.
//!
//! They are kept in a file of the data folder, beside `patchbay.yaml`, which stays the operator's own. The file has the
//! shape of `stdio.commands`; where both name a command, `patchbay.yaml` wins.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::{
    check::check,
    environment::Environment,
    error::{ConfigErrors, Report},
    gateway::StdioCommand,
    load::read,
    lower::{Lower, check_command_name, check_command_path},
    node::Node,
    path::FieldPath,
    schema::CommandFile,
    secret::resolver,
};

/// The file's name in the data folder.
pub(crate) const FILE_NAME: &str = "trusted-commands.yaml";

const HEAD: &str =
    "# Commands trusted by `patchbay import --trust-commands`; same shape as stdio.commands in patchbay.yaml.\n";

/// Why commands could not be put on the operator's list.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A name that no command may have.
    #[error("the command {0:?} cannot be trusted: {1}")]
    Name(String, &'static str),
    /// What is in the file already cannot be understood.
    #[error("the list of trusted commands has to be repaired first:\n{0}")]
    Unreadable(#[source] ConfigErrors),
    /// The file cannot be written.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, #[source] io::Error),
}

/// Puts the commands on the list in the file at `path` ([`crate::GatewayConfig::trusted_commands_path`]) and tells which
/// of them are new there. The file is replaced as a whole, readable by its owner alone; its folder is made when it is
/// missing and is locked meanwhile, so that of two imports at once none is lost.
pub fn trust_commands(path: &Path, names: &BTreeSet<String>) -> Result<BTreeSet<String>, TrustError> {
    for name in names {
        let good = check_command_name(name).and_then(|()| check_command_path(name));
        good.map_err(|why| TrustError::Name(name.clone(), why))?;
    }
    let unwritable = |error| TrustError::Write(path.to_owned(), error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(unwritable)?;
    let lock = fs::File::open(folder).map_err(unwritable)?;
    lock.lock().map_err(unwritable)?;

    let mut commands = read_files(path).map_err(TrustError::Unreadable)?;
    let fresh: BTreeSet<String> = names.iter().filter(|name| !commands.contains_key(*name)).cloned().collect();
    if fresh.is_empty() {
        return Ok(fresh);
    }
    for name in &fresh {
        let file = CommandFile { path: name.clone(), args_prefix: Vec::new(), description: None };
        commands.insert(name.clone(), file);
    }
    replace(path, &commands).map_err(unwritable)?;
    lock.sync_all().map_err(unwritable)?;
    Ok(fresh)
}

fn replace(path: &Path, commands: &BTreeMap<String, CommandFile>) -> io::Result<()> {
    let text = serde_saphyr::to_string(commands).map_err(io::Error::other)?;
    let temporary = path.with_extension(format!("yaml.{}", std::process::id()));
    // What a crash left behind under this name is of no use to anybody.
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(format!("{HEAD}{text}").as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// The commands in the file, checked; none if there is no file. [`crate::load()`] has them in the configuration; a gateway that
/// runs looks here again for a command that it does not know.
///
/// # Errors
/// When the file cannot be read, or what is in it cannot be understood.
pub fn trusted_commands(path: &Path) -> Result<BTreeMap<String, StdioCommand>, ConfigErrors> {
    let name = path.display().to_string();
    let files = read_files(path)?;
    let (env, root) = (Environment::default(), Node::empty());
    let mut lower =
        Lower { report: Report::new(&name, &root), resolve: &resolver(&env, Path::new("")), folder: Path::new("") };
    let commands = lower.commands(&FieldPath::default(), files);
    lower.report.finish(Some(commands))
}

fn read_files(path: &Path) -> Result<BTreeMap<String, CommandFile>, ConfigErrors> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let name = path.display().to_string();
    let root = Node::parse(&read(path)?, &name)?;
    let schema = schemars::schema_for!(BTreeMap<String, CommandFile>).to_value();
    let mut report = Report::new(&name, &root);
    let json = check(&root, &schema, &mut report);
    report.finish(serde_json::from_value(json).ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn relative_paths_and_options_are_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        for bad in ["./run.sh", "a/b", "", "..", "-x", "a\nb"] {
            let said = trust_commands(&path, &names(&["npx", bad])).unwrap_err().to_string();
            assert!(said.contains("cannot be trusted: expected"), "{bad}: {said}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn trusted_commands_are_kept_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join(FILE_NAME);
        assert_eq!(trust_commands(&path, &names(&["npx", "/opt/it's: a #tool"])).unwrap().len(), 2);
        assert_eq!(trust_commands(&path, &names(&["npx", "uvx"])).unwrap(), names(&["uvx"]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let commands = trusted_commands(&path).unwrap();
        assert_eq!(commands.into_keys().collect::<BTreeSet<_>>(), names(&["npx", "uvx", "/opt/it's: a #tool"]));
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_list_is_neither_believed_nor_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, "npx: {pth: npx}\n").unwrap();
        let said = trust_commands(&path, &names(&["uvx"])).unwrap_err().to_string();
        assert!(said.contains("trusted-commands.yaml:1:7: npx.pth: no such field; did you mean `path`?"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "npx: {pth: npx}\n");
        fs::write(&path, "npx: {path: ./npx}\n").unwrap();
        assert!(trusted_commands(&path).is_err());
    }
}
