//! From the end of a script to what the API shows: status, response code and truncated output.
//!
//! Sources, all amazon-ssm-agent: agent/plugins/pluginutil/pluginutil_unix.go (exit codes), agent/executers/executers.go
//! (a killed process is -1, or 137 if the agent killed it), agent/framework/processor/executer/iohandler/iohandler.go
//! (truncation), agent/plugins/runscript/runscript.go ("failed to run commands").

use super::command::{Status, details};

/// StandardOutputContent, and what the agent keeps of either stream.
const MAX_STREAM: usize = 24_000;
/// StandardErrorContent.
const MAX_STDERR: usize = 8_000;
/// CommandPlugin.Output.
const MAX_OUTPUT: usize = 2_500;
const SUFFIX: &str = "--output truncated--";
const OUT_TRUNCATED: &str = "\n---Output truncated---";
const ERROR_TRUNCATED: &str = "\n---Error truncated----";
const ERROR_TITLE: &str = "\n----------ERROR-------\n";

/// How a script came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// With an exit code.
    Exited(i32),
    /// By a signal that the agent did not send. Go shows it as exit code -1.
    Signalled(i32),
    /// The agent killed it because of CancelCommand.
    Cancelled,
    /// The agent killed it because its time was up.
    TimedOut,
    /// Its document worker died, or the host was rebooted under it: the agent lost sight of the script.
    Lost,
}

/// A script that has ended, with all that it wrote.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) how: How,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Whether CancelCommand had arrived, whatever it did.
    pub(crate) cancel_requested: bool,
}

/// What the API shows of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) status: Status,
    pub(super) details: &'static str,
    pub(super) response_code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) output: String,
}

/// Exit code that means "run me again after a reboot".
pub(crate) const REBOOT: i32 = 194;

/// All that the agent says of a script that it lost; what the script wrote is gone (outofproc/outofproc.go).
const LOST: &str = "document process failed unexpectedly: ipc messaging received timeout signal , check \
    [ssm-document-worker]/[ssm-session-worker] log for crash reason";

pub(super) fn show(ended: Ended) -> Shown {
    if ended.how == How::Lost {
        return Shown {
            status: Status::Failed,
            details: "Failed",
            response_code: 1,
            stdout: String::new(),
            stderr: String::new(),
            output: LOST.to_owned(),
        };
    }
    let response_code = match ended.how {
        How::Exited(code) => code,
        How::Signalled(_) => -1,
        How::Cancelled | How::TimedOut => 137,
        How::Lost => 1,
    };
    let (status, details) = match response_code {
        0 | 168 => (Status::Success, "Success"),
        137 if ended.cancel_requested => (Status::Cancelled, "Cancelled"),
        137 => (Status::TimedOut, details::EXECUTION),
        _ => (Status::Failed, "Failed"),
    };
    let mut stderr = ended.stderr;
    if response_code == 168 {
        stderr.clear();
    }
    if status == Status::Failed {
        let why = match ended.how {
            How::Signalled(signal) => format!("signal: {}", signal_name(signal)),
            How::Exited(_) | How::Cancelled | How::TimedOut | How::Lost => {
                format!("exit status {response_code}")
            }
        };
        if !stderr.is_empty() {
            stderr.push('\n');
        }
        stderr.push_str(&format!("failed to run commands: {why}"));
    }
    let stdout = with_suffix(&ended.stdout, MAX_STREAM);
    let stderr = with_suffix(&stderr, MAX_STREAM);
    let output = combined(&stdout, &stderr);
    let stderr = prefix(&stderr, MAX_STDERR).to_owned();
    Shown { status, details, response_code, stdout, stderr, output }
}

/// The first bytes of a text, with the suffix inside the limit.
fn with_suffix(text: &str, limit: usize) -> String {
    match text.len() < limit {
        true => text.to_owned(),
        false => format!("{}{SUFFIX}", prefix(text, limit - SUFFIX.len())),
    }
}

