//! The operator's list of commands: which names and programs it may hold.

use std::collections::BTreeMap;

use super::{Lower, seconds, size};
use crate::{
    gateway::{StdioCommand, StdioConfig},
    path::FieldPath,
    schema::{CommandFile, StdioFile},
};

/// The longest name of a command.
const COMMAND_BYTES_MAX: usize = 400;

impl Lower<'_, '_> {
    pub(super) fn stdio(&mut self, file: StdioFile) -> StdioConfig {
        StdioConfig {
            commands: self.commands(&FieldPath::of(["stdio", "commands"]), file.commands),
            children_per_tenant_max: size(file.children_per_tenant_max),
            idle_stop: (file.idle_stop_s > 0).then(|| seconds(file.idle_stop_s)),
            start_timeout: seconds(file.start_timeout_s),
        }
    }

    /// The commands of `stdio.commands`, or of the file of trusted commands, which has the same shape.
    pub(crate) fn commands(
        &mut self,
        field: &FieldPath,
        files: BTreeMap<String, CommandFile>,
    ) -> BTreeMap<String, StdioCommand> {
        let mut commands = BTreeMap::new();
        for (name, file) in files {
            let field = field.key(&name);
            if let Err(why) = check_command_name(&name) {
                self.report.meaning(&field, why);
            }
            if let Err(why) = check_command_path(&file.path) {
                self.report.meaning(&field.key("path"), why);
            }
            let CommandFile { path, args_prefix, description } = file;
            commands.insert(name, StdioCommand { path: path.into(), args_prefix, description });
        }
        commands
    }
}

/// Whether tenants may call a command by this name.
pub(crate) fn check_command_name(name: &str) -> Result<(), &'static str> {
    let good = !name.is_empty()
        && name.len() <= COMMAND_BYTES_MAX
        && name.trim() == name
        && !name.starts_with('-')
        && !name.chars().any(char::is_control);
    if good {
        Ok(())
    } else {
        Err("expected the name of a command: 1 to 400 visible characters, not starting with `-`")
    }
}

/// Whether a program may be named like this: absolute, or a bare name. Anything else would depend on the folder in which
/// the gateway happens to be started.
pub(crate) fn check_command_path(path: &str) -> Result<(), &'static str> {
    let bare = !path.contains('/') && !matches!(path, "" | "." | "..");
    if (bare || path.starts_with('/')) && !path.contains('\0') {
        Ok(())
    } else {
        Err("expected an absolute path, or a bare name that is looked up on PATH")
    }
}
