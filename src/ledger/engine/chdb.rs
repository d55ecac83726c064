//! The binding to libchdb, ClickHouse's engine as a C library. The only unsafe code of the program.
//!
//! The C interface is `chdb.h` of chdb-core: connections to one data directory, each running one statement at a
//! time; results as buffers that the library owns until they are destroyed. The library is never unloaded: it keeps
//! threads of its own.

#![expect(unsafe_code, reason = "a C library is called here, and nowhere else")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;

use anyhow::{Context, Result, bail};
use libloading::Library;

type Handle = *mut c_void;
type RunQuery = unsafe extern "C" fn(Handle, *const c_char, usize, *const c_char, usize) -> Handle;
type RunWithParams = unsafe extern "C" fn(
    Handle,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> Handle;

/// The functions of libchdb that the engine calls.
#[derive(Clone, Copy)]
struct Functions {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Handle,
    close: unsafe extern "C" fn(*mut Handle),
    query: RunQuery,
    query_with_params: RunWithParams,
    stream: RunQuery,
    stream_with_params: RunWithParams,
    fetch: unsafe extern "C" fn(Handle, Handle) -> Handle,
    cancel: unsafe extern "C" fn(Handle, Handle),
    destroy: unsafe extern "C" fn(Handle),
    buffer: unsafe extern "C" fn(Handle) -> *mut c_char,
    length: unsafe extern "C" fn(Handle) -> usize,
    error: unsafe extern "C" fn(Handle) -> *const c_char,
    rows_read: unsafe extern "C" fn(Handle) -> u64,
    bytes_read: unsafe extern "C" fn(Handle) -> u64,
    storage_rows_read: unsafe extern "C" fn(Handle) -> u64,
    storage_bytes_read: unsafe extern "C" fn(Handle) -> u64,
    rows_written: unsafe extern "C" fn(Handle) -> u64,
    bytes_written: unsafe extern "C" fn(Handle) -> u64,
    set_signal_handlers: unsafe extern "C" fn(bool),
}

/// libchdb, opened, with its engine not yet started: the first [`Chdb::connect`] does that.
#[derive(Clone, Copy)]
pub struct Chdb {
    functions: Functions,
}

impl Chdb {
    /// Opens the library at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened as a library or lacks a function of the interface.
    pub fn open(path: &Path) -> Result<Self> {
        // SAFETY: opening runs the library's initialisers; libchdb's only set up its own globals.
        let library = unsafe { Library::new(path) }.with_context(|| format!("cannot open `{}`", path.display()))?;
        // Unloading would pull the code from under the engine's own threads.
        let library: &'static Library = Box::leak(Box::new(library));
        let functions = load(library).with_context(|| format!("`{}` is not the libchdb expected", path.display()))?;
        // SAFETY: takes no pointer; called before the engine starts, as chdb.h asks.
        unsafe { (functions.set_signal_handlers)(false) };
        Ok(Self { functions })
    }

    /// Connects to the data directory. The first connection starts the engine on it.
    ///
    /// # Errors
    /// When the engine refuses, for instance because the directory cannot be written to.
    pub fn connect(&self, data_dir: &Path) -> Result<Connection> {
        let data_dir = data_dir.to_str().context("the data directory's name must be UTF-8")?;
        let arguments = [CString::new("clickhouse")?, CString::new(format!("--path={data_dir}"))?];
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len())?;
        // SAFETY: `pointers` holds `count` NUL-terminated strings that outlive the call; libchdb copies them.
        let opened = unsafe { (self.functions.connect)(count, pointers.as_mut_ptr()) };
        let Some(opened) = NonNull::new(opened) else { bail!("the engine does not start on `{data_dir}`") };
        Ok(Connection { functions: self.functions, opened })
    }
}

