//! Deploys a SAM template to an account.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ees_test_shared::{binary, target, workspace};

use crate::account::Account;
use crate::venv;

const EVENT_STORE: &str = "deploy/template.yaml";

/// What a new stack is given.
const NEW_TABLE: &str = "TableFormat=3";

/// A deployed stack with running functions. It is deleted with its account.
#[derive(Clone, Debug)]
pub struct Stack {
    account: Account,
    name: &'static str,
    outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Deploys the event store for callers who sign: `deploy/template.yaml`, with the functions of the
    /// current build.
    ///
    /// # Panics
    /// When the functions don't build or the stack can't be deployed. The message says why.
    pub async fn event_store(account: &Account) -> Self {
        Self::event_store_with(account, Vec::new()).await
    }

    /// Deploys the event store for callers who send this key, with the functions of this program.
    ///
    /// # Panics
    /// When the stack can't be deployed. The message says why.
    pub async fn event_store_of(account: &Account, program: PathBuf, key: &str) -> Self {
        let (template, parameters) = (workspace().join(EVENT_STORE), completed(by_key(key)));
        Self::deploy_as(account, "ees", template, move || program, parameters).await
    }

    /// Deploys the event store for callers who send this key, among them pages of these origins.
    ///
    /// # Panics
    /// As for [`event_store`](Self::event_store).
    pub async fn event_store_for_pages(account: &Account, key: &str, origins: &str) -> Self {
        let mut parameters = by_key(key);
        parameters.push(format!("CorsOrigins={origins}"));
        Self::event_store_with(account, parameters).await
    }

    /// Deploys the event store for callers who sign, and lets its functions send traces to a collector.
    ///
    /// # Panics
    /// As for [`event_store`](Self::event_store).
    pub async fn event_store_traced(account: &Account, collector: &str) -> Self {
        let parameters = vec![format!("OtlpEndpoint={collector}")];
        Self::event_store_with(account, parameters).await
    }

    /// Deploys the event store with these parameters (`NAME=VALUE`), and a table of the newest format unless they name
    /// one.
    ///
    /// # Panics
    /// As for [`event_store`](Self::event_store).
    pub async fn event_store_with(account: &Account, parameters: Vec<String>) -> Self {
        Self::deploy(account, "ees", EVENT_STORE, "bootstrap", completed(parameters)).await
    }

    /// Deploys the example of your own projection next to it, on a PostgreSQL database.
    ///
    /// # Panics
    /// As for [`event_store`](Self::event_store).
    pub async fn own_projection(&self, database_url: &str) -> Self {
        self.own_projection_with(vec![format!("DatabaseUrl={database_url}")]).await
    }

    /// Deploys the example of your own projection next to it, with these parameters (`NAME=VALUE`).
    ///
    /// # Panics
    /// As for [`event_store`](Self::event_store).
    pub async fn own_projection_with(&self, mut parameters: Vec<String>) -> Self {
        parameters.push(format!("ChangesetsTopic={}", self.output("ChangesetsTopic")));
        parameters.push(format!("Table={}", self.output("Table")));
        let template = "deploy/own-projection/template.yaml";
        Self::deploy(&self.account, "own", template, "own_projection", parameters).await
    }

    /// Deploys a projection of one's own as the stack `own`, with the function of this program; again if it is there.
    ///
    /// # Panics
    /// When the stack can't be deployed. The message says why.
    pub async fn own_of(
        account: &Account,
        template: PathBuf,
        program: PathBuf,
        parameters: Vec<String>,
    ) -> Self {
        Self::deploy_as(account, "own", template, move || program, parameters).await
    }

    async fn deploy(
        account: &Account,
        name: &'static str,
        template: &'static str,
        functions: &'static str,
        parameters: Vec<String>,
    ) -> Self {
        let (template, program) = (workspace().join(template), move || binary(functions));
        Self::deploy_as(account, name, template, program, parameters).await
    }

