//! A stand-in for the Kubernetes API, over TLS with an authority of its own, as far as a pod under Litmus uses it. It knows
//! who may do what from deploy/litmus/rbac.yaml, and what a ChaosResult is from the operator's types (chaos-operator 3.x,
//! `api/litmuschaos/v1alpha1`; its CRD itself takes anything under `spec` and `status`).

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_rustls::TlsAcceptor;

use crate::tls;

use crate::deployed::yaml;

pub(crate) const NAMESPACE: &str = "litmus";
const TOKEN: &str = "token-of-the-service-account";

/// Serves until it is dropped.
pub(crate) struct Kubernetes {
    port: u16,
    /// `token` and `ca.crt`.
    pub(crate) directory: PathBuf,
    cluster: Arc<Mutex<Cluster>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is in the cluster, by kind and name.
#[derive(Default)]
struct Cluster {
    objects: BTreeMap<(String, String), Value>,
    /// Resource and verb, of one service account.
    rights: Vec<(String, String)>,
    /// Method, path and the code of the answer.
    calls: Vec<String>,
    version: u64,
    /// So many writes meet one of somebody else.
    conflicts: u32,
}

impl Kubernetes {
    pub(crate) fn start(files: &Path) -> Self {
        let (tls, pem) = tls::acceptor(&["127.0.0.1"]);
        let directory = files.join("serviceaccount");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("token"), format!("{TOKEN}\n")).unwrap();
        fs::write(directory.join("ca.crt"), pem).unwrap();
        let cluster = Arc::new(Mutex::new(Cluster { rights: rights(), ..Cluster::default() }));
        let (stop, stopped) = oneshot::channel();
        let (bound, port) = std::sync::mpsc::channel();
        let served = Arc::clone(&cluster);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap().port()).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, tls, served) => {}
                }
            });
        });
        Self { port: port.recv().unwrap(), directory, cluster, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/healthz", self.port)
    }

    /// What every pod has.
    pub(crate) fn env(&self) -> [(&'static str, String); 3] {
        [
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()),
            ("KUBERNETES_SERVICE_PORT", self.port.to_string()),
            ("KUBERNETES_TOKEN_DIR", self.directory.display().to_string()),
        ]
    }

    pub(crate) fn put(&self, kind: &str, name: &str, object: Value) {
        self.cluster.lock().unwrap().objects.insert((kind.to_owned(), name.to_owned()), object);
    }

    pub(crate) fn object(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.lock().unwrap().objects.get(&(kind.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.cluster.lock().unwrap().calls.clone()
    }

    pub(crate) fn take_right(&self, resource: &str, verb: &str) {
        self.cluster.lock().unwrap().rights.retain(|right| *right != (resource.to_owned(), verb.to_owned()));
    }

    pub(crate) fn conflicts(&self, count: u32) {
        self.cluster.lock().unwrap().conflicts = count;
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _already_failed = thread.join();
        }
    }
}

/// Of the role `httpfault`, which is the experiment's own; the runner's is not looked at.
fn rights() -> Vec<(String, String)> {
    let all = yaml("deploy/litmus/rbac.yaml");
    let role =
        all.iter().find(|one| one["kind"] == "Role" && one["metadata"]["name"] == "httpfault").unwrap();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for resource in texts(&rule["resources"]) {
            rights.extend(texts(&rule["verbs"]).into_iter().map(|verb| (resource.clone(), verb)));
        }
    }
    rights
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, cluster: Arc<Mutex<Cluster>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, cluster) = (tls.clone(), Arc::clone(&cluster));
        tokio::spawn(async move {
            // A client that does not trust this authority goes away.
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| answer(request, &cluster));
            let _gone = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    cluster: &Mutex<Cluster>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let bearer = head.headers.get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}"));
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (code, answer) = {
        let mut cluster = cluster.lock().unwrap();
        let (code, answer) = match bearer {
            true => cluster.answer(&head.method, head.uri.path(), &body).unwrap_or_else(|refused| refused),
            false => status(401, "Unauthorized"),
        };
        cluster.calls.push(format!("{} {} {code}", head.method, head.uri.path()));
        (code, answer)
    };
    Ok(Response::builder().status(code).body(Full::new(Bytes::from(answer.to_string()))).unwrap())
}

type Answer = (u16, Value);

fn status(code: u16, message: &str) -> Answer {
    (
        code,
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code }),
    )
}

