//! The engine proper: one libchdb on one data directory, and the running of statements on it.
//!
//! Every statement gets a connection of its own (0.2 ms), so that nothing leaks from one request to another; only
//! sessions keep theirs. All functions here block and run on threads of their own.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::http::StatusCode;

use super::answer::{Answer, Counts, Head};
use super::auth::Role;
use super::body::{self, MAX_QUERY, Spool};
use super::chdb::{Chdb, Connection, Query};
use super::encode::Encoding;
use super::error::{Code, Failure};
use super::formats::{Joiner, Joining, joining};
use super::guard::Guard;
use super::request::Request;
use super::session::{DEFAULT_TIMEOUT, Sessions};
use super::settings::{Limits, Settings, text_literal};
use super::statement::{Statement, Verb};

/// The ClickHouse version inside the libchdb that this engine is made for.
pub const CLICKHOUSE_VERSION: &str = "26.5.1.1";
/// UUID of the database `default`, when the data directory does not have one yet.
const DEFAULT_DATABASE: &str = "3df9f7b9-34f4-44e2-9ba2-5ea6ec8d0b5c";
/// A result that must be made whole may take this much memory.
const MAX_WHOLE_RESULT: u64 = 256 << 20;
const MAX_SESSIONS: usize = 256;

/// One engine on one data directory.
pub struct Engine {
    chdb: Chdb,
    /// Kept open: with its last connection the engine would end, and begin anew, with the database `default` as
    /// libchdb makes it, at the next.
    _open: Mutex<Connection>,
    data_dir: PathBuf,
    spool_dir: PathBuf,
    guard: Guard,
    limits: Limits,
    max_insert_bytes: u64,
    /// Sessions of clients.
    pub sessions: Sessions,
    /// Time zone of the engine.
    pub timezone: String,
}

impl Engine {
    /// Starts the engine of `library` on `data_dir`.
    ///
    /// # Errors
    /// When the library or the directory cannot be used, or the library holds another version of ClickHouse.
    pub fn start(library: &Path, data_dir: &Path, limits: Limits, max_insert_bytes: u64) -> Result<Self> {
        let chdb = Chdb::open(library)?;
        let mut connection = chdb.connect(data_dir)?;
        let version = one(&mut connection, "SELECT version()")?;
        if version != CLICKHOUSE_VERSION {
            bail!(
                "`{}` holds ClickHouse `{version}`, needed is `{CLICKHOUSE_VERSION}`: {}",
                library.display(),
                super::locate::HOW_TO_GET
            );
        }
        without_file_tables(&mut connection, data_dir)?;
        let functions = one(&mut connection, "SELECT name FROM system.table_functions")?;
        let engines = "SELECT name FROM system.table_engines UNION ALL SELECT name FROM system.database_engines";
        let engines = one(&mut connection, engines)?;
        let timezone = one(&mut connection, "SELECT timezone()")?;
        Ok(Self {
            chdb,
            _open: Mutex::new(connection),
            data_dir: data_dir.to_owned(),
            spool_dir: data_dir.join("tmp"),
            guard: Guard::new(functions.lines(), engines.lines()),
            limits,
            max_insert_bytes,
            sessions: Sessions::new(MAX_SESSIONS),
            timezone,
        })
    }

    /// Runs one request and answers it.
    pub fn run(&self, request: Request, role: Role, tag: &str, body: Box<dyn Read + Send>, mut answer: Answer) {
        if let Err(failure) = self.try_run(request, role, tag, body, &mut answer) {
            answer.fail(&failure);
        } else if answer.finish().is_err() {
            tracing::debug!("the client left before the end of its answer");
        }
    }

    /// Stops the statement that runs under `tag`, if it still does.
    pub fn kill(&self, tag: &str) {
        let query = format!("KILL QUERY WHERE Settings['log_comment'] = {} ASYNC", text_literal(tag));
        let killed =
            self.chdb.connect(&self.data_dir).map(|mut connection| connection.query(Query::plain(&query)).is_ok());
        tracing::debug!(tag, killed = killed.unwrap_or(false), "the client left while its statement ran");
    }

