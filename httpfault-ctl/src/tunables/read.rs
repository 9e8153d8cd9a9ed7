//! Reads each command's settings. Every rule that a user can break is in this file or in the contract's check.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use httpfault_common::contract::{
    ExistingConnections, ExperimentId, Fault, GrpcError, HeaderLine, Replacement, RunSpec, Selection,
    TargetSelector, limit,
};

use super::{
    agents::read_agents,
    guards::read_guards,
    parse::{is_arn, is_ecs_name, is_name, is_tag},
    probes::read_probes,
    raw::Raw,
    reports::{read_metrics, read_report_to, repeated},
    settings::{Access, Agents, Credentials, Output, PolicyScope, RunSettings, Sequence, TaskChoice},
    table::{self as t, Tunable},
    trace::read_trace,
};

/// Longest RAMP_TIME, seconds: a day, as for the fault itself.
const MAX_RAMP_SECS: u64 = 86_400;
/// The stand-in for an id that is drawn later.
const DRAWN_LATER: &str = "not-drawn-yet";

/// Reads what `status` and `remove` need.
pub(crate) fn read_access(raw: &mut Raw) -> Option<Access> {
    let ecs_name = "a name of letters, digits, '-' and '_', or an ARN";
    let cluster = raw.formed(&t::CLUSTER_NAME, is_ecs_name, ecs_name);
    let service = raw.formed(&t::SERVICE_NAME, is_ecs_name, ecs_name);
    let region = raw.required(&t::REGION, |text| is_name(text, 32, "-"), "a region such as eu-central-1");
    let experiment = raw.text(&t::EXPERIMENT_ID).map(str::to_owned).and_then(|id| {
        let parsed = id.parse().ok();
        if parsed.is_none() {
            let allowed = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit";
            raw.wrong(&t::EXPERIMENT_ID, &id, allowed);
        }
        parsed
    });
    let document = read_document(raw);
    let credentials = read_credentials(raw);
    let output = raw.choice(&t::OUTPUT, &[("text", Output::Text), ("json", Output::Json)], Output::Text);
    let poll = Duration::from_millis(raw.number(&t::POLL_MS, 10..=60_000, " milliseconds"));
    let answer_within = Duration::from_secs(raw.number(&t::ANSWER_SECS, 1..=3600, " seconds"));
    Some(Access {
        cluster,
        service,
        region: region?,
        experiment,
        document,
        credentials,
        output,
        poll,
        answer_within,
    })
}

/// Reads what `policy` needs, all of it optional.
pub(crate) fn read_policy(raw: &mut Raw) -> Option<PolicyScope> {
    let cluster =
        raw.formed(&t::CLUSTER_NAME, is_ecs_name, "a name of letters, digits, '-' and '_', or an ARN");
    let region = raw.formed(&t::REGION, |text| is_name(text, 32, "-"), "a region such as eu-central-1");
    let mut instance_tags = BTreeMap::new();
    for text in raw.list(&t::INSTANCE_TAG) {
        match text.split_once('=').filter(|(key, value)| is_tag(key, 128) && is_tag(value, 256)) {
            Some((key, value)) => drop(instance_tags.insert(key.to_owned(), value.to_owned())),
            None => {
                raw.wrong(&t::INSTANCE_TAG, &text, "key=value, letters, digits, spaces and _.:/+-@ in both")
            }
        }
    }
    let document = read_document(raw);
    let alarms = !read_alarms(raw).is_empty();
    Some(PolicyScope { cluster, region, instance_tags, document, alarms })
}

