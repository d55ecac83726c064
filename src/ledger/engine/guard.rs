//! What the engine refuses although ClickHouse's grammar allows it.
//!
//! The engine has no users and no grants, and can reach files, hosts and programs of this machine. So every statement
//! is read token by token before it runs. What is refused is refused in any place of the statement, whatever it would
//! mean there: a name before a bracket is taken for a call.

use std::collections::HashSet;

use super::auth::Role;
use super::error::{Code, Failure};
use super::lexer::{Kind, Token, tokens};

/// Table functions that stay inside the engine. Everything else that the engine lists is refused.
const INNER_TABLE_FUNCTIONS: &[&str] = &[
    "format",
    "fuzzjson",
    "fuzzquery",
    "generate_series",
    "generaterandom",
    "generateseries",
    "loop",
    "merge",
    "mergetreeanalyzeindexes",
    "mergetreeanalyzeindexesuuid",
    "mergetreeindex",
    "mergetreeprojection",
    "mergetreetextindex",
    "null",
    "numbers",
    "numbers_mt",
    "primes",
    "sqlstandardvalues",
    "timeseriesdata",
    "timeseriesmetrics",
    "timeseriesselector",
    "timeseriestags",
    "values",
    "view",
    "viewexplain",
    "viewifpermitted",
    "zeros",
    "zeros_mt",
];

/// Refused even if the engine did not list them: names of other versions, functions and sources.
const OUTER_FUNCTIONS: &[&str] = &[
    "arrowflight",
    "arrowstream",
    "azure",
    "azureblobstorage",
    "azureblobstoragecluster",
    "catboostevaluate",
    "clickhouse",
    "cluster",
    "clusterallreplicas",
    "cosn",
    "deltalake",
    "dictionary",
    "disk",
    "executable",
    "file",
    "filecluster",
    "filesystem",
    "gcs",
    "hdfs",
    "hdfscluster",
    "http",
    "hudi",
    "iceberg",
    "input",
    "jdbc",
    "library",
    "mongodb",
    "mysql",
    "odbc",
    "oss",
    "postgresql",
    "prometheusquery",
    "prometheusqueryrange",
    "python",
    "redis",
    "remote",
    "remotesecure",
    "s3",
    "s3cluster",
    "source",
    "sqlite",
    "url",
    "urlcluster",
    "ytsaurus",
];

/// Table and database engines that stay inside the engine.
const INNER_ENGINES: &[&str] = &[
    "aggregatingmergetree",
    "atomic",
    "buffer",
    "coalescingmergetree",
    "collapsingmergetree",
    "graphitemergetree",
    "join",
    "log",
    "materializedview",
    "memory",
    "merge",
    "mergetree",
    "null",
    "replacingmergetree",
    "set",
    "stripelog",
    "summingmergetree",
    "tinylog",
    "versionedcollapsingmergetree",
    "view",
];

/// Beginnings of statements that nobody may send, as words in a row.
const REFUSED_STATEMENTS: &[&[&str]] = &[
    &["attach"],
    &["backup"],
    &["restore"],
    &["grant"],
    &["revoke"],
    &["undrop"],
    &["create", "function"],
    &["create", "user"],
    &["create", "role"],
    &["create", "quota"],
    &["create", "row"],
    &["create", "policy"],
    &["create", "settings"],
    &["create", "profile"],
    &["create", "named"],
    &["create", "workload"],
    &["create", "resource"],
    &["create", "dictionary"],
    &["create", "masking"],
    &["replace", "dictionary"],
    &["drop", "function"],
    &["drop", "database", "default"],
    &["detach", "database", "default"],
    &["system", "shutdown"],
    &["system", "kill"],
    &["system", "suspend"],
    &["system", "reload", "config"],
    &["system", "start", "listen"],
    &["system", "stop", "listen"],
];

/// The names that statements are held against.
#[derive(Clone, Debug)]
pub struct Guard {
    functions: HashSet<String>,
    engines: HashSet<String>,
}

