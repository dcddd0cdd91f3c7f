//! A container without an engine: the image's file system in a folder, and the program in it, with nothing of this machine but
//! its network. Which ways the kernel allows is found out; each is used where all of them should be.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use patchbay_e2e::{
    Outcome,
    process::{Mark, Running, command, descendants, run},
    programs::program,
    wait::block_until,
};
use tempfile::TempDir;

use crate::eyes::prometheus::root as repository;

/// Where the program is in the image.
const PROGRAM: &str = "/usr/local/bin/patchbay";
/// What an engine sets when nobody says anything.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes a container's view: the image read-only but for its volume, devices, a table of processes of its own; then the program
/// as uid 10001, which owns what we own here, and is the first process.
const NAMESPACES: &str = r#"
set -e
root=$1; shift
mount --bind "$root" "$root"
mount --bind "$root/var/lib/patchbay" "$root/var/lib/patchbay"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
exec unshare --user --map-user=10001 --map-group=10001 --root="$root" --wd=/var/lib/patchbay "$@"
"#;

/// Where no namespaces may be made, and we are root: another root folder, and uid 10001 in earnest, which can write to nothing
/// but the volume.
const CHROOT: &str = r#"
set -e
root=$1; shift
[ -e "$root/dev/null" ] || cp -a /dev/null /dev/urandom "$root/dev/"
chown -R 10001:10001 "$root/var/lib/patchbay"
exec unshare --root="$root" --wd=/var/lib/patchbay --setgid=10001 --setuid=10001 "$@"
"#;

/// A way to run a program in another root folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cage {
    /// As a container.
    Namespaces,
    /// With the root folder alone.
    Chroot,
}

impl Cage {
    /// The ways that this kernel allows us, the best first.
    pub(super) fn all() -> &'static [Self] {
        static ALLOWED: LazyLock<Vec<Cage>> = LazyLock::new(|| {
            let found: Vec<_> = [Cage::Namespaces, Cage::Chroot].into_iter().filter(|cage| cage.is_allowed()).collect();
            if found.is_empty() {
                say_skipped();
            }
            found
        });
        &ALLOWED
    }

    /// The best way.
    pub(super) fn any() -> Option<Self> {
        Self::all().first().copied()
    }

    fn is_allowed(self) -> bool {
        let args: &[&str] = match self {
            Self::Namespaces => &["--user", "--map-root-user", "--mount", "--pid", "--fork", "/bin/true"],
            Self::Chroot if geteuid().is_root() => &["--root=/", "/bin/true"],
            Self::Chroot => return false,
        };
        Command::new("unshare").args(args).output().is_ok_and(|out| out.status.success())
    }

    fn command(self, root: &Root, env: &[(&str, &str)], args: &[&str]) -> Command {
        let folder = root.folder.path().to_str().unwrap();
        let before: &[&str] = match self {
            Self::Namespaces => {
                &["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", NAMESPACES]
            }
            Self::Chroot => &["sh", "-c", CHROOT],
        };
        let all = before.iter().copied().chain(["sh", folder, PROGRAM]).chain(args.iter().copied());
        let mut command = command(Path::new("unshare"), all);
        command.env_clear().env("PATH", PATH).envs(env.iter().copied());
        command
    }

    /// Runs the program to its end.
    pub(super) fn run(self, root: &Root, env: &[(&str, &str)], args: &[&str]) -> Outcome {
        run(&mut self.command(root, env, args))
    }

    /// Starts the program.
    pub(super) fn start(self, root: &Root, env: &[(&str, &str)], args: &[&str]) -> Inside {
        Inside { process: Running::start(&mut self.command(root, env, args)) }
    }
}

#[expect(clippy::print_stderr, reason = "that nothing was shown has to be seen")]
fn say_skipped() {
    eprintln!(
        "SKIPPED: this kernel allows neither user namespaces (unshare --user --map-root-user --mount --pid) nor, since we are \
         not root, another root folder; whether the image's file system is whole was not looked at"
    );
}

/// A program that runs in a cage.
pub(super) struct Inside {
    /// What was started to make the cage, with the program's words.
    pub(super) process: Running,
}

/// The program itself, as seen from outside.
pub(super) struct Program {
    /// Its number here.
    pub(super) pid: u32,
}

impl Inside {
    /// The program, once what makes the cage has made way for it.
    pub(super) fn program(&self) -> Program {
        let mut found = None;
        block_until("the program runs", || {
            let all = descendants(self.process.pid()).into_iter().chain(Mark::of(self.process.pid()));
            found = all.into_iter().find(|mark| mark.command.split(' ').next() == Some(PROGRAM));
            found.is_some()
        });
        Program { pid: found.unwrap().pid }
    }
}

impl Program {
    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid.cast_signed()), signal).unwrap();
    }
}

/// The image's file system.
pub(super) struct Root {
    folder: TempDir,
}

impl Root {
    /// A fresh one, of the program under test, by the script that the Dockerfile runs.
    pub(super) fn assemble() -> Self {
        let root = Self { folder: TempDir::with_prefix("patchbay-e2e-image-").unwrap() };
        root.assemble_again().good();
        // The folder of a test is closed to others, but in an image the root folder is open.
        fs::set_permissions(root.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        root
    }

    /// Runs the script once more.
    pub(super) fn assemble_again(&self) -> Outcome {
        run(&mut command(&repository().join("image/rootfs.sh"), [&program("patchbay"), self.folder.path()]))
    }

    /// The place of a file of the image.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file into it, as an image made from it, or a mount, would.
    pub(super) fn write(&self, name: &str, bytes: &[u8], mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// All files of it, by their paths without the slash at the beginning.
    pub(super) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path();
                    found.push(path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}
