//! Settings that come with a request: which pass, which are this layer's own, which are refused.

use std::time::Duration;

use super::auth::Role;
use super::error::{Code, Failure};

/// Bounds that the layer sets on every statement, and that no request can widen.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of one statement, bytes.
    pub memory_bytes: u64,
    /// How long one statement may run.
    pub execution_time: Duration,
    /// Threads of one statement.
    pub threads: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |count| count.get() as u64);
        Self { memory_bytes: 4 << 30, execution_time: Duration::from_secs(300), threads }
    }
}

/// Beginnings of names that only change how a statement reads, computes or shows its data.
const ALLOWED_BEGINNINGS: &[&str] = &[
    "aggregate_",
    "aggregation_",
    "allow_experimental_",
    "allow_suspicious_",
    "analyzer_",
    "any_join_",
    "apply_",
    "bool_",
    "cast_",
    "compile_",
    "count_",
    "data_type_",
    "date_time_",
    "deduplicate_",
    "describe_",
    "distinct_",
    "empty_result_",
    "enable_",
    "exact_",
    "external_",
    "flatten_",
    "force_",
    "format_",
    "formatdatetime_",
    "fsync_",
    "function_",
    "group_by_",
    "input_format_",
    "insert_",
    "interval_output_",
    "join_",
    "least_",
    "lightweight_",
    "limit",
    "low_cardinality_",
    "max_",
    "merge_tree_",
    "min_",
    "mutations_",
    "normalize_",
    "offset",
    "optimize_",
    "output_format_",
    "parallelize_",
    "parsedatetime_",
    "partial_",
    "prefer_",
    "print_pretty_",
    "query_plan_",
    "read_in_",
    "regexp_",
    "result_overflow_",
    "rows_",
    "schema_inference_",
    "select_",
    "short_circuit_",
    "show_",
    "single_",
    "sort_",
    "splitby_",
    "throw_",
    "totals_",
    "transform_",
    "type_json_",
    "union_",
    "use_",
    "validate_",
];

const ALLOWED_NAMES: &[&str] = &[
    "alter_sync",
    "asterisk_include_alias_columns",
    "asterisk_include_materialized_columns",
    "extremes",
    "final",
    "ignore_data_skipping_indices",
    "materialize_ttl_after_modify",
    "read_overflow_mode",
    "session_timezone",
    "timeout_overflow_mode",
    "transfer_overflow_mode",
    "variant_throw_on_type_mismatch",
];

/// Names with the allowed beginnings that reach files or hosts all the same.
const REFUSED_ENDINGS: &[&str] =
    &["_schema", "_schema_source", "_path", "_url", "_file", "_files", "_host", "_dictionary"];

/// Settings that mean something to an HTTP connection, or that the layer decides itself; taken and not passed on.
const IGNORED: &[&str] = &[
    "add_http_cors_header",
    "async_insert",
    "buffer_size",
    "cancel_http_readonly_queries_on_client_close",
    "client_protocol_version",
    "compress",
    "connect_timeout",
    "database",
    "decompress",
    "default_format",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "http_max_field_value_size",
    "http_native_compression_disable_checksumming_on_decompress",
    "http_receive_timeout",
    "http_response_buffer_size",
    "http_send_timeout",
    "http_write_exception_in_output_format",
    "http_zlib_compression_level",
    "log_comment",
    "log_queries",
    "network_compression_method",
    "password",
    "query",
    "query_id",
    "quota_key",
    "receive_timeout",
    "send_progress_in_http_headers",
    "send_timeout",
    "session_check",
    "session_id",
    "session_timeout",
    "stacktrace",
    "user",
    "wait_end_of_query",
    "wait_for_async_insert",
];

