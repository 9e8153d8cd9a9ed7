//! Every setting: one line names its variable, flag, default and meaning. Arguments, help, checks and the look-alike
//! warnings are all made from this table.

/// What is typed for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One value.
    Value,
    /// `true` or `false`; the flag alone means true.
    Switch,
    /// Several values: a JSON array of strings, or text separated by commas and line ends.
    CommaList,
    /// Several values: a JSON array of strings, or one a line, because the values may contain commas.
    LineList,
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Tunable {
    /// Name of the environment variable; an empty variable counts as unset.
    pub(crate) variable: &'static str,
    /// Other names that are accepted, first one set wins.
    pub(crate) aliases: &'static [&'static str],
    /// Kebab-case flag, without dashes; it wins over the variables.
    pub(crate) flag: &'static str,
    pub(crate) kind: Kind,
    /// Shown in the help; empty where there is none.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
}

const fn one(
    variable: &'static str,
    flag: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Tunable {
    Tunable { variable, aliases: &[], flag, kind, default, help }
}

const fn alias(aliases: &'static [&'static str], tunable: Tunable) -> Tunable {
    Tunable { aliases, ..tunable }
}

use Kind::{CommaList, LineList, Switch, Value};
use httpfault_common::contract::default;

macro_rules! tunables {
    ($($name:ident = $tunable:expr;)*) => {
        $(pub(crate) const $name: Tunable = $tunable;)*
        /// The whole table, in the order of the help.
        pub(crate) const ALL: &[&Tunable] = &[$(&$name),*];
    };
}