impl Guard {
    /// From the table functions, table engines and database engines that the engine lists itself.
    pub fn new<'n>(table_functions: impl Iterator<Item = &'n str>, engines: impl Iterator<Item = &'n str>) -> Self {
        let lower = |name: &str| name.to_ascii_lowercase();
        let listed = table_functions.map(lower).filter(|name| !INNER_TABLE_FUNCTIONS.contains(&name.as_str()));
        let functions = listed.chain(OUTER_FUNCTIONS.iter().map(|name| (*name).to_owned())).collect();
        let engines = engines.map(lower).filter(|name| !INNER_ENGINES.contains(&name.as_str())).collect();
        Self { functions, engines }
    }

    /// Whether a function of this name reaches outside of the engine.
    pub fn reaches_outside(&self, function: &str) -> bool {
        self.functions.contains(&function.to_ascii_lowercase())
    }

    /// Lets the statement pass or says why not.
    ///
    /// # Errors
    /// [`Code::AccessDenied`] for what nobody may do, [`Code::Readonly`] for what readers may not.
    pub fn check(&self, text: &str, role: Role) -> Result<(), Failure> {
        let tokens = tokens(text);
        refuse_statement(&tokens)?;
        refuse_file_clauses(&tokens)?;
        self.refuse_calls(&tokens)?;
        self.refuse_engines(&tokens)?;
        if role == Role::Reader { refuse_to_readers(&tokens) } else { Ok(()) }
    }

    /// Lets only statements pass that change nothing, for GET requests.
    ///
    /// # Errors
    /// [`Code::Readonly`].
    pub fn check_reading(&self, text: &str) -> Result<(), Failure> {
        refuse_changes(&tokens(text))
    }

    fn refuse_calls(&self, tokens: &[Token<'_>]) -> Result<(), Failure> {
        for pair in tokens.windows(2).filter(|pair| pair[1].is_symbol('(')) {
            if pair[0].is_symbol('}') {
                return Err(denied("a call of a function whose name is a parameter"));
            }
            if let Some(name) = pair[0].name().filter(|name| self.reaches_outside(name)) {
                return Err(denied(format!("function `{name}`: it reaches outside of the ledger's engine")));
            }
        }
        Ok(())
    }

    fn refuse_engines(&self, tokens: &[Token<'_>]) -> Result<(), Failure> {
        if !tokens.first().is_some_and(|token| ["create", "replace", "alter"].iter().any(|word| token.is_word(word))) {
            return Ok(());
        }
        for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is_word("engine")) {
            let name = tokens[at + 1..].iter().find(|token| !token.is_symbol('='));
            let name = name.and_then(Token::name).unwrap_or_default().to_ascii_lowercase();
            if self.engines.contains(&name) || name.ends_with("mergetree") && name.starts_with("replicated") {
                return Err(denied(format!("engine `{name}`: it reaches outside of the ledger's engine")));
            }
        }
        Ok(())
    }
}

fn denied(what: impl std::fmt::Display) -> Failure {
    Failure::new(Code::AccessDenied, format!("refused: {what}"))
}