/// Both streams in one text of at most `MAX_OUTPUT` bytes.
fn combined(stdout: &str, stderr: &str) -> String {
    let title = if stderr.is_empty() { "" } else { ERROR_TITLE };
    let space = MAX_OUTPUT - title.len();
    if stdout.len() + stderr.len() < space {
        return format!("{stdout}{title}{stderr}");
    }
    if stdout.len() > space / 2 && stderr.len() > space / 2 {
        let each = (space - ERROR_TRUNCATED.len() - OUT_TRUNCATED.len()) / 2;
        let (out, error) = (prefix(stdout, each), prefix(stderr, each));
        return format!("{out}{OUT_TRUNCATED}{title}{error}{ERROR_TRUNCATED}");
    }
    if stdout.len() < space / 2 {
        let rest = (space - ERROR_TRUNCATED.len()).saturating_sub(stdout.len());
        return format!("{stdout}{title}{}{ERROR_TRUNCATED}", prefix(stderr, rest));
    }
    let rest = (space - OUT_TRUNCATED.len()).saturating_sub(stderr.len());
    format!("{}{OUT_TRUNCATED}{title}{stderr}", prefix(stdout, rest))
}

/// At most `limit` bytes, cut between characters.
fn prefix(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// As Go's syscall.Signal prints the ones that end scripts.
fn signal_name(signal: i32) -> String {
    match signal {
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        13 => "broken pipe".to_owned(),
        15 => "terminated".to_owned(),
        other => format!("signal {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(how: How) -> Ended {
        Ended {
            how,
            stdout: "out".to_owned(),
            stderr: "err".to_owned(),
            cancel_requested: how == How::Cancelled,
        }
    }

    #[test]
    fn exit_codes_become_statuses() {
        let status = |how| {
            let shown = show(ended(how));
            (shown.status, shown.response_code, shown.details)
        };
        assert_eq!(status(How::Exited(0)), (Status::Success, 0, "Success"));
        assert_eq!(status(How::Exited(168)), (Status::Success, 168, "Success"));
        assert_eq!(status(How::Exited(169)), (Status::Failed, 169, "Failed"));
        assert_eq!(status(How::Exited(143)), (Status::Failed, 143, "Failed"));
        assert_eq!(status(How::Exited(137)), (Status::TimedOut, 137, "Execution Timed Out"));
        assert_eq!(status(How::Signalled(9)), (Status::Failed, -1, "Failed"));
        assert_eq!(status(How::Cancelled), (Status::Cancelled, 137, "Cancelled"));
        assert_eq!(status(How::TimedOut), (Status::TimedOut, 137, "Execution Timed Out"));
    }

    #[test]
    fn a_failure_says_so_on_stderr_and_168_blanks_it() {
        assert_eq!(show(ended(How::Exited(3))).stderr, "err\nfailed to run commands: exit status 3");
        assert_eq!(show(ended(How::Exited(168))).stderr, "");
        assert_eq!(show(ended(How::Exited(0))).output, format!("out{ERROR_TITLE}err"));
    }

    #[test]
    fn long_output_is_cut_at_three_sizes() {
        let shown =
            show(Ended { stdout: "o".repeat(30_000), stderr: "e".repeat(30_000), ..ended(How::Exited(0)) });
        assert_eq!(shown.stdout.len(), 24_000);
        assert!(shown.stdout.ends_with(SUFFIX));
        assert_eq!(shown.stderr, "e".repeat(8_000));
        assert!(shown.output.len() <= 2_500 && shown.output.contains(OUT_TRUNCATED));
        assert!(shown.output.ends_with(ERROR_TRUNCATED));
        let one = show(Ended { stdout: "o".repeat(3_000), stderr: String::new(), ..ended(How::Exited(0)) });
        assert!(one.output.len() <= 2_500 && one.output.ends_with(OUT_TRUNCATED));
    }
}