    fn try_run(
        &self,
        mut request: Request,
        role: Role,
        tag: &str,
        body: Box<dyn Read + Send>,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let mut body = body::decoded(body, request.content_encoding.as_deref(), request.is_on("decompress"))?;
        let incoming = Incoming::read(&mut request, body.as_mut())?;
        let statement = incoming.statement;
        self.guard.check(&statement.text, role)?;
        if request.is_get && role == Role::Writer {
            self.guard.check_reading(&statement.text)?;
        }
        let spool = match statement.verb {
            Verb::InsertData { .. } => {
                Some(Spool::fill(&self.spool_dir, &incoming.data, body.as_mut(), self.max_insert_bytes)?)
            }
            Verb::Select | Verb::Other => None,
        };
        let mut settings = Settings::from_params(&request.params, role, &self.limits)?;
        settings.set("log_comment", tag);
        if statement.text.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert")) {
            settings.for_insert();
        }
        let run = Run::new(&request, &statement, spool.as_ref());
        if statement.verb == Verb::Select && run.joining == Joining::Whole {
            settings.default_to("max_result_bytes", MAX_WHOLE_RESULT);
        }
        match request.get("session_id").filter(|id| !id.is_empty() && role == Role::Writer) {
            Some(id) => self.run_in_session(id, &run, &settings, answer),
            None => {
                settings.add_limits(&self.limits);
                let mut connection = self.connect(&settings, request.database())?;
                if role == Role::Reader {
                    connection.query(Query::plain("SET readonly = 1"))?;
                    self.check_tree(&mut connection, &run)?;
                }
                run.on(&mut connection, answer)
            }
        }
    }

    fn connect(&self, settings: &Settings, database: Option<&str>) -> Result<Connection, Failure> {
        let connected = self.chdb.connect(&self.data_dir);
        let mut connection = connected.map_err(|error| Failure::new(Code::StdException, format!("{error:#}")))?;
        connection.query(Query::plain(&settings.statement()))?;
        if let Some(name) = database {
            connection.query(Query::plain(&use_database(name)))?;
        }
        Ok(connection)
    }

    /// Runs in the connection that the session keeps. What the request itself sets is put back afterwards.
    fn run_in_session(&self, id: &str, run: &Run<'_>, settings: &Settings, answer: &mut Answer) -> Result<(), Failure> {
        let (lease, connection) = self.sessions.take(id, run.request.is_on("session_check"))?;
        let mut connection = match connection {
            Some(connection) => connection,
            None => {
                let mut limits = Settings::default();
                limits.add_limits(&self.limits);
                self.connect(&limits, None)?
            }
        };
        let before = Before::save(&mut connection, settings, run)?;
        let outcome = connection
            .query(Query::plain(&settings.statement()))
            .map_err(Failure::from)
            .and_then(|_| {
                run.request.database().map_or(Ok(()), |name| {
                    connection.query(Query::plain(&use_database(name))).map(drop).map_err(Failure::from)
                })
            })
            .and_then(|()| run.on(&mut connection, answer));
        before.restore(&mut connection)?;
        let timeout = run.request.get("session_timeout").and_then(|seconds| seconds.parse().ok());
        lease.keep(connection, timeout.map_or(DEFAULT_TIMEOUT, Duration::from_secs));
        outcome
    }

    /// A second look at what a reader sends, by the engine's own parser: no function of its syntax tree may reach
    /// outside, however the text was written.
    fn check_tree(&self, connection: &mut Connection, run: &Run<'_>) -> Result<(), Failure> {
        if run.statement.verb != Verb::Select {
            return Ok(());
        }
        let params = run.request.statement_params();
        let text = format!("EXPLAIN AST {}", run.statement.text);
        let tree = connection.query(Query { text: &text, format: "TabSeparatedRaw", params: &params })?;
        let tree = String::from_utf8_lossy(tree.as_ref()).into_owned();
        let mut functions =
            tree.lines().filter_map(|line| line.trim_start().strip_prefix("Function ")?.split(' ').next());
        match functions.find(|name| self.guard.reaches_outside(name)) {
            Some(name) => Err(Failure::new(Code::AccessDenied, format!("refused: function `{name}`"))),
            None => Ok(()),
        }
    }
}

/// The statement of a request, with the beginning of its data.
struct Incoming {
    statement: Statement,
    data: Vec<u8>,
}

