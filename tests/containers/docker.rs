//! The two programs that make containers: docker and docker compose, which has two names.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Runs `docker`; the answer is what it said. Anything but success fails the case.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    said("docker", Command::new("docker").args(arguments))
}

/// As [`docker`], but a failure is an answer as well.
pub fn try_docker(arguments: &[&str]) -> Option<String> {
    let output = Command::new("docker").args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    output.status.success().then(|| String::from_utf8_lossy(&text).trim().to_owned())
}

/// Runs a compose command on the topology with these variables.
#[track_caller]
pub fn compose(environment: &[(String, String)], arguments: &[&str]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("containers/compose.yml");
    let mut command = compose_command();
    command.arg("-f").arg(file).args(arguments);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    said("docker compose", &mut command);
}

/// The plugin of the docker command where it is there, else the program of its own.
fn compose_command() -> Command {
    static PLUGIN: OnceLock<bool> = OnceLock::new();
    if *PLUGIN.get_or_init(|| try_docker(&["compose", "version"]).is_some()) {
        let mut command = Command::new("docker");
        command.arg("compose");
        return command;
    }
    Command::new("docker-compose")
}

#[track_caller]
fn said(name: &str, command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{name} does not run: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(
        output.status.success(),
        "{command:?} ended with {}: {text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