tunables! {
    CLUSTER_NAME = one("CLUSTER_NAME", "cluster-name", Value, "", "ECS cluster, by name or ARN");
    REGION = alias(&["AWS_REGION", "AWS_DEFAULT_REGION"], one("REGION", "region", Value, "", "AWS region"));
    SERVICE_NAME = one("SERVICE_NAME", "service-name", Value, "", "ECS service whose tasks are taken");
    TASK_REPLICA_ID = one("TASK_REPLICA_ID", "task-replica-id", CommaList, "", "Tasks, by id or ARN; wins over SERVICE_NAME");
    TASK_REPLICA_AFFECTED_PERC = one("TASK_REPLICA_AFFECTED_PERC", "task-replica-affected-perc", Value, "100", "Share of the running tasks, percent: max(1, floor(n*p/100)) of them");
    ALL_TASKS = one("ALL_TASKS", "all-tasks", Switch, "false", "Take every running EC2 task of the cluster");
    CONTAINER_NAME = one("CONTAINER_NAME", "container-name", Value, "", "Container of the task, where several could be meant");
    TARGET_SERVICE_PORT = one("TARGET_SERVICE_PORT", "target-service-port", Value, default::PORT, "Port that the container listens on");

    AVAILABILITY_ZONE = one("AVAILABILITY_ZONE", "availability-zone", CommaList, "", "Only tasks on instances in these availability zones");
    INSTANCE_IDS = one("INSTANCE_IDS", "instance-ids", CommaList, "", "Only tasks on these EC2 instances");
    MAX_TASKS = one("MAX_TASKS", "max-tasks", Value, "", "Most tasks that a run may take; with more it is refused");
    MAX_PERCENT = one("MAX_PERCENT", "max-percent", Value, "", "Most of the running tasks of any one service that a run may take, percent; with more it is refused");
    REQUIRE_TAG = one("REQUIRE_TAG", "require-tag", LineList, "", "Tag that each task or its service must have, key or key=value; of several, all");
    GUARDS = one("HTTPFAULT_GUARDS", "guards", Value, "", "JSON file of guards that settings can't widen; /etc/httpfault/guards.json holds in any case where it exists");

    STATUS_CODE = one("STATUS_CODE", "status-code", Value, default::STATUS_CODE, "Status that is answered, 200 to 599");
    MODIFY_RESPONSE_BODY = one("MODIFY_RESPONSE_BODY", "modify-response-body", Switch, default::MODIFY_RESPONSE_BODY, "true: the application is not called; false: it is, and only its status is replaced");
    RESPONSE_BODY = one("RESPONSE_BODY", "response-body", Value, "", "Body of injected responses instead of the chaos string");
    CONTENT_TYPE = one("CONTENT_TYPE", "content-type", Value, "", "Media type of RESPONSE_BODY");
    RESPONSE_HEADERS = one("RESPONSE_HEADERS", "response-headers", LineList, "", "Headers added to injected responses, 'Name: value'");
    GRPC_STATUS = one("GRPC_STATUS", "grpc-status", Value, "", "Status of faulted gRPC calls, by number or name, instead of what clients make of STATUS_CODE");
    GRPC_MESSAGE = one("GRPC_MESSAGE", "grpc-message", Value, "", "Message of faulted gRPC calls instead of the chaos string");
    MARKER = one("MARKER", "marker", Switch, "true", "Injected responses carry x-httpfault: <experiment id>");
    PERCENT = one("PERCENT", "percent", Value, default::PERCENT, "Share of the selected requests that is faulted, percent");
    SEED = one("SEED", "seed", Value, "", "Makes the choice of tasks and requests repeatable; printed when it is drawn");
    PATHS = one("PATHS", "paths", CommaList, "", "Path prefixes that can be faulted");
    METHODS = one("METHODS", "methods", CommaList, "", "Methods that can be faulted");
    HEADERS = one("HEADERS", "headers", LineList, "", "Request headers that must all be there, 'Name: value'");
    EXCLUDE_PATHS = one("EXCLUDE_PATHS", "exclude-paths", CommaList, "", "Path prefixes that are spared");
    EXCLUDE_USER_AGENTS = one("EXCLUDE_USER_AGENTS", "exclude-user-agents", LineList, "", "Parts of User-Agent values that are spared, such as ELB-HealthChecker");
    EXISTING_CONNECTIONS = one("EXISTING_CONNECTIONS", "existing-connections", Value, default::EXISTING_CONNECTIONS, "What becomes of connections that clients hold already: auto, take, drain, keep or reset");
    RESET_AT_ONCE = one("RESET_AT_ONCE", "reset-at-once", Switch, "false", "With EXISTING_CONNECTIONS=reset: when the fault starts, not at their next request");
    PROXY_PORT = one("PROXY_PORT", "proxy-port", Value, default::PROXY_PORT, "Loopback port of the responder in the task's network namespace");
    NETWORK_INTERFACE = one("NETWORK_INTERFACE", "network-interface", Value, default::NETWORK_INTERFACE, "Interface of the task whose traffic is faulted");

    TOTAL_CHAOS_DURATION = one("TOTAL_CHAOS_DURATION", "total-chaos-duration", Value, default::DURATION, "How long the fault is on, seconds");
    SEQUENCE = one("SEQUENCE", "sequence", Value, "parallel", "parallel: all tasks at once; serial: each task gets the whole duration in turn");
    RAMP_TIME = one("RAMP_TIME", "ramp-time", Value, "0", "Idle wait before and after the fault, seconds");
    EXPERIMENT_ID = one("EXPERIMENT_ID", "experiment-id", Value, "", "Names the run on the hosts and in reports; drawn when not given");

    PROBE_URL = one("PROBE_URL", "probe-url", Value, "", "Steady state: this URL is asked before, while and after the fault is on; nothing is put on where it does not hold before");
    PROBE_METHOD = one("PROBE_METHOD", "probe-method", Value, "GET", "GET, HEAD or POST");
    PROBE_HEADERS = one("PROBE_HEADERS", "probe-headers", LineList, "", "Headers of the request, 'Name: value'");
    PROBE_REQUEST_BODY = one("PROBE_REQUEST_BODY", "probe-request-body", Value, "", "Body of a POST");
    PROBE_CONTENT_TYPE = one("PROBE_CONTENT_TYPE", "probe-content-type", Value, "", "Media type of PROBE_REQUEST_BODY");
    PROBE_STATUS = one("PROBE_STATUS", "probe-status", Value, "between 200,299", "What the status has to be: == != > < >= <= and a status, 'oneOf 200,204', 'between 200,299'");
    PROBE_BODY = one("PROBE_BODY", "probe-body", Value, "", "Text that the answer has to contain");
    PROBE_TIMEOUT = one("PROBE_TIMEOUT", "probe-timeout", Value, "5s", "How long one request may take, such as 500ms, 2s or 1m");
    PROBE_INTERVAL = one("PROBE_INTERVAL", "probe-interval", Value, "2s", "From the beginning of one request to that of the next");
    PROBE_TOLERATED_FAILURES = one("PROBE_TOLERATED_FAILURES", "probe-tolerated-failures", Value, "0", "How many samples may be other than they have to be, before, while and after the fault is on, each");
    PROBE_DURING = one("PROBE_DURING", "probe-during", Value, "hold", "While the fault is on: hold (clients don't notice), fail (the fault is seen from outside) or either");
    PROBE_STOP_AFTER = one("PROBE_STOP_AFTER", "probe-stop-after", Value, "", "So many failures in a row while the fault may be on end the run");
    PROBE_INSECURE_SKIP_VERIFY = one("PROBE_INSECURE_SKIP_VERIFY", "probe-insecure-skip-verify", Switch, "false", "Take any certificate of an https:// URL");
    PROBES_FILE = one("PROBES_FILE", "probes-file", Value, "", "JSON file with several probes");
    STOP_ALARMS = one("STOP_ALARMS", "stop-alarms", CommaList, "", "CloudWatch alarms, by name: one in ALARM ends the run, and none may be in it before");
    STOP_FILE = one("STOP_FILE", "stop-file", Value, "", "The run ends when this file appears, and does not begin while it is there");

    INSTALL_DEPENDENCIES = alias(&["INSTALL_DEPENDENCY"], one("INSTALL_DEPENDENCIES", "install-dependencies", Switch, "true", "Bring the agent to hosts that lack it"));
    AGENT_DELIVERY = one("AGENT_DELIVERY", "agent-delivery", Value, "auto", "How: auto (AGENT_S3_URI, AGENT_IMAGE or AGENT_URL where one is set, else ssm), s3, ecr, url, ssm (in pieces over Run Command) or preinstalled (only checked)");
    AGENT_S3_URI = one("AGENT_S3_URI", "agent-s3-uri", Value, "", "Object that hosts get by their instance role, else presigned, s3://bucket/key in REGION, plain or gzipped; {arch} stands for x86_64 or aarch64");
    AGENT_IMAGE = one("AGENT_IMAGE", "agent-image", Value, "", "Image that hosts may pull with the agent in it, such as the pod's in ECR");
    AGENT_URL = one("AGENT_URL", "agent-url", Value, "", "Where hosts download the agent, plain or gzipped; {arch} stands for x86_64 or aarch64");
    AGENT_DIR = one("AGENT_DIR", "agent-dir", Value, "next to httpfault-ctl", "Local directory with httpfault-agent-x86_64 and httpfault-agent-aarch64");
    AGENT_SHA256 = one("AGENT_SHA256", "agent-sha256", CommaList, "of the files in AGENT_DIR", "Checksums of the agents, 'x86_64=<hex>,aarch64=<hex>'");

    SSM_DOCUMENT = one("SSM_DOCUMENT", "ssm-document", Value, "", "Document of the account that is sent in place of AWS-RunShellScript; `httpfault-ctl document --register` keeps it");

    AWS_AUTHENTICATION_SECRET = one("AWS_AUTHENTICATION_SECRET", "aws-authentication-secret", Value, "", "Credentials: a file in the format of ~/.aws/credentials, or its name under AWS_AUTHENTICATION_SECRET_DIR");
    AWS_AUTHENTICATION_SECRET_DIR = one("AWS_AUTHENTICATION_SECRET_DIR", "aws-authentication-secret-dir", Value, "/etc/httpfault/aws", "Directory of mounted secrets");
    AWS_SHARED_CREDENTIALS_FILE = one("AWS_SHARED_CREDENTIALS_FILE", "aws-shared-credentials-file", Value, "", "Credentials file of the AWS SDKs");
    AWS_PROFILE = one("AWS_PROFILE", "aws-profile", Value, "default", "Profile in the credentials file");
    ASSUME_ROLE_ARN = one("ASSUME_ROLE_ARN", "assume-role-arn", Value, "", "Role that is assumed with the credentials found");
    ASSUME_ROLE_EXTERNAL_ID = one("ASSUME_ROLE_EXTERNAL_ID", "assume-role-external-id", Value, "", "External id that the role's trust policy asks for");
    ASSUME_ROLE_SESSION_NAME = one("ASSUME_ROLE_SESSION_NAME", "assume-role-session-name", Value, "httpfault", "Session name that CloudTrail shows");

    REPORT_DIR = one("REPORT_DIR", "report", Value, "", "Directory for the report as files: report.html, report.md, report.json, junit.xml, timeline.svg; - prints it as Markdown in place of the text");
    REPORT_S3_URI = one("REPORT_S3_URI", "report-s3-uri", Value, "", "Puts these files into S3 too, under the experiment's id, s3://bucket/prefix in REGION");

    INSTANCE_TAG = one("INSTANCE_TAG", "instance-tag", LineList, "", "Tag that instances must have to be sent commands, key=value; of several, all");

    METRICS_FILE = one("METRICS_FILE", "metrics-file", Value, "", "File with the counters in Prometheus' text format, for the textfile collector of node_exporter; written when the fault is on, whenever hosts were looked at, and at the end");
    METRICS = one("METRICS", "metrics", Value, "", "emf: lines of CloudWatch's Embedded Metric Format with what came since the last one, on standard output before the report");

    OTEL_EXPORTER_OTLP_ENDPOINT = one("OTEL_EXPORTER_OTLP_ENDPOINT", "otel-exporter-otlp-endpoint", Value, "", "Collector of OpenTelemetry that gets the run as spans, OTLP over HTTP as JSON, such as http://collector:4318");
    TRACE_PARENT = alias(&["TRACEPARENT"], one("TRACE_PARENT", "trace-parent", Value, "", "Span whose children they are, as W3C's traceparent"));

    LITMUS_RESULT = one("LITMUS_RESULT", "litmus-result", Switch, "true", "Write the ChaosResult where Litmus' runner started this (CHAOSENGINE is set); the exit code is 0 then, the verdict is in the result");
    KUBERNETES_TOKEN_DIR = one("KUBERNETES_TOKEN_DIR", "kubernetes-token-dir", Value, "/var/run/secrets/kubernetes.io/serviceaccount", "Where the pod's token and the cluster's authority are, for the ChaosResult");

    YES = one("HTTPFAULT_YES", "yes", Switch, "false", "Confirms a fault that can take a whole service out of its load balancer; without a terminal to ask at it is refused else");
    OUTPUT = one("HTTPFAULT_OUTPUT", "output", Value, "text", "text or json");
    POLL_MS = one("HTTPFAULT_POLL_MS", "poll-ms", Value, "5000", "Time between two looks at a command, milliseconds; AWS throttles less than 5000");
    ANSWER_SECS = one("HTTPFAULT_ANSWER_SECS", "answer-secs", Value, "120", "How long a host may take to answer a short command, seconds");
}