impl Incoming {
    /// The statement is in the parameter `query`, in the body, or begins there and goes on here.
    fn read(request: &mut Request, body: &mut dyn Read) -> Result<Self, Failure> {
        if let Some(boundary) = request.form_boundary.take() {
            let form = body::read_head(body)?;
            if form.len() > MAX_QUERY {
                return Err(too_long());
            }
            request.add_form(&form, &boundary)?;
        }
        let query = request.get("query").unwrap_or_default();
        if !query.trim().is_empty()
            && let Ok(statement) = Statement::parse(query)
            && let Verb::InsertData { data, .. } = statement.verb
        {
            let data = query.as_bytes()[data..].to_vec();
            return Ok(Self { statement, data });
        }
        let head = body::read_head(body)?;
        let text = if query.is_empty() { head } else { [query.as_bytes(), b"\n", &head].concat() };
        Self::from_text(text)
    }

    fn from_text(text: Vec<u8>) -> Result<Self, Failure> {
        let valid = std::str::from_utf8(&text).unwrap_or_else(|error| {
            // The bytes before the error are valid, says the error.
            std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default()
        });
        let statement = Statement::parse(valid);
        if let Ok(Statement { verb: Verb::InsertData { data, .. }, .. }) = statement {
            return Ok(Self { data: text[data..].to_vec(), statement: statement? });
        }
        if text.len() > MAX_QUERY {
            return Err(too_long());
        }
        if valid.len() < text.len() {
            return Err(Failure::new(Code::SyntaxError, "Syntax error: the query is not UTF-8"));
        }
        Ok(Self { statement: statement?, data: Vec::new() })
    }
}

fn too_long() -> Failure {
    Failure::new(Code::QueryIsTooLarge, format!("Query is larger than {MAX_QUERY} bytes"))
}

/// One statement about to run.
struct Run<'r> {
    request: &'r Request,
    statement: &'r Statement,
    spool: Option<&'r Spool>,
    format: &'r str,
    joining: Joining,
    started: Instant,
}

impl<'r> Run<'r> {
    fn new(request: &'r Request, statement: &'r Statement, spool: Option<&'r Spool>) -> Self {
        let default_format = request.default_format.as_deref().unwrap_or("TabSeparated");
        let format = match statement.verb {
            Verb::InsertData { .. } => default_format,
            Verb::Select | Verb::Other => statement.format.as_deref().unwrap_or(default_format),
        };
        let is_array = request.is_on("output_format_json_array_of_rows");
        let joining = if is_array { Joining::Whole } else { joining(format) };
        Self { request, statement, spool, format, joining, started: Instant::now() }
    }

    fn on(&self, connection: &mut Connection, answer: &mut Answer) -> Result<(), Failure> {
        if self.statement.verb == Verb::Select && self.joining != Joining::Whole {
            return self.stream(connection, answer);
        }
        if self.spool.is_some_and(|spool| spool.bytes() == 0) {
            // Nothing to insert is not an error over HTTP.
            return begin(answer, self.head(Counts::default()));
        }
        self.at_once(connection, answer)
    }

    fn at_once(&self, connection: &mut Connection, answer: &mut Answer) -> Result<(), Failure> {
        let text = match (self.statement.verb, self.spool) {
            (Verb::InsertData { source, .. }, Some(spool)) => self.statement.reading_from(source, &spool.path()),
            _ => self.statement.text.clone(),
        };
        let params = self.request.statement_params();
        let chunk = connection.query(Query { text: &text, format: self.format, params: &params })?;
        begin(answer, self.head(Counts::of(&chunk, self.started.elapsed().as_nanos())))?;
        answer.send(bytes::Bytes::from_owner(chunk)).map_err(gone)
    }

    fn stream(&self, connection: &mut Connection, answer: &mut Answer) -> Result<(), Failure> {
        let params = self.request.statement_params();
        let mut chunks =
            connection.stream(Query { text: &self.statement.text, format: self.format, params: &params })?;
        let mut joiner = Joiner::new(self.joining);
        let wait = self.request.is_on("wait_end_of_query");
        let mut counts = Counts::default();
        let mut held = Vec::new();
        let mut has_begun = false;
        while let Some(chunk) = chunks.next()? {
            let here = Counts::of(&chunk, self.started.elapsed().as_nanos());
            counts = counts.and(here);
            let piece = joiner.add(chunk);
            if wait {
                held.push(piece);
                if counts.result.1 > MAX_WHOLE_RESULT {
                    let message =
                        format!("a result of more than {MAX_WHOLE_RESULT} bytes cannot be held until its end");
                    return Err(Failure::new(Code::TooManyRowsOrBytes, message));
                }
                continue;
            }
            if !std::mem::replace(&mut has_begun, true) {
                begin(answer, self.head(counts))?;
            }
            answer.send(piece).map_err(gone)?;
        }
        if !has_begun {
            begin(answer, self.head(counts))?;
        }
        held.into_iter().try_for_each(|piece| answer.send(piece)).map_err(gone)
    }