fn load(library: &'static Library) -> Result<Functions> {
    // SAFETY: the types given are those of chdb.h for each name; the library lives as long as the program.
    unsafe {
        Ok(Functions {
            connect: *library.get(b"chdb_connect\0")?,
            close: *library.get(b"chdb_close_conn\0")?,
            query: *library.get(b"chdb_query_n\0")?,
            query_with_params: *library.get(b"chdb_query_with_params_n\0")?,
            stream: *library.get(b"chdb_stream_query_n\0")?,
            stream_with_params: *library.get(b"chdb_stream_query_with_params_n\0")?,
            fetch: *library.get(b"chdb_stream_fetch_result\0")?,
            cancel: *library.get(b"chdb_stream_cancel_query\0")?,
            destroy: *library.get(b"chdb_destroy_query_result\0")?,
            buffer: *library.get(b"chdb_result_buffer\0")?,
            length: *library.get(b"chdb_result_length\0")?,
            error: *library.get(b"chdb_result_error\0")?,
            rows_read: *library.get(b"chdb_result_rows_read\0")?,
            bytes_read: *library.get(b"chdb_result_bytes_read\0")?,
            storage_rows_read: *library.get(b"chdb_result_storage_rows_read\0")?,
            storage_bytes_read: *library.get(b"chdb_result_storage_bytes_read\0")?,
            rows_written: *library.get(b"chdb_result_rows_written\0")?,
            bytes_written: *library.get(b"chdb_result_bytes_written\0")?,
            set_signal_handlers: *library.get(b"chdb_set_signal_handlers_enabled\0")?,
        })
    }
}

/// A statement with its output format and its `{name:Type}` parameters.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The SQL text.
    pub text: &'a str,
    /// Output format unless the text has a `FORMAT` of its own.
    pub format: &'a str,
    /// Values by parameter name.
    pub params: &'a [(String, String)],
}

impl<'a> Query<'a> {
    /// A statement without parameters whose result is tab-separated.
    pub fn plain(text: &'a str) -> Self {
        Self { text, format: "TabSeparated", params: &[] }
    }
}

/// What the engine says when a statement fails: `Code: N. DB::Exception: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueryError(pub String);

/// One connection: runs one statement at a time and carries its own settings.
pub struct Connection {
    functions: Functions,
    opened: NonNull<Handle>,
}

// SAFETY: libchdb hands statements to threads of its own and ties no connection to the calling thread; `&mut self` on
// every call keeps it to one statement at a time.
unsafe impl Send for Connection {}

impl Connection {
    /// Runs a statement to its end.
    ///
    /// # Errors
    /// The engine's own text.
    pub fn query(&mut self, query: Query<'_>) -> Result<Chunk, QueryError> {
        self.call(query, self.functions.query, self.functions.query_with_params)
    }