/// Names of alarms, each once. They may be made of almost anything.
fn read_alarms(raw: &mut Raw) -> Vec<String> {
    let mut names = raw.list(&t::STOP_ALARMS);
    for name in &names {
        let fits = (1..=255).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !fits || name.starts_with("arn:") {
            raw.wrong(
                &t::STOP_ALARMS,
                name,
                "names of alarms in REGION, not ARNs, of at most 255 characters",
            );
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The name of a document of one's own; those of AWS take other parameters.
fn read_document(raw: &mut Raw) -> Option<String> {
    let fits = |text: &str| {
        let name = text.len() >= 3 && is_name(text, 128, "_-.");
        name && !["aws", "amazon", "amzn"].iter().any(|own| text.to_ascii_lowercase().starts_with(own))
    };
    raw.formed(&t::SSM_DOCUMENT, fits, "3 to 128 letters, digits, '_', '-' and '.', not beginning with AWS")
}

/// Reads what `document` needs: where, as whom, and which agents.
pub(crate) fn read_registry(raw: &mut Raw) -> Option<(Access, Agents)> {
    let access = read_access(raw);
    let agents = read_agents(raw);
    Some((access?, agents))
}

/// Reads everything that `run` and `plan` need.
pub(crate) fn read_run(raw: &mut Raw) -> Option<RunSettings> {
    let access = read_access(raw);
    if !raw.is_set(&t::CLUSTER_NAME) {
        raw.mistake(
            "CLUSTER_NAME",
            "",
            "is not set; give it as a variable or as --cluster-name: name or ARN of the ECS cluster",
        );
    }
    let choice = read_choice(raw);
    let affected = raw.number(&t::TASK_REPLICA_AFFECTED_PERC, 1..=100, " percent");
    let container =
        raw.formed(&t::CONTAINER_NAME, |text| is_name(text, 255, "_-"), "the name of a container definition");
    let sequences = [("parallel", Sequence::Parallel), ("serial", Sequence::Serial)];
    let sequence = raw.choice(&t::SEQUENCE, &sequences, Sequence::Parallel);
    let guards = read_guards(raw);
    let probes = read_probes(raw);
    let stop_alarms = read_alarms(raw);
    let stop_file = raw.text(&t::STOP_FILE).map(PathBuf::from);
    let ramp = Duration::from_secs(raw.number(&t::RAMP_TIME, 0..=MAX_RAMP_SECS, " seconds"));
    let seed = raw.is_set(&t::SEED).then(|| raw.number(&t::SEED, 0..=u64::MAX, ""));
    let agents = read_agents(raw);
    let report_to = read_report_to(raw);
    let metrics = read_metrics(raw);
    let trace = read_trace(raw);
    let yes = raw.switch(&t::YES);
    // `LitmusRun` has taken it already, before anything could be wrong.
    raw.switch(&t::LITMUS_RESULT);
    let experiment = access.as_ref().and_then(|access| access.experiment.clone());
    let template = read_template(raw, experiment, seed)?;
    let access = access?;
    let cluster = access.cluster.clone()?;
    Some(RunSettings {
        access,
        cluster,
        choice: choice?,
        affected,
        container,
        template,
        seed,
        sequence,
        ramp,
        agents,
        guards,
        probes,
        stop_alarms,
        stop_file,
        report_to,
        metrics,
        trace,
        repeat: repeated(raw),
        yes,
    })
}

fn read_choice(raw: &mut Raw) -> Option<TaskChoice> {
    let mut tasks = raw.list(&t::TASK_REPLICA_ID);
    for task in &tasks {
        if !(is_arn(task, "ecs") || is_name(task, 128, "-")) {
            raw.wrong(&t::TASK_REPLICA_ID, task, "task ids or task ARNs, separated by commas");
        }
    }
    let service = raw.text(&t::SERVICE_NAME).map(str::to_owned);
    let all = raw.switch(&t::ALL_TASKS);
    if !tasks.is_empty() {
        if service.is_some() || all {
            raw.warnings.push(
                "TASK_REPLICA_ID is set: exactly these tasks are taken and SERVICE_NAME, ALL_TASKS and the percentage \
                 are not used (older versions of the reference fault let SERVICE_NAME win)"
                    .to_owned(),
            );
        }
        // One task may be named by id and by ARN.
        let mut seen = std::collections::BTreeSet::new();
        tasks.retain(|task| seen.insert(task.rsplit('/').next().unwrap_or(task).to_owned()));
        return Some(TaskChoice::Tasks(tasks));
    }
    match (service, all) {
        (Some(_), true) => {
            raw.mistake(
                "--all-tasks",
                "",
                "means the whole cluster; leave SERVICE_NAME unset, or leave --all-tasks out",
            );
            None
        }
        (Some(service), false) => Some(TaskChoice::Service(service)),
        (None, true) => Some(TaskChoice::AllTasks),
        (None, false) => {
            let advice = "is not set, and neither is TASK_REPLICA_ID; give one of them, or --all-tasks for every \
                          running EC2 task of the cluster";
            raw.mistake("SERVICE_NAME", "", advice);
            None
        }
    }
}

fn read_credentials(raw: &mut Raw) -> Credentials {
    let secret = raw.text(&t::AWS_AUTHENTICATION_SECRET).map(str::to_owned);
    let is_path = |text: &str| !text.contains(['\n', '\r', '\0', '=', '[']);
    if secret.as_deref().is_some_and(|text| !is_path(text)) {
        // Somebody may have put the credentials themselves here: they are not repeated.
        raw.wrong(
            &t::AWS_AUTHENTICATION_SECRET,
            "(not shown)",
            "the path of a credentials file, or its name; not its content",
        );
    }
    let role_form = |text: &str| is_arn(text, "iam") && text.contains(":role/");
    let role =
        raw.formed(&t::ASSUME_ROLE_ARN, role_form, "an ARN such as arn:aws:iam::123456789012:role/chaos");
    // Limits of STS AssumeRole: ExternalId 2..=1224, RoleSessionName 2..=64.
    let external = |text: &str| text.len() >= 2 && is_name(text, 1224, "+=,.@:/-_");
    let role_external_id =
        raw.formed(&t::ASSUME_ROLE_EXTERNAL_ID, external, "2 to 1224 letters, digits and +=,.@:/-_");
    let session = |text: &str| text.len() >= 2 && is_name(text, 64, "+=,.@-_");
    let name = raw.formed(&t::ASSUME_ROLE_SESSION_NAME, session, "2 to 64 letters, digits and +=,.@-_");
    let path = |raw: &Raw, tunable: &Tunable| raw.text(tunable).map(PathBuf::from);
    Credentials {
        secret,
        secret_dir: path(raw, &t::AWS_AUTHENTICATION_SECRET_DIR)
            .unwrap_or_else(|| t::AWS_AUTHENTICATION_SECRET_DIR.default.into()),
        shared_file: path(raw, &t::AWS_SHARED_CREDENTIALS_FILE),
        profile: raw.text(&t::AWS_PROFILE).map(str::to_owned),
        role,
        role_external_id,
        role_session_name: name.unwrap_or_else(|| t::ASSUME_ROLE_SESSION_NAME.default.to_owned()),
    }
}

/// Builds the spec and lets the contract check it, so that controller and agent never disagree on what is allowed.
fn read_template(raw: &mut Raw, experiment: Option<ExperimentId>, seed: Option<u64>) -> Option<RunSpec> {
    let existing = [
        ("auto", ExistingConnections::Auto),
        ("take", ExistingConnections::Take),
        ("drain", ExistingConnections::Drain),
        ("keep", ExistingConnections::Keep),
        ("reset", ExistingConnections::Reset),
    ];
    let text = |raw: &Raw, tunable: &Tunable| raw.text(tunable).map(str::to_owned);
    let header = "'Name: value' (RFC 9110 section 5), one a line";
    let modify = raw.switch(&t::MODIFY_RESPONSE_BODY);
    for tunable in [&t::RESPONSE_BODY, &t::CONTENT_TYPE] {
        if !modify && raw.is_set(tunable) {
            let name = raw.name(tunable);
            raw.warnings.push(format!(
                "{name} is not used with MODIFY_RESPONSE_BODY=false: the application's body is kept"
            ));
        }
    }
    let replacement =
        Replacement { body: text(raw, &t::RESPONSE_BODY), content_type: text(raw, &t::CONTENT_TYPE) };
    let template = RunSpec {
        experiment_id: experiment.or_else(|| DRAWN_LATER.parse().ok())?,
        targets: vec![TargetSelector::Task { id: "later".to_owned(), container: None }],
        port: raw.number(&t::TARGET_SERVICE_PORT, 1..=u16::MAX, ""),
        proxy_port: raw.number(&t::PROXY_PORT, 1..=u16::MAX, ""),
        interface: text(raw, &t::NETWORK_INTERFACE)
            .unwrap_or_else(|| t::NETWORK_INTERFACE.default.to_owned()),
        duration_secs: raw.number(
            &t::TOTAL_CHAOS_DURATION,
            limit::MIN_DURATION_SECS..=limit::MAX_DURATION_SECS,
            " seconds",
        ),
        existing_connections: raw.choice(&t::EXISTING_CONNECTIONS, &existing, ExistingConnections::default()),
        reset_at_once: raw.switch(&t::RESET_AT_ONCE),
        fault: Fault {
            status: raw.number(&t::STATUS_CODE, 200..=599, " (one final status)"),
            replacement: modify.then_some(replacement),
            headers: raw.members::<HeaderLine>(&t::RESPONSE_HEADERS, header),
            marker: raw.switch(&t::MARKER),
            percent: raw.number(&t::PERCENT, 0.0..=100.0, " percent"),
            seed,
            grpc: GrpcError {
                status: raw.parsed(&t::GRPC_STATUS, "1 to 16, or the name of such a status"),
                message: text(raw, &t::GRPC_MESSAGE),
            },
            selection: Selection {
                paths: raw.list(&t::PATHS),
                methods: raw.list(&t::METHODS),
                headers: raw.members::<HeaderLine>(&t::HEADERS, header),
                exclude_paths: raw.list(&t::EXCLUDE_PATHS),
                exclude_user_agents: raw.list(&t::EXCLUDE_USER_AGENTS),
            },
        },
    };
    if let Some(header) = template.fault.missing_header() {
        let name = raw.name(&t::RESPONSE_HEADERS);
        raw.warnings.push(header.warning(&name));
    }
    for mistake in template.check().err().into_iter().flat_map(|mistakes| mistakes.0) {
        let tunable = tunable_of(mistake.field);
        let name = tunable.map_or_else(|| mistake.field.to_owned(), |tunable| raw.name(tunable));
        raw.mistake(name, &mistake.value, mistake.allowed);
    }
    Some(template)
}

/// The setting behind a field of the contract.
fn tunable_of(field: &str) -> Option<&'static Tunable> {
    Some(match field {
        "status-code" => &t::STATUS_CODE,
        "port" => &t::TARGET_SERVICE_PORT,
        "proxy-port" => &t::PROXY_PORT,
        "interface" => &t::NETWORK_INTERFACE,
        "duration" => &t::TOTAL_CHAOS_DURATION,
        "reset-at-once" => &t::RESET_AT_ONCE,
        "percent" => &t::PERCENT,
        "response-body" => &t::RESPONSE_BODY,
        "content-type" => &t::CONTENT_TYPE,
        "grpc-message" => &t::GRPC_MESSAGE,
        "response-header" => &t::RESPONSE_HEADERS,
        "path" => &t::PATHS,
        "exclude-path" => &t::EXCLUDE_PATHS,
        "method" => &t::METHODS,
        "exclude-user-agent" => &t::EXCLUDE_USER_AGENTS,
        _ => return None,
    })
}
