//! What the page asks of systemd, done by the test itself, so that no gateway outlives it: services from the unit file that the page
//! writes, with its environment and its command. Knows nothing of what is started.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use patchbay_e2e::process::{Running, command};

/// Stands for `systemctl` and `journalctl`: hands the question to the test and waits for the answer.
pub(super) const ASK: &str = r#"#!/bin/sh
set -eu
verb=$1
[ "${0##*/}" = systemctl ] || verb=log
[ "$verb" != daemon-reload ] || exit 0
for word in "$@"; do
    case $word in *@*) ;; *) continue ;; esac
    echo "$verb ${word#*@}" > "$WALK/ask.new"
    mv "$WALK/ask.new" "$WALK/ask"
    until [ -e "$WALK/answer" ]; do sleep 0.05; done
    code=$(head -n 1 "$WALK/answer")
    sed 1d "$WALK/answer"
    rm "$WALK/answer"
    [ "$code" = 0 ] || exit "$code"
done
"#;

/// See the module.
pub(super) struct Systemd {
    root: PathBuf,
    services: BTreeMap<String, Service>,
}

#[derive(Default)]
struct Service {
    process: Option<Running>,
    /// What earlier processes of it have logged.
    log: String,
}

impl Systemd {
    pub(super) fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), services: BTreeMap::new() }
    }

    /// Does what is asked now, if anything is.
    pub(super) fn serve(&mut self) {
        let run = self.root.join("run");
        let Ok(asked) = fs::read_to_string(run.join("ask")) else { return };
        fs::remove_file(run.join("ask")).unwrap();
        let answer = match self.done(asked.trim()) {
            Ok(text) => format!("0\n{text}"),
            Err(why) => format!("1\n{why}\n"),
        };
        fs::write(run.join("answer.new"), answer).unwrap();
        fs::rename(run.join("answer.new"), run.join("answer")).unwrap();
    }

    fn done(&mut self, asked: &str) -> Result<String, String> {
        let (verb, instance) = asked.split_once(' ').ok_or("nothing is asked")?;
        match verb {
            "start" | "enable" => self.start(instance)?,
            "stop" => self.stop(instance)?,
            "restart" => {
                self.stop(instance)?;
                self.start(instance)?;
            }
            "log" => return Ok(self.services.get(instance).map(Service::whole_log).unwrap_or_default()),
            other => return Err(format!("systemctl {other}: nobody has taught this to the tests")),
        }
        Ok(String::new())
    }

    fn start(&mut self, instance: &str) -> Result<(), String> {
        let unit = fs::read_to_string(self.root.join("etc/systemd/system/patchbay@.service"));
        let unit = unit.map_err(|error| format!("the unit cannot be read: {error}"))?.replace("%i", instance);
        let setting = |name: &str| {
            let name = format!("{name}=");
            unit.lines().filter_map(|line| line.strip_prefix(&name)).map(str::to_owned).collect::<Vec<_>>()
        };
        let exec = setting("ExecStart").pop().ok_or("the unit says no ExecStart")?;
        let mut words = exec.split_whitespace();
        let mut process = command(Path::new(words.next().unwrap_or_default()), words);
        process.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir(&self.root);
        process.envs(setting("Environment").iter().filter_map(|pair| pair.split_once('=')));
        for file in setting("EnvironmentFile") {
            let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
            process.envs(text.lines().filter_map(|line| line.split_once('=')));
        }
        for folder in setting("StateDirectory") {
            fs::create_dir_all(self.root.join("var/lib").join(folder)).map_err(|error| error.to_string())?;
        }
        let service = self.services.entry(instance.to_owned()).or_default();
        if service.process.is_none() {
            service.process = Some(Running::start(&mut process));
        }
        Ok(())
    }

    fn stop(&mut self, instance: &str) -> Result<(), String> {
        let Some(service) = self.services.get_mut(instance) else { return Ok(()) };
        let Some(mut process) = service.process.take() else { return Ok(()) };
        process.signal(Signal::SIGTERM);
        let status = process.ended();
        let (out, err) = process.collected();
        service.log.push_str(&out);
        service.log.push_str(&err);
        if status.success() { Ok(()) } else { Err(format!("patchbay@{instance} ended with {status}")) }
    }

    /// Stops all services.
    pub(super) fn stop_all(&mut self) {
        let names: Vec<_> = self.services.keys().cloned().collect();
        names.iter().for_each(|name| self.stop(name).unwrap());
    }

    /// What all services have logged.
    pub(super) fn logs(&self) -> String {
        self.services.iter().fold(String::new(), |mut all, (name, service)| {
            let _ = writeln!(all, "--- the log of {name} ---\n{}", service.whole_log());
            all
        })
    }
}

impl Service {
    fn whole_log(&self) -> String {
        let running = self.process.as_ref().map(|process| process.out() + &process.err());
        self.log.clone() + &running.unwrap_or_default()
    }
}