    fn head(&self, counts: Counts) -> Head {
        let encoding = self.request.answer_encoding;
        let encoding = if self.spool.is_some() { Encoding::Plain } else { encoding };
        Head {
            status: StatusCode::OK,
            format: self.format.to_owned(),
            summary: counts.summary(),
            encoding,
            exception: None,
        }
    }
}

fn begin(answer: &mut Answer, head: Head) -> Result<(), Failure> {
    answer.begin(head).map_err(gone)
}

fn gone(_: super::answer::Gone) -> Failure {
    Failure::new(Code::StdException, "the client is gone")
}

/// A session's state that a single request changes for itself only.
struct Before {
    statements: Vec<String>,
}

impl Before {
    fn save(connection: &mut Connection, settings: &Settings, run: &Run<'_>) -> Result<Self, Failure> {
        let names: Vec<_> = settings.names().map(text_literal).collect();
        let query = format!("SELECT name, value FROM system.settings WHERE name IN ({})", names.join(", "));
        let chunk = connection.query(Query::plain(&query))?;
        // TabSeparated escapes what a string literal escapes.
        let pairs = String::from_utf8_lossy(chunk.as_ref()).into_owned();
        let pairs = pairs.lines().filter_map(|line| line.split_once('\t'));
        let mut statements: Vec<_> = pairs.map(|(name, value)| format!("SET {name} = '{value}'")).collect();
        let is_use = run.statement.text.trim_start().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("use "));
        if run.request.database().is_some() && !is_use {
            let chunk =
                connection.query(Query { format: "TabSeparatedRaw", ..Query::plain("SELECT currentDatabase()") })?;
            statements.push(use_database(String::from_utf8_lossy(chunk.as_ref()).trim_end_matches('\n')));
        }
        Ok(Self { statements })
    }

    fn restore(&self, connection: &mut Connection) -> Result<(), Failure> {
        for statement in &self.statements {
            connection.query(Query::plain(statement))?;
        }
        Ok(())
    }
}

fn use_database(name: &str) -> String {
    format!("USE `{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// The one value, or the lines of the one column, that a statement yields.
fn one(connection: &mut Connection, text: &str) -> Result<String> {
    let chunk =
        connection.query(Query { format: "TabSeparatedRaw", ..Query::plain(text) }).context("the engine fails")?;
    Ok(String::from_utf8_lossy(chunk.as_ref()).trim_end_matches('\n').to_owned())
}

/// Replaces the database `default`, in which libchdb also shows every file of the machine as a table, by the plain
/// database that it keeps on disk. Detaching forgets it in memory only; its tables stay.
fn without_file_tables(connection: &mut Connection, data_dir: &Path) -> Result<()> {
    if one(connection, "SELECT engine FROM system.databases WHERE name = 'default'")? == "Atomic" {
        return Ok(());
    }
    let kept = std::fs::read_to_string(data_dir.join("metadata/default.sql")).unwrap_or_default();
    let uuid = kept.split("UUID '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or(DEFAULT_DATABASE);
    one(connection, "DETACH DATABASE default")?;
    let definition = format!("DATABASE default UUID {} ENGINE = Atomic", text_literal(uuid));
    if let Err(error) = one(connection, &format!("ATTACH {definition}")) {
        // libchdb cannot attach its own database again while it is empty; an empty one can be made anew.
        forget_empty_database(data_dir).context(error)?;
        one(connection, &format!("CREATE {definition}"))?;
    }
    let engine = one(connection, "SELECT engine FROM system.databases WHERE name = 'default'")?;
    if engine != "Atomic" {
        bail!("the database `default` of `{}` has the engine `{engine}`, needed is `Atomic`", data_dir.display());
    }
    Ok(())
}

fn forget_empty_database(data_dir: &Path) -> Result<()> {
    let metadata = data_dir.join("metadata");
    let (tables, definition) = (metadata.join("default"), metadata.join("default.sql"));
    // The link may point to nothing: the engine makes the place with the first table.
    if tables.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("`{}` holds tables", tables.display());
    }
    for file in [definition, tables] {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
