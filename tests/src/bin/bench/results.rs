//! What a run measured: kept as JSON, so that the page can be written again without measuring.

use serde::{Deserialize, Serialize};

use crate::{data_path::Part, size::Size};

/// How the names of flame graphs begin.
pub(crate) const FLAME: &str = "flame-";

/// Everything that the page tells.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Results {
    /// CPU, cores, kernel.
    pub(crate) machine: String,
    /// What was compared, with versions.
    pub(crate) programs: Vec<String>,
    pub(crate) size: Size,
    pub(crate) rows: Vec<Row>,
    pub(crate) downloads: Vec<Download>,
    pub(crate) bystanders: Vec<Bystander>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) moments: Vec<Moment>,
    pub(crate) flames: Vec<Flame>,
    /// Size of the agent's file, and of the same compressed, bytes.
    pub(crate) agent_bytes: [u64; 2],
    /// What was measured again after everything else.
    pub(crate) later: Vec<Part>,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Who {
    Agent,
    Nginx,
    Haproxy,
    Mitmproxy,
    Floor,
    Application,
}

/// What becomes of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Each gets the fault, or what the application says where it is alone.
    Fault,
    /// Every other one gets the fault, the others go to the application.
    Half,
    /// All go to the application.
    Spare,
    /// All go to the application, and the status of its answers is replaced.
    Forward,
}

/// How clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Style {
    Kept1,
    Kept64,
    Kept1000,
    Close,
    Streams1,
    Streams100,
}

/// The same load on one server, once a round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) who: Who,
    pub(crate) task: Task,
    pub(crate) style: Style,
    pub(crate) samples: Vec<Sample>,
}

/// One load. Times are microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) responses: f64,
    pub(crate) per_second: f64,
    /// CPU time for each response.
    pub(crate) user: f64,
    pub(crate) kernel: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// Requests without an answer.
    pub(crate) lost: f64,
}

/// One large body, several times.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Download {
    pub(crate) who: Who,
    pub(crate) task: Task,
    /// Seconds each took.
    pub(crate) seconds: Vec<f64>,
    /// CPU seconds each took, user and kernel.
    pub(crate) cpu: Vec<f64>,
}

/// A service that no fault is meant for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bystander {
    /// Where it is.
    pub(crate) place: String,
    pub(crate) style: Style,
    pub(crate) without: Vec<Sample>,
    pub(crate) with: Vec<Sample>,
}

/// What a server takes with that many open connections, megabytes: the sum over its processes, shared pages divided.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) who: Who,
    pub(crate) connections: usize,
    pub(crate) megabytes: f64,
}

/// How long something took, several times, milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) what: When,
    /// Of starts that a flame graph can be made of.
    pub(crate) subject: Option<Subject>,
    /// With what, and where.
    pub(crate) how: String,
    pub(crate) times: Vec<f64>,
    pub(crate) note: Option<String>,
}

/// What takes time, and what a flame graph is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    Response(Task, Style),
    /// From exec until the fault is on.
    Start,
    /// The same in a namespace with many sockets.
    BusyStart,
}

/// Where the agent's time goes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Flame {
    pub(crate) of: Subject,
    pub(crate) svg: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum When {
    /// From exec to the first faulted response.
    On,
    /// From the signal to the last faulted response.
    Off,
    /// From SIGKILL to the application's next answer.
    Killed,
}

impl Results {
    /// Drops what is to be measured again.
    pub(crate) fn forget(&mut self, part: Part) {
        let with_engine =
            |moment: &Moment| ["--container", "--task-id"].iter().any(|target| moment.how.contains(target));
        match part {
            Part::Responses => self.rows.retain(|row| row.task != Task::Fault),
            Part::Proxied => self.rows.retain(|row| row.task == Task::Fault),
            Part::Download => self.downloads.clear(),
            Part::Bystander => self.bystanders.clear(),
            Part::Memory => self.memory.clear(),
            Part::Moments => self.moments.retain(with_engine),
            Part::Containers => self.moments.retain(|moment| !with_engine(moment)),
            Part::Flames => self.flames.clear(),
        }
    }

    pub(crate) fn row(&self, who: Who, task: Task, style: Style) -> Option<&Row> {
        self.rows.iter().find(|row| row.who == who && row.task == task && row.style == style)
    }
}

impl Subject {
    pub(crate) fn title(self) -> String {
        match self {
            Self::Response(task, style) => format!("{}, {}", style.name(), task.name().replace('`', "")),
            Self::Start => "start and end of a fault".to_owned(),
            Self::BusyStart => "start and end of a fault in a busy namespace".to_owned(),
        }
    }

    /// Name of its flame graph, which begins with [`FLAME`].
    pub(crate) fn file(self) -> String {
        let name = match self {
            Self::Response(Task::Fault, style) => style.word().to_owned(),
            Self::Response(task, style) => format!("{}-{}", task.word(), style.word()),
            Self::Start => "start".to_owned(),
            Self::BusyStart => "busy-start".to_owned(),
        };
        format!("{FLAME}{name}.svg")
    }
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "httpfault-agent",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Mitmproxy => "mitmproxy",
            Self::Floor => "the floor",
            Self::Application => "application alone",
        }
    }
}

impl Task {
    pub(crate) const PROXIED: [Self; 3] = [Self::Half, Self::Spare, Self::Forward];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fault => "all faulted",
            Self::Half => "`--percent 50`",
            Self::Spare => "`--percent 0`",
            Self::Forward => "`--modify-response-body false`",
        }
    }

    /// In names of files.
    fn word(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Half => "half",
            Self::Spare => "spare",
            Self::Forward => "forward",
        }
    }
}

impl Style {
    pub(crate) const ALL: [Self; 6] =
        [Self::Kept1, Self::Kept64, Self::Kept1000, Self::Close, Self::Streams1, Self::Streams100];
    /// Those of which requests that go to the application are measured.
    pub(crate) const PROXIED: [Self; 2] = [Self::Kept64, Self::Close];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kept1 => "HTTP/1, 1 kept connection",
            Self::Kept64 => "HTTP/1, 64 kept connections",
            Self::Kept1000 => "HTTP/1, 1,000 kept connections",
            Self::Close => "HTTP/1, a connection for each response, 64 at once",
            Self::Streams1 => "HTTP/2, 1 stream",
            Self::Streams100 => "HTTP/2, 100 streams",
        }
    }

    /// In names of files.
    fn word(self) -> &'static str {
        match self {
            Self::Kept1 => "kept-1",
            Self::Kept64 => "kept-64",
            Self::Kept1000 => "kept-1000",
            Self::Close => "close",
            Self::Streams1 => "streams-1",
            Self::Streams100 => "streams-100",
        }
    }

    /// Connections at once.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Kept1 | Self::Streams1 | Self::Streams100 => 1,
            Self::Kept64 | Self::Close => 64,
            Self::Kept1000 => 1000,
        }
    }

    /// Streams of each connection, with HTTP/2.
    pub(crate) fn streams(self) -> Option<usize> {
        match self {
            Self::Streams1 => Some(1),
            Self::Streams100 => Some(100),
            Self::Kept1 | Self::Kept64 | Self::Kept1000 | Self::Close => None,
        }
    }
}
