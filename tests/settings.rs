//! The page of settings says what the programs take: made from their own command lines. `UPDATE=1 cargo test -p kluster-tests --test settings` rewrites it.

#![cfg(test)]

use clap::{Command, CommandFactory};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "# Settings

Made from the programs' own command lines; `--help` says the same. A setting is taken from the flag, else from the environment, else from the settings file (`--config FILE`, TOML, the long
names of the flags as keys, such as `node-id = \"n1\"`), else its default.

Every program has one setting more, in the environment only: `KLUSTER_LOG`, how much is logged on stderr: `error`, `warn`, `info`, `debug`, `trace`, or such a word for each part of the
program ([the form](https://docs.rs/tracing-subscriber/latest/tracing_subscriber/filter/struct.EnvFilter.html)). Default: `info` for `kluster-node`, `error` for the others.
";

fn table(page: &mut String, title: &str, command: &Command) {
    let _ = write!(page, "\n## {title}\n\n| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n");
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let Some(long) = argument.get_long() else { continue };
        let environment = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let defaults: Vec<_> =
            argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        let takes_value = argument.get_action().takes_values();
        let help =
            argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|").replace('\n', " ");
        let default = if takes_value { defaults.join(" ") } else { String::new() };
        let _ = writeln!(page, "| `--{long}` | {environment} | {default} | {help} |");
    }
}

#[test]
fn the_page_says_what_the_programs_take() {
    let mut page = HEAD.to_owned();
    table(&mut page, "kluster-node", &kluster_node::config::Config::command());
    for tool in [kluster_admin::cli::Cli::command(), kluster::cli::Cli::command()] {
        let name = tool.get_name();
        table(&mut page, &format!("{name}, every command"), &tool);
        for command in tool.get_subcommands().filter(|command| !command.is_hide_set()) {
            if command.get_arguments().any(|argument| argument.get_long().is_some() && !argument.is_global_set()) {
                table(&mut page, &format!("{name} {}", command.get_name()), command);
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, page, "docs/settings.md is stale: UPDATE=1 cargo test -p kluster-tests --test settings");
}

#[test]
fn the_variable_without_a_flag_is_in_every_manual() {
    let node = kluster_node::config::Config::command();
    for mut program in [node, kluster_admin::cli::Cli::command(), kluster::cli::Cli::command()] {
        let manual = program.render_long_help().to_string();
        assert!(manual.contains("KLUSTER_LOG="), "{}: {manual}", program.get_name());
    }
}
