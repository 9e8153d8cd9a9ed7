//! What a test chooses about the running of commands.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How commands are carried out.
#[derive(Clone, Default)]
pub enum Execution {
    /// By `sh` on this machine, as the SSM agent does it. Needs root.
    #[default]
    Shell,
    /// By a closure, see [`Execution::stub`].
    Stub(Stub),
}

/// A closure in the place of a shell.
pub type Stub = Arc<dyn Fn(StubCall) -> Pin<Box<dyn Future<Output = Finished> + Send>> + Send + Sync>;

/// A script that a stub carries out.
#[derive(Clone, Debug)]
pub struct StubCall {
    /// The command.
    pub command_id: String,
    /// The instance it would run on.
    pub instance_id: String,
    /// Its `commands`, joined by newlines.
    pub script: String,
    /// Its comment.
    pub comment: String,
}

/// How a script ended.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// Exit code.
    pub exit_code: i32,
    /// All of its standard output; the simulator truncates it.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// How long things take that take their time in AWS. The default is quick and lenient, for tests that are about
/// something else; [`Timing::harsh`] is the real agent's.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From SendCommand (or CancelCommand) to the instance's agent. Default 20 ms.
    pub delivery: Duration,
    /// How long one second of a delivery timeout (`TimeoutSeconds` + executionTimeout) lasts. Tests make it short;
    /// the default is a second. Execution timeouts are always real.
    pub delivery_second: Duration,
    /// For how long after SendCommand GetCommandInvocation answers InvocationDoesNotExist and lists are empty.
    /// Default 0.
    pub invisible: Duration,
    /// The same, as a number of look-ups. Default 0.
    pub invisible_lookups: u32,
    /// After a reboot or the death of a document worker, how long until the agent reports commands that it lost as
    /// Failed. The real agent takes 60 s; the default is 1 s.
    pub lost_worker: Duration,
    /// How an agent takes messages; without it they are taken as they come, and a cancel is never held up.
    pub messages: Option<Messages>,
}

/// How the real agent takes its messages, commands and cancels alike: in order, one at a time.
#[derive(Clone, Copy, Debug)]
pub struct Messages {
    /// Shortest pause after a message.
    pub least: Duration,
    /// Longest.
    pub most: Duration,
    /// A command that finds the queue full holds up everything behind it and tries again in this time.
    pub again: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            delivery: Duration::from_millis(20),
            delivery_second: Duration::from_secs(1),
            invisible: Duration::ZERO,
            invisible_lookups: 0,
            lost_worker: Duration::from_secs(1),
            messages: None,
        }
    }
}

impl Timing {
    /// As seen with amazon-ssm-agent 3.3: an idle agent takes a message at once, then one every 2 to 2.5 s; a queue
    /// of five that is full blocks cancels too; a command that is cancelled in the queue is dropped without a reply; a
    /// dead document worker is noticed after 60 s.
    pub fn harsh() -> Self {
        let messages = Messages {
            least: Duration::from_millis(2000),
            most: Duration::from_millis(2500),
            again: Duration::from_secs(10),
        };
        Timing {
            delivery: Duration::from_millis(100),
            lost_worker: Duration::from_secs(60),
            messages: Some(messages),
            ..Timing::default()
        }
    }

    /// The same with every time multiplied, so that tests stay short. Execution timeouts stay as they are.
    pub fn scaled(self, factor: f64) -> Self {
        let scale = |time: Duration| time.mul_f64(factor);
        Timing {
            delivery: scale(self.delivery),
            delivery_second: scale(self.delivery_second),
            invisible: scale(self.invisible),
            lost_worker: scale(self.lost_worker),
            messages: self.messages.map(|one| Messages {
                least: scale(one.least),
                most: scale(one.most),
                again: scale(one.again),
            }),
            ..self
        }
    }
}

impl Execution {
    /// Answers in the place of the shell. The future runs on the simulator's runtime, for as long as the script would;
    /// it is dropped when the command is cancelled or its execution times out.
    pub fn stub<F, R>(stub: F) -> Self
    where
        F: Fn(StubCall) -> R + Send + Sync + 'static,
        R: Future<Output = Finished> + Send + 'static,
    {
        Execution::Stub(Arc::new(move |call| Box::pin(stub(call))))
    }
}

impl Finished {
    /// Exit code 0 with this output.
    pub fn ok(stdout: impl Into<String>) -> Self {
        Finished { stdout: stdout.into(), ..Finished::default() }
    }

    /// Another exit code, with this on standard error.
    pub fn failed(exit_code: i32, stderr: impl Into<String>) -> Self {
        Finished { exit_code, stdout: String::new(), stderr: stderr.into() }
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Execution::Shell => "Shell",
            Execution::Stub(_) => "Stub",
        })
    }
}
