//! A private Odoo with a database of its own, on a PostgreSQL that only those are on: Odoo loads its modules in one long
//! transaction, which every reader of a database on the same server would wait for.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::{Map, Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::server::{
    DIRECTORY_PREFIX, PrivatePostgres, remove_what_ended_processes_left, send_signal, spawn_from_lasting_thread,
};
use super::{environment, free_port, http_client, repository_file};

/// Loading all modules takes seconds of computing; on a busy machine many more.
const LONGEST_ANSWER: std::time::Duration = std::time::Duration::from_secs(120);

/// A running Odoo. It ends when this value is dropped or the process ends.
pub struct Odoo {
    pub url: String,
    /// Name of its database.
    pub database: String,
    keys: Map<String, Value>,
    client: reqwest::Client,
    pool: PgPool,
    child: Child,
    directory: TempDir,
}

impl Odoo {
    /// A new one that answers, with the logins `admin`, `reader` and `blind` of `tests/odoo/setup.py`.
    pub async fn start() -> Self {
        remove_what_ended_processes_left();
        let prefix = format!("{DIRECTORY_PREFIX}{}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary directory");
        let shared = url::Url::parse(&server().await.0).expect("the server has a URL");
        let database = format!("odoo_{}", Uuid::new_v4().simple());
        let postgres_port = shared.port().expect("the server has a port").to_string();
        let (port, path) = (free_port(), directory.path().display().to_string());
        let init = script(&["init", &path, &postgres_port, &database, &port.to_string()]).output();
        let init = init.expect("the script runs");
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        let mut own = shared;
        own.set_path(&database);
        let odoo = Self {
            url: format!("http://127.0.0.1:{port}"),
            database,
            keys: keys(),
            client: http_client(LONGEST_ANSWER),
            pool: PgPoolOptions::new().max_connections(2).connect_lazy(own.as_str()).expect("a URL"),
            child: spawn(&directory),
            directory,
        };
        odoo.until_ready().await
    }

    /// The API key of a login.
    pub fn key(&self, login: &str) -> &str {
        self.keys[login].as_str().expect("a key is text")
    }

    /// Calls a method of a model as administrator and gives what it gives.
    pub async fn call(&self, model: &str, method: &str, arguments: Value) -> Value {
        let (status, body) = self.call_as("admin", model, method, &arguments).await;
        assert_eq!(status, 200, "{model}.{method}: {body}");
        body
    }

    /// Calls a method of a model with some login; gives the status and what came.
    pub async fn call_as(&self, login: &str, model: &str, method: &str, arguments: &Value) -> (u16, Value) {
        self.post(login, model, method, arguments).await.expect("odoo answers")
    }

    /// Makes a record and gives its id.
    pub async fn create(&self, model: &str, values: Value) -> i64 {
        let made = self.call(model, "create", json!({ "vals_list": [values] })).await;
        made[0].as_i64().unwrap_or_else(|| panic!("{model}.create gave {made}"))
    }

    /// Changes a record.
    pub async fn write(&self, model: &str, id: i64, values: Value) {
        self.call(model, "write", json!({ "ids": [id], "vals": values })).await;
    }

    /// Deletes a record.
    pub async fn unlink(&self, model: &str, id: i64) {
        self.call(model, "unlink", json!({ "ids": [id] })).await;
    }

    /// Members of one record.
    pub async fn read(&self, model: &str, id: i64, fields: &[&str]) -> Value {
        let domain = json!({ "domain": [["id", "=", id]], "fields": fields, "context": { "active_test": false } });
        self.call(model, "search_read", domain).await[0].take()
    }

    /// Runs statements in its database, behind its back.
    pub async fn sql(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&self.pool).await.expect("the statements run");
    }

    async fn post(&self, login: &str, model: &str, method: &str, arguments: &Value) -> reqwest::Result<(u16, Value)> {
        let url = format!("{}/json/2/{model}/{method}", self.url);
        let request = self.client.post(url).bearer_auth(self.key(login)).header("content-type", "application/json");
        let answer = request.body(arguments.to_string()).send().await?;
        let status = answer.status().as_u16();
        let body = answer.text().await?;
        Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
    }

    async fn until_ready(mut self) -> Self {
        loop {
            let everybody = json!({ "domain": [] });
            let count = self.post("admin", "res.partner", "search_count", &everybody).await;
            if count.is_ok_and(|(status, _)| status == 200) {
                return self;
            }
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                panic!("odoo ended with {status}:\n{log}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Odoo {
    fn drop(&mut self) {
        send_signal(&self.child, "KILL");
        self.child.wait().expect("a child can be waited for");
    }
}

/// The PostgreSQL that the Odoos of this run share: its URL, and the server where this process had to start it.
async fn server() -> &'static (String, Option<PrivatePostgres>) {
    static SHARED: OnceCell<(String, Option<PrivatePostgres>)> = OnceCell::const_new();
    let start = || async {
        if let Some(url) = environment("PLUMBLINE_TEST_ODOO_POSTGRES") {
            return (url, None);
        }
        let own = PrivatePostgres::start().await;
        (own.url(), Some(own))
    };
    SHARED.get_or_init(start).await
}

fn spawn(directory: &TempDir) -> Child {
    let log = fs::File::create(directory.path().join("log")).expect("a log can be written");
    let mut command = script(&["run", &directory.path().display().to_string()]);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    spawn_from_lasting_thread(command).expect("odoo can be started")
}

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(repository_file("scripts/private-odoo.sh"));
    command.args(arguments);
    command
}

fn keys() -> Map<String, Value> {
    let output = script(&["keys"]).output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}