/// How to get into AWS.
pub(super) const CREDENTIALS: [&Tunable; 7] = [
    &AWS_AUTHENTICATION_SECRET,
    &AWS_AUTHENTICATION_SECRET_DIR,
    &AWS_SHARED_CREDENTIALS_FILE,
    &AWS_PROFILE,
    &ASSUME_ROLE_ARN,
    &ASSUME_ROLE_EXTERNAL_ID,
    &ASSUME_ROLE_SESSION_NAME,
];

/// What `status` and `remove` take: where to look, and how to get in.
pub(crate) fn access() -> Vec<&'static Tunable> {
    let place = [&CLUSTER_NAME, &REGION, &SERVICE_NAME, &EXPERIMENT_ID, &SSM_DOCUMENT];
    [&place[..], &CREDENTIALS, &[&OUTPUT, &POLL_MS, &ANSWER_SECS]].concat()
}

/// What `policy` takes: what makes it narrower.
pub(crate) fn policy() -> Vec<&'static Tunable> {
    vec![&CLUSTER_NAME, &REGION, &INSTANCE_TAG, &SSM_DOCUMENT, &STOP_ALARMS]
}

/// What `document` takes: which agents, where, as whom.
pub(crate) fn registry() -> Vec<&'static Tunable> {
    [&[&REGION, &SSM_DOCUMENT, &AGENT_DIR, &AGENT_SHA256][..], &CREDENTIALS].concat()
}

