//! The embedded engine's HTTP interface, byte by byte: what ClickHouse's protocol says, and what is refused.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret;

use crate::engine::TestEngine;
use crate::support;

impl TestEngine {
    fn http(&self) -> reqwest::Client {
        crate::support::http_client(Duration::from_secs(120))
    }

    /// Sends `body` as the writer, with `query` as the address's parameters.
    async fn post(&self, query: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
        let url = url::Url::parse_with_params(&self.engine.url(), query).expect("a URL");
        let request = self.http().post(url).body(body);
        request.basic_auth(self.engine.user(), Some(self.engine.password())).send().await.expect("an answer")
    }

    async fn read(&self, sql: &str) -> Response {
        let reader = self.engine.reader().expect("there is a reader");
        let request = self.http().post(format!("{}/", self.engine.url())).body(sql.to_owned());
        request.basic_auth(&reader.user, Some(reader.password.expose_secret())).send().await.expect("an answer")
    }

    async fn write(&self, sql: &str) -> String {
        let answer = self.post(&[], sql.to_owned()).await;
        let (status, text) = (answer.status(), answer.text().await.expect("a text"));
        assert_eq!(status, StatusCode::OK, "{sql}: {text}");
        text
    }
}

fn header<'r>(answer: &'r Response, name: &str) -> &'r str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn refused(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let code = header(&answer, "x-clickhouse-exception-code").to_owned();
    let text = answer.text().await.expect("a text");
    assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{text}");
    (status, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_clickhouse_s() {
    let test = TestEngine::start().await;
    let ping = test.http().get(format!("{}/ping", test.engine.url())).send().await.unwrap();
    assert_eq!(ping.text().await.unwrap(), "Ok.\n");

    let answer = test.post(&[("query_id", "my query"), ("default_format", "JSONEachRow")], "SELECT 1 AS a").await;
    assert_eq!(header(&answer, "x-clickhouse-query-id"), "my query");
    assert_eq!(header(&answer, "x-clickhouse-format"), "JSONEachRow");
    assert!(!header(&answer, "x-clickhouse-timezone").is_empty());
    assert!(header(&answer, "x-clickhouse-summary").contains(r#""result_rows":"1""#));
    assert_eq!(answer.text().await.unwrap(), "{\"a\":1}\n");

    test.write("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a").await;
    let answer = test.post(&[("query", "INSERT INTO t FORMAT TSV")], "1\tx\n2\t\\n\\n;\n").await;
    assert!(header(&answer, "x-clickhouse-summary").contains(r#""written_rows":"2""#));
    test.write("INSERT INTO t (a, s) FORMAT CSV\n3,\"a\n\n;drop table t\"").await;
    test.write("INSERT INTO t VALUES (4, 'b\n\n'), (5, concat('c', ';'))").await;
    test.write("INSERT INTO t FORMAT TSV").await;
    assert_eq!(test.write("SELECT count(), max(a) FROM t").await, "5\t5\n");
    assert_eq!(test.write("SELECT s FROM t WHERE a = 3 FORMAT RawBLOB").await, "a\n\n;drop table t");

    let get = test.http().get(format!("{}/?query=SELECT+a+FROM+t+LIMIT+1+FORMAT+Values", test.engine.url()));
    let get = get.basic_auth(test.engine.user(), Some(test.engine.password())).send().await.unwrap();
    assert_eq!(get.text().await.unwrap(), "(1)");
    let get = test.http().get(format!("{}/?query=DROP+TABLE+t", test.engine.url()));
    let get = get.basic_auth(test.engine.user(), Some(test.engine.password())).send().await.unwrap();
    assert_eq!(refused(get).await.1, "164");
    test.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_clickhouse_s_codes_and_statuses() {
    let test = TestEngine::start().await;
    for (sql, expect) in [
        ("SELECT * FROM nowhere", (404, "60")),
        ("SELECT * FROM nowhere.t", (404, "81")),
        ("SELEC 1", (400, "62")),
        ("SELECT 1; SELECT 2", (400, "62")),
        ("SELECT toUInt8('x')", (400, "6")),
        ("SELECT {a:UInt8}", (500, "456")),
        ("", (400, "62")),
        ("SELECT * FROM file('/etc/passwd')", (403, "497")),
    ] {
        let (status, code) = refused(test.post(&[], sql).await).await;
        assert_eq!((status, code.as_str()), expect, "{sql}");
    }
    assert_eq!(refused(test.post(&[("no_such_setting", "1")], "SELECT 1").await).await.1, "452");
    assert_eq!(refused(test.post(&[("max_no_such", "1")], "SELECT 1").await).await, (404, "115".to_owned()));
    assert_eq!(refused(test.post(&[("database", "nowhere")], "SELECT 1").await).await, (404, "81".to_owned()));
    let answer = test.http().post(test.engine.url()).body("SELECT 1").send().await.unwrap();
    assert_eq!(refused(answer).await, (403, "516".to_owned()));
    test.engine.stop().await;
}

/// None of these may show a file of the machine, reach a host, or change anything.
#[tokio::test(flavor = "multi_thread")]
async fn readers_find_no_way_out() {
    let test = TestEngine::start().await;
    let secret = test.dir.path().join("secret.csv");
    std::fs::write(&secret, "planted secret\n").unwrap();
    let path = secret.display();
    test.write("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    test.write("CREATE VIEW harmless AS SELECT a FROM t").await;
    let attempts = [
        format!("SELECT * FROM file('{path}', 'LineAsString')"),
        format!("SELECT * FROM `file`('{path}', 'LineAsString')"),
        format!("SELECT * FROM /* /* */ file('x') */ \"file\" -- x\n ('{path}', 'LineAsString')"),
        format!("SELECT * FROM FILE\u{a0}('{path}', 'LineAsString')"),
        format!("SELECT * FROM “file”('{path}', 'LineAsString')"),
        format!("SELECT file('{path}')"),
        format!("WITH (SELECT file('{path}')) AS s SELECT s"),
        format!("SELECT * FROM `{path}`"),
        format!("SELECT * FROM '{path}'"),
        format!("SELECT * FROM default.`{path}`"),
        format!("SELECT * FROM \"{path}\""),
        format!("SELECT * FROM `file://{path}`"),
        format!("SELECT * FROM merge('default', '.*{path}')"),
        format!("SELECT * FROM view(SELECT * FROM file('{path}', 'LineAsString'))"),
        format!("SELECT * FROM loop(file('{path}', 'LineAsString')) LIMIT 1"),
        format!("SELECT * FROM viewIfPermitted(SELECT * FROM file('{path}') ELSE null('x String'))"),
        format!("DESCRIBE TABLE file('{path}')"),
        format!("DESCRIBE file('{path}')"),
        format!("EXPLAIN SELECT * FROM file('{path}')"),
        format!("EXISTS TABLE file('{path}')"),
        format!("SELECT 1 INTO OUTFILE '{path}.out'"),
        format!("SELECT 1 INTO /**/ OUTFILE '{path}.out' TRUNCATE"),
        format!("INSERT INTO t FROM INFILE '{path}' FORMAT CSV"),
        format!("INSERT INTO FUNCTION file('{path}.out') SELECT 1"),
        format!("SELECT * FROM {{f:Identifier}}('{path}')"),
        "SELECT * FROM url('http://127.0.0.1:1/x', 'LineAsString')".to_owned(),
        "SELECT * FROM remote('127.0.0.1:1', 'system.one')".to_owned(),
        "SELECT * FROM s3('http://127.0.0.1:1/b/k', 'LineAsString')".to_owned(),
        "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')".to_owned(),
        "SELECT * FROM sqlite('/tmp/x.db', 't')".to_owned(),
        "SELECT * FROM executable('x.sh', TSV, 'a String')".to_owned(),
        "SELECT * FROM cluster('default', 'system.one')".to_owned(),
        "SELECT * FROM filesystem('/etc')".to_owned(),
        "SELECT catboostEvaluate('/x', 1)".to_owned(),
        "SET readonly = 0".to_owned(),
        "SELECT 1 SETTINGS readonly = 0".to_owned(),
        "SELECT * FROM (SELECT 1 SETTINGS max_threads = 1)".to_owned(),
        "SYSTEM SHUTDOWN".to_owned(),
        "KILL QUERY WHERE 1".to_owned(),
        "CREATE TEMPORARY TABLE x (a Int8)".to_owned(),
        "DROP TABLE t".to_owned(),
        "ATTACH TABLE x FROM '/tmp' (a Int8) ENGINE = Memory".to_owned(),
        "BACKUP TABLE t TO File('x')".to_owned(),
        "ALTER TABLE t DELETE WHERE 1".to_owned(),
        "TRUNCATE TABLE t".to_owned(),
        "OPTIMIZE TABLE t".to_owned(),
    ];
    for sql in attempts {
        let answer = test.read(&sql).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(!status.is_success() && !text.contains("planted secret"), "{sql}: {status} {text}");
    }
    assert!(!test.dir.path().join("secret.csv.out").exists());
    assert_eq!(test.read("SELECT count() FROM harmless").await.text().await.unwrap(), "0\n");
    let shown = test.read("SELECT 'file(', `a` AS `url`, 'INTO OUTFILE' FROM t -- remote('x')").await;
    assert_eq!(shown.status(), StatusCode::OK);
    test.engine.stop().await;
}

/// Definitions that would reach outside later are refused to the writer as well, so no view can carry them.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_define_a_way_out() {
    let test = TestEngine::start().await;
    for sql in [
        "CREATE VIEW v AS SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "CREATE TABLE f (s String) ENGINE = File('LineAsString')",
        "CREATE TABLE f (s String) ENGINE File(LineAsString)",
        "CREATE TABLE u (s String) ENGINE = URL('http://127.0.0.1:1', 'CSV')",
        "CREATE TABLE f AS file('/etc/passwd', 'LineAsString')",
        "CREATE DATABASE d ENGINE = Filesystem('/etc')",
        "CREATE DATABASE d ENGINE = SQLite('/tmp/x.db')",
        "CREATE DICTIONARY d (k UInt64, v String) PRIMARY KEY k SOURCE(FILE(path '/etc/passwd' format 'CSV')) \
         LAYOUT(FLAT()) LIFETIME(0)",
        "CREATE OR REPLACE DICTIONARY d (k UInt64) PRIMARY KEY k SOURCE(EXECUTABLE(command 'id' format 'CSV')) \
         LAYOUT(FLAT()) LIFETIME(0)",
        "CREATE FUNCTION f AS (x) -> file(x)",
        "CREATE NAMED COLLECTION c AS url = 'http://127.0.0.1:1'",
        "CREATE USER u",
        "CREATE TABLE m (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = 'local', path = '/tmp/')",
        "DROP DATABASE default",
        "SYSTEM SHUTDOWN",
        "SELECT * FROM default.`/etc/passwd`",
    ] {
        let answer = test.post(&[], sql).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(matches!(status.as_u16(), 403 | 404), "{sql}: {status} {text}");
    }
    test.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_stay_out_after_a_restart() {
    let test = TestEngine::start().await;
    test.write("CREATE TABLE default.t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    test.write("INSERT INTO default.t VALUES (1)").await;
    let dir = test.dir;
    test.engine.stop().await;
    let test = TestEngine::start_on(dir).await;
    assert_eq!(test.write("SELECT count() FROM default.t").await, "1\n");
    assert_eq!(test.read("SELECT * FROM default.`/etc/passwd`").await.status(), StatusCode::NOT_FOUND);
    test.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_results_are_one_document() {
    let test = TestEngine::start().await;
    let sql = |format: &str| format!("SELECT number, toString(number) AS s FROM numbers(200000) FORMAT {format}");
    for format in [
        "TSVWithNamesAndTypes",
        "CSVWithNamesAndTypes",
        "RowBinaryWithNamesAndTypes",
        "RowBinaryWithNames",
        "Values",
        "JSONCompactEachRowWithNames",
        "JSONEachRow",
        "CSV",
        "JSON",
        "JSONCompact",
        "XML",
        "TSKV",
    ] {
        let streamed = test.post(&[("max_block_size", "1000")], sql(format)).await.bytes().await.unwrap();
        // One block is one chunk, which the engine formats itself.
        let one = [("max_block_size", "200000"), ("wait_end_of_query", "1"), ("max_threads", "1")];
        let whole = test.post(&one, sql(format)).await.bytes().await.unwrap();
        let (streamed, whole) = (without_statistics(&streamed), without_statistics(&whole));
        assert!(streamed == whole, "{format}: {} and {} bytes", streamed.len(), whole.len());
    }
    test.engine.stop().await;
}

/// JSON and XML tell how long the query took.
fn without_statistics(document: &[u8]) -> &[u8] {
    let at = |mark: &[u8]| document.windows(mark.len()).rposition(|window| window == mark);
    at(b"\"statistics\"").or_else(|| at(b"<statistics>")).map_or(document, |end| &document[..end])
}

/// A result of several gigabytes passes through a process that stays small, and a client that leaves ends the query.
#[tokio::test(flavor = "multi_thread")]
async fn large_results_stream_in_bounded_memory() {
    let test = TestEngine::start().await;
    let pid = test.engine.process_id().unwrap();
    let rss = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let mut answer = test.post(&[], "SELECT repeat('x', 1000) FROM numbers(3000000) FORMAT TSV").await;
    let (mut bytes, mut most) = (0_u64, 0);
    while bytes < 1 << 30 {
        bytes += answer.chunk().await.unwrap().expect("more to come").len() as u64;
        most = most.max(rss());
    }
    assert!(most < 1500, "{most} MB for a stream");
    drop(answer);
    let running = "SELECT count() FROM system.processes WHERE query LIKE '%repeat%numbers(3000000)%' AND query NOT LIKE '%processes%'";
    support::wait_until(|| async { test.write(running).await == "0\n" }).await;
    test.engine.stop().await;
}

/// A query that has not answered yet is ended when its client leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_query() {
    let test = TestEngine::start().await;
    let running =
        "SELECT count() FROM system.processes WHERE query LIKE '%sum(sipHash64%' AND query NOT LIKE '%processes%'";
    let slow = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)";
    let request = test.http().post(test.engine.url()).body(slow);
    let request = request.basic_auth(test.engine.user(), Some(test.engine.password())).send();
    let waiting = tokio::spawn(request);
    support::wait_until(|| async { test.write(running).await == "1\n" }).await;
    waiting.abort();
    support::wait_until(|| async { test.write(running).await == "0\n" }).await;
    test.engine.stop().await;
}