fn refuse_statement(tokens: &[Token<'_>]) -> Result<(), Failure> {
    const FILLERS: &[&str] = &["or", "replace", "if", "not", "exists", "temporary", "explain", "ast", "syntax"];
    let words: Vec<String> = tokens
        .iter()
        .take(8)
        .map(|token| token.name().unwrap_or_default().to_ascii_lowercase())
        .enumerate()
        .filter(|(at, word)| *at == 0 || !FILLERS.contains(&word.as_str()))
        .map(|(_, word)| word)
        .collect();
    let refused = REFUSED_STATEMENTS.iter().find(|refused| {
        words.len() >= refused.len() && words.iter().zip(refused.iter()).all(|(word, refused)| word == refused)
    });
    refused.map_or(Ok(()), |refused| Err(denied(format!("`{}`", refused.join(" ").to_uppercase()))))
}

fn refuse_file_clauses(tokens: &[Token<'_>]) -> Result<(), Failure> {
    let pairs = [("into", "outfile"), ("from", "infile"), ("into", "function"), ("table", "function")];
    for pair in tokens.windows(2) {
        if let Some((first, second)) =
            pairs.iter().find(|(first, second)| pair[0].is_word(first) && pair[1].is_word(second))
        {
            return Err(denied(format!("`{} {}`", first.to_uppercase(), second.to_uppercase())));
        }
    }
    Ok(())
}

/// Beginnings of statements that change nothing.
const READING: &[&str] = &["select", "with", "from", "show", "describe", "desc", "explain", "exists", "use", "check"];

fn readonly(what: &str) -> Result<(), Failure> {
    Err(Failure::new(Code::Readonly, format!("Cannot execute query in readonly mode: {what}")))
}

fn refuse_changes(tokens: &[Token<'_>]) -> Result<(), Failure> {
    let first = tokens.iter().find(|token| !token.is_symbol('('));
    let is_reading = first.is_some_and(|token| READING.iter().any(|word| token.is_word(word)));
    if is_reading { Ok(()) } else { readonly("only reading is allowed") }
}

fn refuse_to_readers(tokens: &[Token<'_>]) -> Result<(), Failure> {
    refuse_changes(tokens)?;
    for triple in tokens.windows(3) {
        if triple[0].is_word("settings") && triple[1].name().is_some() && triple[2].is_symbol('=') {
            return readonly("`SETTINGS`");
        }
    }
    // An unquoted word may be a column's name; only `name (` and statement words decide.
    if tokens.iter().any(|token| token.kind == Kind::Unclosed) {
        return readonly("a quote without an end");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(["file", "numbers", "s3", "newThing"].into_iter(), ["File", "URL", "MergeTree", "MySQL"].into_iter())
    }

    fn check(role: Role, text: &str, expect: &str) {
        let found = guard().check(text, role).err().map(|failure| failure.text).unwrap_or_default();
        let is_expected = if expect.is_empty() { found.is_empty() } else { found.contains(expect) };
        assert!(is_expected, "{text}: {found}");
    }

    #[test]
    fn ways_out_are_refused_however_they_are_written() {
        for text in [
            "select * from file('/etc/passwd')",
            "SELECT * FROM FiLe ('/etc/passwd')",
            "select * from `file`('/etc/passwd')",
            "select * from \"file\"/* x */('/etc/passwd')",
            "select * from file -- c\n ('/etc/passwd')",
            "select * from file\u{a0}('/etc/passwd')",
            "select * from “file”('/etc/passwd')",
            "with (select 1 from (select * from s3('x'))) as x select x",
            "select 1 where 1 in (select * from newThing(1))",
            "create view v as select * from url('http://x')",
            "create table t as remote('h', 'd', 't')",
            "insert into t select * from input('a Int8')",
            "insert into t values (file('/etc/passwd'))",
            "describe file('x')",
            "explain select * from executable('x')",
            "select * from {f:Identifier}('x')",
            "select 1 into outfile '/tmp/x'",
            "insert into t from infile '/tmp/x' format TSV",
            "insert into function file('x') select 1",
            "insert into table function null() select 1",
            "create table t (a Int8) engine = File(TSV)",
            "create table t (a Int8) engine File",
            "create table t (a Int8) /* */ ENGINE = `URL`",
            "create database d engine = MySQL",
            "create table t (a Int8) engine = MergeTree order by a settings disk = disk(type = 'local', path = '/')",
            "create table t (a Int8) engine = ReplicatedMergeTree order by a",
            "create or replace dictionary d (a Int8) primary key a source(http(url 'x'))",
            "CREATE FUNCTION f AS (x) -> x",
            "attach table t from '/tmp/x' (a Int8) engine = Memory",
            "backup database d to Disk('d', 'x')",
            "system shutdown",
            "drop database if exists default",
        ] {
            check(Role::Writer, text, "refused");
        }
    }

    #[test]
    fn names_inside_text_and_columns_stay_usable() {
        for text in [
            "select 'file(1)', file, url from t -- s3(1)",
            "select format('{}', 1), numbers.number from numbers(3)",
            "select engine from system.tables",
            "select $$ remote('x') $$",
        ] {
            check(Role::Reader, text, "");
        }
        check(Role::Writer, "create table t (engine String) engine = MergeTree order by engine settings a = 1", "");
        check(Role::Writer, "insert into t settings insert_deduplication_token = 'x' select 1", "");
    }

    #[test]
    fn readers_only_read() {
        for text in [
            "insert into t select 1",
            "create temporary table t (a Int8)",
            "set max_threads = 1",
            "system flush logs",
            "select 1 settings max_threads = 1",
            "select * from (select 1 SETTINGS `readonly` = 0)",
            "kill query where 1",
        ] {
            check(Role::Reader, text, "readonly mode");
        }
        check(Role::Reader, "select name from system.settings where name = 'x'", "");
        check(Role::Reader, "(select 1) union all (select 2)", "");
    }
}