/// What `run` and `plan` take: everything that is not for `policy` alone.
pub(crate) fn experiment() -> Vec<&'static Tunable> {
    ALL.iter().copied().filter(|tunable| tunable.variable != INSTANCE_TAG.variable).collect()
}

/// Variables that Litmus gives to every experiment; no typing errors of anybody.
pub(crate) const LITMUS: &[&str] = &[
    "CHAOSENGINE",
    "CHAOS_NAMESPACE",
    "CHAOS_SERVICE_ACCOUNT",
    "CHAOS_UID",
    "DEFAULT_HEALTH_CHECK",
    "EXPERIMENT_NAME",
    "INSTANCE_ID",
    "LIB_IMAGE_PULL_POLICY",
    "POD_NAME",
    "TARGETS",
    "TERMINATION_GRACE_PERIOD_SECONDS",
];

/// Variables of the reference fault and its relatives that httpfault does not have, with what to use instead.
pub(crate) const FOREIGN: &[(&str, &str)] = &[
    ("TOXICITY", "use PERCENT, which is decided for each request"),
    ("CHAOS_INTERVAL", "the fault is on for the whole of TOTAL_CHAOS_DURATION"),
    ("CONTENT_ENCODING", "injected bodies are never compressed"),
    ("HEADERS_FILTERS", "use HEADERS"),
    ("PATH_FILTER", "use PATHS"),
    ("TRANSACTION_PERCENTAGE", "use PERCENT"),
];