impl Cluster {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> Result<Answer, Answer> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (resource, name) = match parts.as_slice() {
            ["api", "v1", "namespaces", NAMESPACE, resource, name] => (*resource, Some(*name)),
            ["apis", "litmuschaos.io", "v1alpha1", "namespaces", NAMESPACE, resource, rest @ ..] => {
                (*resource, rest.first().copied())
            }
            _ => return Err(status(404, "the server could not find the requested resource")),
        };
        let verb = match *method {
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            _ => return Err(status(405, "the server does not allow this method on the requested resource")),
        };
        if !self.rights.contains(&(resource.to_owned(), verb.to_owned())) {
            let account = "system:serviceaccount:litmus:httpfault";
            return Err(status(
                403,
                &format!("{resource} is forbidden: User \"{account}\" cannot {verb} it"),
            ));
        }
        match (verb, name) {
            ("get", Some(name)) => self.found(resource, name).map(|object| (200, object)),
            ("create", None) => {
                let object = checked(body)?;
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if self.found(resource, &name).is_ok() {
                    return Err(status(409, &format!("{resource} \"{name}\" already exists")));
                }
                Ok((201, self.keep(resource, &name, object)))
            }
            ("update", Some(name)) => {
                let (object, old) = (checked(body)?, self.found(resource, name)?);
                if self.conflicts > 0 {
                    self.conflicts -= 1;
                    self.keep(resource, name, old.clone());
                }
                let old = self.found(resource, name)?;
                if object["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
                    return Err(status(
                        409,
                        "the object has been modified; please apply your changes to the latest version",
                    ));
                }
                Ok((200, self.keep(resource, name, object)))
            }
            _ => Err(status(405, "not on this")),
        }
    }

    fn found(&self, resource: &str, name: &str) -> Result<Value, Answer> {
        let found = self.objects.get(&(resource.to_owned(), name.to_owned())).cloned();
        found.ok_or_else(|| status(404, &format!("{resource} \"{name}\" not found")))
    }

    fn keep(&mut self, resource: &str, name: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert((resource.to_owned(), name.to_owned()), object.clone());
        object
    }
}

const PHASES: &[&str] = &["Running", "Completed", "Completed_With_Probe_Failure", "Stopped", "Error"];
const VERDICTS: &[&str] = &["Pass", "Fail", "Stopped", "Awaited", "Error"];
const PROBE_VERDICTS: &[&str] = &["Passed", "Failed", "N/A", "Awaited"];

/// A ChaosResult, with no member that the operator's types lack.
fn checked(body: &[u8]) -> Result<Value, Answer> {
    let object: Value = serde_json::from_slice(body).map_err(|error| status(400, &error.to_string()))?;
    let result = Shape { path: String::new(), value: &object };
    result.one_of("apiVersion", &["litmuschaos.io/v1alpha1"])?;
    result.one_of("kind", &["ChaosResult"])?;
    result.only(&["apiVersion", "kind", "metadata", "spec", "status"])?;
    let metadata = result.at("metadata");
    metadata.text("name")?;
    metadata.one_of("namespace", &[NAMESPACE])?;
    for (name, value) in metadata.at("labels").members()? {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !value.as_str().is_some_and(|text| text.len() <= 63 && text.chars().all(fits)) {
            return Err(status(422, &format!("metadata.labels.{name}: Invalid value: {value}")));
        }
    }
    let spec = result.at("spec");
    spec.only(&["engine", "experiment", "instance"])?;
    spec.text("experiment")?;
    let outcome = result.at("status").at("experimentStatus");
    outcome.only(&["phase", "verdict", "errorOutput", "probeSuccessPercentage"])?;
    outcome.one_of("phase", PHASES)?;
    outcome.one_of("verdict", VERDICTS)?;
    outcome.at("errorOutput").only(&["errorCode", "reason"])?;
    for probe in result.at("status").list("probeStatuses")? {
        probe.only(&["name", "type", "mode", "status"])?;
        probe.at("status").only(&["verdict", "description"])?;
        probe.at("status").one_of("verdict", PROBE_VERDICTS)?;
    }
    let history = result.at("status").at("history");
    history.only(&["passedRuns", "failedRuns", "stoppedRuns", "targets"])?;
    for target in history.list("targets")? {
        target.only(&["name", "kind", "chaosStatus"])?;
        target.one_of("chaosStatus", &["targeted", "injected", "reverted"])?;
    }
    Ok(object)
}

/// A part of an object, and where it is.
struct Shape<'v> {
    path: String,
    value: &'v Value,
}

impl<'v> Shape<'v> {
    fn at(&self, name: &str) -> Shape<'v> {
        Shape { path: format!("{}.{name}", self.path), value: &self.value[name] }
    }

    fn wrong(&self, what: &str) -> Answer {
        status(422, &format!("{}: Invalid value: {}: {what}", self.path, self.value))
    }

    fn members(&self) -> Result<Vec<(&'v String, &'v Value)>, Answer> {
        if self.value.is_null() {
            return Ok(Vec::new());
        }
        Ok(self.value.as_object().ok_or_else(|| self.wrong("no object"))?.iter().collect())
    }

    fn only(&self, names: &[&str]) -> Result<(), Answer> {
        let unknown = self.members()?.into_iter().find(|(name, _)| !names.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| Err(self.wrong(&format!("unknown field {name}"))))
    }

    fn text(&self, name: &str) -> Result<&'v str, Answer> {
        let member = self.at(name);
        member.value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| member.wrong("no text"))
    }

    fn one_of(&self, name: &str, words: &[&str]) -> Result<(), Answer> {
        let text = self.text(name)?;
        words
            .contains(&text)
            .then_some(())
            .ok_or_else(|| self.at(name).wrong(&format!("not one of {words:?}")))
    }

    fn list(&self, name: &str) -> Result<Vec<Shape<'v>>, Answer> {
        let member = self.at(name);
        if member.value.is_null() {
            return Ok(Vec::new());
        }
        let all = member.value.as_array().ok_or_else(|| member.wrong("no list"))?;
        Ok(all.iter().map(|value| Shape { path: format!("{}[]", member.path), value }).collect())
    }
}
