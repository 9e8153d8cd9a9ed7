//! The command line: six commands, their flags made from the table of settings. Values stay text here.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::tunables::table::{Kind, Tunable, access, experiment, policy, registry};

/// Commands in the order of the help.
pub(crate) const RUN: &str = "run";
pub(crate) const PLAN: &str = "plan";
pub(crate) const STATUS: &str = "status";
pub(crate) const REMOVE: &str = "remove";
pub(crate) const POLICY_COMMAND: &str = "policy";
pub(crate) const DOCUMENT: &str = "document";

const EXIT_CODES: &str = "Exit codes: 0 done and verified; 1 failed, nothing left behind; 2 partly done, no traffic was \
    faulted, the steady state did not hold, or a stop condition ended it; 3 something was left behind (the message names it and the command that removes it); 64 wrong input; \
    130 aborted and cleaned up.";

/// The parser.
pub(crate) fn command() -> Command {
    Command::new("httpfault-ctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Makes ECS tasks answer with an HTTP status for a while, and puts everything back")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with(RUN, "Inject, hold, remove, verify and report", experiment()))
        .subcommand(with(PLAN, "Show what run would do; changes nothing", experiment()))
        .subcommand(with(STATUS, "Ask the hosts which faults are on", access()))
        .subcommand(with(REMOVE, "End faults: one experiment's, a service's or the whole cluster's", access()))
        .subcommand(
            with(POLICY_COMMAND, "Print the least IAM policy that httpfault-ctl needs", policy()).arg(
                Arg::new("reference")
                    .long("reference")
                    .action(ArgAction::SetTrue)
                    .help("Print the policy of the reference fault instead"),
            ),
        )
        .subcommand(
            with(DOCUMENT, "Print the Systems Manager document for SSM_DOCUMENT, or the one for AWS FIS", registry())
                .arg(
                    Arg::new("fis")
                        .long("fis")
                        .action(ArgAction::SetTrue)
                        .help("The document that experiments of AWS FIS send (httpfault-fault)"),
                )
                .arg(
                Arg::new("register")
                    .long("register")
                    .action(ArgAction::SetTrue)
                    .help("Keep it in the account under that name (httpfault-run, httpfault-fault): create it, or make this its default version"),
            ),
        )
}

/// Whether `policy --reference` was asked for.
pub(crate) fn wants_reference(matches: &ArgMatches) -> bool {
    matches.get_flag("reference")
}

/// Whether `document --fis` was asked for.
pub(crate) fn wants_fis(matches: &ArgMatches) -> bool {
    matches.get_flag("fis")
}

/// Whether `document --register` was asked for.
pub(crate) fn wants_register(matches: &ArgMatches) -> bool {
    matches.get_flag("register")
}

fn with(name: &'static str, about: &'static str, tunables: Vec<&'static Tunable>) -> Command {
    Command::new(name).about(about).after_help(EXIT_CODES).args(tunables.into_iter().map(flag))
}

fn flag(tunable: &'static Tunable) -> Arg {
    let mut help = format!("{} [env: {}", tunable.help, tunable.variable);
    for alias in tunable.aliases {
        help.push_str(&format!(", {alias}"));
    }
    help.push(']');
    if !tunable.default.is_empty() {
        help.push_str(&format!(" [default: {}]", tunable.default));
    }
    let arg = Arg::new(tunable.flag).long(tunable.flag).help(help).allow_hyphen_values(true);
    match tunable.kind {
        Kind::Value => arg.action(ArgAction::Set).value_name("VALUE").overrides_with(tunable.flag),
        Kind::Switch => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .default_missing_value("true")
            .value_name("true|false")
            .allow_hyphen_values(false)
            .overrides_with(tunable.flag),
        Kind::CommaList | Kind::LineList => arg.action(ArgAction::Append).value_name("LIST"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_parser_is_consistent() {
        super::command().debug_assert();
    }
}