/// The settings of one statement, in the order in which they are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// From the request's parameters.
    ///
    /// # Errors
    /// [`Code::UnknownSetting`] for what cannot be a setting's name, [`Code::Readonly`] or
    /// [`Code::SettingConstraintViolation`] for one that may not be changed. The engine itself tells unknown names.
    pub fn from_params(params: &[(String, String)], role: Role, limits: &Limits) -> Result<Self, Failure> {
        let mut settings = Self::default();
        for (name, value) in params.iter().filter(|(name, _)| !name.starts_with("param_")) {
            if IGNORED.contains(&name.as_str()) {
                continue;
            }
            settings.0.push((name.clone(), allowed_value(name, value, role, limits)?));
        }
        Ok(settings)
    }

    /// Adds the limits that the request does not narrow itself.
    pub fn add_limits(&mut self, limits: &Limits) {
        for (name, limit) in limits.all() {
            self.default_to(name, limit);
        }
    }

    /// The value asked for.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Sets a value of the layer's own.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.0.retain(|(own, _)| own != name);
        self.0.push((name.to_owned(), value.to_string()));
    }

    /// Sets a value unless the request did.
    pub fn default_to(&mut self, name: &str, value: impl ToString) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// An insert is durable when it is answered, and one block if it fits.
    pub fn for_insert(&mut self) {
        self.set("async_insert", 0);
        self.set("max_insert_threads", 1);
        self.set("input_format_parallel_parsing", 0);
        self.default_to("max_insert_block_size", 10_000_000);
        self.default_to("min_insert_block_size_rows", 10_000_000);
        self.default_to("min_insert_block_size_bytes", 2_u64 << 30);
    }

    /// `SET …` for all of them.
    pub fn statement(&self) -> String {
        let assignments: Vec<_> =
            self.0.iter().map(|(name, value)| format!("{name} = {}", text_literal(value))).collect();
        format!("SET {}", assignments.join(", "))
    }

    /// The names set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl Limits {
    fn all(&self) -> [(&'static str, u64); 3] {
        [
            ("max_memory_usage", self.memory_bytes),
            ("max_execution_time", self.execution_time.as_secs()),
            ("max_threads", self.threads),
        ]
    }
}

fn allowed_value(name: &str, value: &str, role: Role, limits: &Limits) -> Result<String, Failure> {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(Failure::new(Code::UnknownSetting, format!("Unknown setting '{name}'")));
    }
    if name == "readonly" && (role == Role::Writer || value == "1") {
        return Ok(value.to_owned());
    }
    let is_allowed = ALLOWED_NAMES.contains(&name) || ALLOWED_BEGINNINGS.iter().any(|begin| name.starts_with(begin));
    if !is_allowed || REFUSED_ENDINGS.iter().any(|end| name.ends_with(end)) {
        return Err(refused(name, role));
    }
    let Some((_, limit)) = limits.all().into_iter().find(|(limited, _)| *limited == name) else {
        return Ok(value.to_owned());
    };
    let asked: f64 =
        value.parse().map_err(|_| Failure::new(Code::BadArguments, format!("`{name}` must be a number")))?;
    Ok(if asked > 0.0 && asked <= limit as f64 { value.to_owned() } else { limit.to_string() })
}

fn refused(name: &str, role: Role) -> Failure {
    match role {
        Role::Reader => Failure::new(Code::Readonly, format!("Cannot modify '{name}' setting in readonly mode")),
        Role::Writer => Failure::new(
            Code::SettingConstraintViolation,
            format!("Setting {name} should not be changed in the ledger's engine"),
        ),
    }
}

/// A string literal of ClickHouse SQL.
pub fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { memory_bytes: 1000, execution_time: Duration::from_secs(60), threads: 2 };

    fn of(params: &[(&str, &str)], role: Role) -> Result<Settings, Failure> {
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from_params(&params, role, &LIMITS)
    }

    #[test]
    fn limits_are_always_set_and_never_widened() {
        let mut settings = of(&[("max_memory_usage", "0"), ("max_execution_time", "5")], Role::Reader).unwrap();
        settings.add_limits(&LIMITS);
        assert_eq!(settings.statement(), "SET max_memory_usage = '1000', max_execution_time = '5', max_threads = '2'");
        assert!(of(&[("max_threads", "x")], Role::Reader).is_err());
    }

    #[test]
    fn what_passes_and_what_does_not() {
        fn check(name: &str, role: Role, expect: u32) {
            let code = of(&[(name, "1")], role).map_or_else(|failure| failure.code, |_| 0);
            assert_eq!(code, expect, "{name}");
        }
        for name in
            ["output_format_json_quote_64bit_integers", "date_time_input_format", "session_timezone", "query_id"]
        {
            check(name, Role::Reader, 0);
        }
        check("format_schema", Role::Reader, 164);
        check("dialect", Role::Reader, 164);
        check("dialect", Role::Writer, 452);
        check("format_avro_schema_registry_url", Role::Writer, 452);
        check("a b = 1, c", Role::Writer, 115);
        check("readonly", Role::Reader, 0);
        assert_eq!(of(&[("readonly", "0")], Role::Reader).unwrap_err().code, 164);
    }

    #[test]
    fn values_are_quoted() {
        assert_eq!(text_literal(r"a'b\c"), r"'a\'b\\c'");
    }
}