    /// Begins a SELECT whose result comes in chunks.
    ///
    /// # Errors
    /// The engine's own text; statements other than SELECT are refused with code 36 before they run.
    pub fn stream(&mut self, query: Query<'_>) -> Result<ChunkStream<'_>, QueryError> {
        let started = self.call(query, self.functions.stream, self.functions.stream_with_params)?;
        Ok(ChunkStream { connection: self, started, ended: false })
    }

    fn handle(&self) -> Handle {
        // SAFETY: `opened` came from chdb_connect and is closed only by drop.
        unsafe { *self.opened.as_ptr() }
    }

    fn call(&mut self, query: Query<'_>, plain: RunQuery, with_params: RunWithParams) -> Result<Chunk, QueryError> {
        let names: Vec<_> = query.params.iter().map(|(name, _)| name.as_ptr().cast::<c_char>()).collect();
        let name_lengths: Vec<_> = query.params.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<_> = query.params.iter().map(|(_, value)| value.as_ptr().cast::<c_char>()).collect();
        let value_lengths: Vec<_> = query.params.iter().map(|(_, value)| value.len()).collect();
        let (text, format) = (query.text.as_ptr().cast(), query.format.as_ptr().cast());
        // SAFETY: the handle is open and this is its only user; every pointer comes with its length and outlives the
        // call, which copies what it keeps.
        let result = unsafe {
            if names.is_empty() {
                plain(self.handle(), text, query.text.len(), format, query.format.len())
            } else {
                with_params(
                    self.handle(),
                    text,
                    query.text.len(),
                    format,
                    query.format.len(),
                    names.as_ptr(),
                    name_lengths.as_ptr(),
                    values.as_ptr(),
                    value_lengths.as_ptr(),
                    names.len(),
                )
            }
        };
        Chunk::checked(self.functions, result)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the pointer came from chdb_connect and is not used again.
        unsafe { (self.functions.close)(self.opened.as_ptr()) };
    }
}

/// A piece of a result, in memory that libchdb owns.
pub struct Chunk {
    functions: Functions,
    result: NonNull<c_void>,
}

// SAFETY: a result is plain memory once returned; only its destruction writes to it, through `&mut self` of drop.
unsafe impl Send for Chunk {}
// SAFETY: as above: the reading functions do not change it.
unsafe impl Sync for Chunk {}

impl Chunk {
    fn checked(functions: Functions, result: Handle) -> Result<Self, QueryError> {
        let Some(result) = NonNull::new(result) else {
            return Err(QueryError("Code: 1002. DB::Exception: no answer from the engine. (UNKNOWN_EXCEPTION)".into()));
        };
        let chunk = Self { functions, result };
        // SAFETY: the result is live; its error is NULL or a NUL-terminated string that lives as long as the result.
        let error = unsafe {
            let error = (functions.error)(result.as_ptr());
            (!error.is_null()).then(|| std::ffi::CStr::from_ptr(error).to_string_lossy().into_owned())
        };
        error.map_or(Ok(chunk), |text| Err(QueryError(text)))
    }

    fn number(&self, read: unsafe extern "C" fn(Handle) -> u64) -> u64 {
        // SAFETY: the result is live and the function only reads it.
        unsafe { read(self.result.as_ptr()) }
    }

    /// Rows in this piece of the result.
    pub fn rows(&self) -> u64 {
        self.number(self.functions.rows_read)
    }

    /// Rows and bytes read from tables so far.
    pub fn read(&self) -> (u64, u64) {
        let rows = self.number(self.functions.storage_rows_read).max(self.rows());
        (rows, self.number(self.functions.storage_bytes_read).max(self.number(self.functions.bytes_read)))
    }

    /// Rows and bytes written to tables, those of materialised views included.
    pub fn written(&self) -> (u64, u64) {
        (self.number(self.functions.rows_written), self.number(self.functions.bytes_written))
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the buffer holds `length` bytes, is not changed after the call that made it, and lives as long as
        // the result, which `self` owns.
        unsafe {
            let buffer = (self.functions.buffer)(self.result.as_ptr());
            let length = (self.functions.length)(self.result.as_ptr());
            if buffer.is_null() { &[] } else { std::slice::from_raw_parts(buffer.cast(), length) }
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: the result is live and not used again.
        unsafe { (self.functions.destroy)(self.result.as_ptr()) };
    }
}

/// A result that comes in chunks, each a complete document of the output format. Dropping it cancels the rest.
pub struct ChunkStream<'c> {
    connection: &'c mut Connection,
    started: Chunk,
    ended: bool,
}

impl ChunkStream<'_> {
    /// The next chunk, or `None` when all were fetched. A chunk without rows is the last.
    ///
    /// # Errors
    /// The engine's own text; the stream has then ended.
    pub fn next(&mut self) -> Result<Option<Chunk>, QueryError> {
        if self.ended {
            return Ok(None);
        }
        // SAFETY: connection and stream are live, and `&mut self` makes this their only user.
        let result =
            unsafe { (self.connection.functions.fetch)(self.connection.handle(), self.started.result.as_ptr()) };
        let chunk = Chunk::checked(self.connection.functions, result).inspect_err(|_| self.ended = true)?;
        self.ended = chunk.rows() == 0;
        Ok((!chunk.as_ref().is_empty()).then_some(chunk))
    }
}

impl Drop for ChunkStream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: connection and stream are live; the stream is destroyed right after.
            unsafe { (self.connection.functions.cancel)(self.connection.handle(), self.started.result.as_ptr()) };
        }
    }
}
