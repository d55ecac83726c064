//! Where libchdb is found, and how to get it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The release of libchdb that this program is made for.
pub const LIBCHDB_VERSION: &str = "26.5.3";
/// What to do when libchdb is missing.
pub const HOW_TO_GET: &str = "run `make libchdb` (it fetches npm's `@chdb/lib-linux-x64-gnu@26.5.3` and checks its SHA-256), \
    or `npm pack @chdb/lib-linux-x64-gnu@26.5.3` and put its `libchdb.so` into the data directory";

const FILE: &str = "libchdb.so";
const SYSTEM_DIRECTORIES: &[&str] = &["/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib"];

/// The library's file: the configured one, else in the data directory, else in the cache, else where the system keeps
/// libraries.
///
/// # Errors
/// When there is none; the text says where it was looked for and how to get it.
pub fn find(configured: Option<&Path>, data_dir: &Path, cache_dir: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = configured {
        if path.is_file() {
            return Ok(path.to_owned());
        }
        bail!("libchdb is not at `{}`: {HOW_TO_GET}", path.display());
    }
    let cached = cache_dir.map(|dir| dir.join("plumbline/libchdb").join(LIBCHDB_VERSION));
    let own = [data_dir.to_owned(), data_dir.join("lib")];
    let system = SYSTEM_DIRECTORIES.iter().map(PathBuf::from);
    let candidates: Vec<_> = own.into_iter().chain(cached).chain(system).map(|dir| dir.join(FILE)).collect();
    if let Some(found) = candidates.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let looked: Vec<_> = candidates.iter().map(|path| format!("`{}`", path.display())).collect();
    bail!("libchdb {LIBCHDB_VERSION} is missing (looked for {}): {HOW_TO_GET}", looked.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_taken_and_a_missing_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (data, cache) = (dir.path().join("data"), dir.path().join("cache"));
        let cached = cache.join("plumbline/libchdb/26.5.3/libchdb.so");
        let missing = find(Some(&cached), &data, None).unwrap_err().to_string();
        assert!(missing.contains("make libchdb") && missing.contains("npm pack"), "{missing}");
        std::fs::create_dir_all(cached.parent().unwrap()).unwrap();
        std::fs::write(&cached, "").unwrap();
        assert_eq!(find(None, &data, Some(&cache)).unwrap(), cached);
        std::fs::create_dir_all(data.join("lib")).unwrap();
        std::fs::write(data.join("lib/libchdb.so"), "").unwrap();
        assert_eq!(find(None, &data, Some(&cache)).unwrap(), data.join("lib/libchdb.so"));
        assert_eq!(find(Some(&cached), &data, Some(&cache)).unwrap(), cached);
    }
}