    async fn deploy_as(
        account: &Account,
        name: &'static str,
        template: PathBuf,
        functions: impl FnOnce() -> PathBuf + Send + 'static,
        mut parameters: Vec<String>,
    ) -> Self {
        parameters.push(format!("Architecture={}", architecture()));
        let to = account.clone();
        let deploying = tokio::task::spawn_blocking(move || {
            deploy(&to, name, &template, &stripped(&functions()), &parameters)
        });
        match deploying.await {
            Ok(outputs) => Self { account: account.clone(), name, outputs },
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// The account of the stack.
    pub fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// The outputs of the template.
    pub fn outputs(&self) -> &BTreeMap<String, String> {
        &self.outputs
    }

    /// The value of an output of the template.
    ///
    /// # Panics
    /// When there is no output of that name.
    pub fn output(&self, name: &str) -> &str {
        &self.outputs[name]
    }

    /// The `Authorization` header of a signed request, as far as the emulator reads it: the access key of the
    /// account's owner. It does not verify the signature. Without the header, it uses the account of requests
    /// without an access key.
    pub fn authorization(&self) -> String {
        let scope =
            format!("{}/20260101/{}/execute-api/aws4_request", self.account.id(), self.account.region());
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0")
    }

    /// Lines for a shell: they set what the commands of `ees` and of AWS need for this stack and this key, and name its
    /// parts. What to try with them comes as comments.
    ///
    /// # Panics
    /// When the stack is not the event store.
    pub fn shell_lines(&self, key: &str) -> String {
        let account = &self.account;
        let outputs = [
            ("TABLE", "Table"),
            ("READ_MODELS", "ReadModels"),
            ("CHANGESETS_TOPIC", "ChangesetsTopic"),
            ("EVENTS_TOPIC", "EventsTopic"),
            ("NOTIFICATIONS_TOPIC", "NotificationsTopic"),
            ("EES_PUBLISH_DEAD_LETTERS", "DeadLetters"),
        ];
        let url = self.url();
        let variables = account
            .environment()
            .into_iter()
            // For the AWS command line.
            .chain([("AWS_DEFAULT_REGION", account.region()), ("EES_URL", &*url), ("EES_API_KEY", key)])
            .chain(outputs.map(|(name, output)| (name, self.output(output))));
        let exports: String = variables.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        let logs = format!("/aws/lambda/{}", self.name);
        format!(
            "{exports}\
             # ees tail --since-start\n\
             # ees projections list                  (or `ees console`, which prints the address of a page)\n\
             # ees dynamodb check \"$TABLE\"           (`ees` with the feature dynamodb)\n\
             # ees dead-letters list                 (`ees` with the feature sns)\n\
             # aws dynamodb scan --table-name \"$TABLE\"\n\
             # aws logs tail {logs}-api              (or -indexer, -publisher, -projector)\n"
        )
    }

    /// The URL at which the emulator serves the API.
    ///
    /// # Panics
    /// When the stack has no `ApiEndpoint`.
    pub fn url(&self) -> String {
        let endpoint = self.output("ApiEndpoint");
        let (id, stage) = endpoint
            .strip_prefix("https://")
            .and_then(|rest| Some((rest.split_once('.')?.0, rest.split_once('/')?.1)))
            .expect("https://ID.execute-api.REGION.HOST/STAGE");
        format!("{}/_aws/execute-api/{id}/{stage}", self.account.endpoint())
    }
}

/// With what each event store here has, unless these say otherwise.
fn completed(mut parameters: Vec<String>) -> Vec<String> {
    parameters.push("DeletionProtection=false".to_owned());
    if !parameters.iter().any(|it| it.starts_with("TableFormat=")) {
        parameters.push(NEW_TABLE.to_owned());
    }
    parameters
}

fn by_key(key: &str) -> Vec<String> {
    vec!["Authorization=bearer".to_owned(), format!("ApiKeys={key}")]
}

fn deploy(
    account: &Account,
    name: &str,
    template: &Path,
    program: &Path,
    parameters: &[String],
) -> BTreeMap<String, String> {
    let mut python = Command::new(venv::python());
    python.args(["-c", include_str!("deploy.py"), name]).arg(template).arg(program).args(parameters);
    let deployed = python.envs(account.environment()).output().expect("python runs");
    let told = String::from_utf8_lossy(&deployed.stderr);
    assert!(deployed.status.success(), "{} can't be deployed: {told}", template.display());
    serde_json::from_slice(&deployed.stdout).expect("the outputs, as JSON")
}

/// A binary of functions, stripped, because the emulator copies it.
fn stripped(built: &Path) -> PathBuf {
    let name = built.file_name().unwrap_or_default().to_string_lossy().into_owned();
    fs::create_dir_all(target().join("aws")).expect("target is writable");
    // Several tests of one process, and several processes, may do this at the same time.
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let call = CALLS.fetch_add(1, Relaxed);
    let stripping = target().join(format!("aws/{name}-{}-{call}", std::process::id()));
    let strip = Command::new("strip").arg("-o").arg(&stripping).arg(built).status();
    if !strip.is_ok_and(|status| status.success()) {
        return built.to_owned();
    }
    let stripped = target().join("aws").join(name);
    fs::rename(stripping, &stripped).expect("target is writable");
    stripped
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}
