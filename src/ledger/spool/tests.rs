//! The spool over real files and a real SQLite state. Crashes of the whole process are in tests/it/crash.rs.

use std::fs::OpenOptions;
use std::io::Write;

use super::*;
use crate::ledger::rows::RunRow;
use crate::state::StateSecret;
use crate::state::change::Lease;

struct Place {
    dir: tempfile::TempDir,
    state: StateStore,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let state = StateStore::open(&url, &StateSecret::from_bytes([1; 32])).await.unwrap();
        state.migrate().await.unwrap();
        Self { dir, state }
    }

    fn spool_dir(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    async fn open(&self) -> (Spool, Recovered) {
        self.open_with(SpoolOptions { segment_age: Duration::from_secs(600), ..SpoolOptions::new(1 << 20) }).await
    }

    async fn open_with(&self, options: SpoolOptions) -> (Spool, Recovered) {
        // The lock of a spool that was just dropped goes when its last file work has ended.
        loop {
            match Spool::open(&self.spool_dir(), options.clone(), &self.state).await {
                Err(SpoolError::InUse(_)) => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    }

    async fn lease(&self, auditor: &str) -> Lease {
        let units = ["changes/stock/erp".to_owned()];
        self.state.acquire(&units, auditor, Duration::from_secs(600), 1).await.unwrap().remove(0)
    }

    fn segment_files(&self) -> Vec<PathBuf> {
        let ids = segment::list(&self.spool_dir()).unwrap();
        ids.into_iter().map(|id| id.path(&self.spool_dir())).collect()
    }
}

fn change(run: u128, lease: &Lease) -> StateChange {
    StateChange { position: Some(run.to_be_bytes().to_vec()), ..StateChange::new(Uuid::from_u128(run), lease.clone()) }
}

fn rows(run: u128, text: &str) -> RunRows {
    let row = RunRow {
        tenant: "default".to_owned(),
        entity: "stock".to_owned(),
        owner: "erp".to_owned(),
        probe: "changes".to_owned(),
        run_id: Uuid::from_u128(run),
        token: 1,
        auditor: "a".to_owned(),
        started_at: 0,
        ended_at: 0,
        outcome: "ok".to_owned(),
        reason: text.to_owned(),
        owner_records: 0,
        target_records: 0,
        checks: 0,
        in_flight: 0,
    };
    RunRows { runs: vec![row], ..RunRows::default() }
}

async fn shipped_runs(spool: &Spool) -> Vec<u128> {
    let mut runs = vec![];
    while let Some(segment) = spool.ready() {
        let rows = spool.read(&segment).await.unwrap();
        runs.extend(rows.iter().flat_map(|rows| &rows.runs).map(|row| row.run_id.as_u128()));
        spool.remove(&segment).await.unwrap();
    }
    runs
}

#[tokio::test]
async fn a_committed_run_is_applied_and_waits_to_be_shipped() {
    let place = Place::new().await;
    let (spool, recovered) = place.open().await;
    assert_eq!((recovered.segments, recovered.applied), (0, 0));
    let lease = place.lease("a").await;
    for run in 1..=3 {
        assert_eq!(spool.commit(change(run, &lease), &rows(run, "")).await.unwrap(), Applied::Now);
    }
    assert_eq!(place.state.position(&lease.unit).await.unwrap(), Some(3_u128.to_be_bytes().to_vec()));
    assert!(spool.ready().is_none(), "nothing is shipped from an open segment");
    spool.seal().await;
    assert_eq!(spool.status().segments, 1);
    assert_eq!(shipped_runs(&spool).await, [1, 2, 3]);
    assert_eq!((spool.status().bytes, spool.status().segments), (0, 0));
    assert!(place.segment_files().is_empty());
    assert!(place.state.runs_of(&spool.shared.id).await.unwrap().is_empty(), "shipped runs are forgotten");
}

#[tokio::test]
async fn a_segment_is_sealed_by_size_and_by_age() {
    let place = Place::new().await;
    let small = SpoolOptions { segment_bytes: 1, segment_age: Duration::from_secs(600), ..SpoolOptions::new(1 << 20) };
    let (spool, _) = place.open_with(small).await;
    let lease = place.lease("a").await;
    for run in 1..=3 {
        spool.commit(change(run, &lease), &rows(run, "")).await.unwrap();
    }
    assert_eq!(spool.status().segments, 3);
    assert_eq!(shipped_runs(&spool).await, [1, 2, 3]);
    drop(spool);

    let young = SpoolOptions { segment_age: Duration::from_millis(1), ..SpoolOptions::new(1 << 20) };
    let (spool, _) = place.open_with(young).await;
    let changed = spool.changed();
    spool.commit(change(4, &lease), &rows(4, "")).await.unwrap();
    changed.await;
    while spool.ready().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(shipped_runs(&spool).await, [4]);
}

#[tokio::test]
async fn what_was_not_shipped_is_shipped_after_a_restart_once() {
    let place = Place::new().await;
    let (spool, _) = place.open().await;
    let lease = place.lease("a").await;
    spool.commit(change(1, &lease), &rows(1, "")).await.unwrap();
    spool.seal().await;
    spool.commit(change(2, &lease), &rows(2, "")).await.unwrap();
    drop(spool);
    let (spool, recovered) = place.open().await;
    assert_eq!((recovered.segments, recovered.already, recovered.applied, recovered.torn_bytes), (2, 2, 0, 0));
    spool.commit(change(3, &lease), &rows(3, "")).await.unwrap();
    spool.seal().await;
    assert_eq!(shipped_runs(&spool).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_run_on_disk_that_was_not_applied_is_applied_at_the_start() {
    let place = Place::new().await;
    let (spool, _) = place.open().await;
    let lease = place.lease("a").await;
    spool.commit(change(1, &lease), &rows(1, "")).await.unwrap();
    drop(spool);
    let cipher = place.state.secret().spool_cipher();
    let frame = frame::encode(&cipher, &change(2, &lease), &rows(2, "")).unwrap();
    let torn = frame::encode(&cipher, &change(3, &lease), &rows(3, "")).unwrap();
    let mut file = OpenOptions::new().append(true).open(&place.segment_files()[0]).unwrap();
    file.write_all(&frame).unwrap();
    file.write_all(&torn[..torn.len() - 1]).unwrap();
    let (spool, recovered) = place.open().await;
    assert_eq!((recovered.applied, recovered.already, recovered.torn_bytes), (1, 1, torn.len() as u64 - 1));
    assert!(recovered.damaged.is_empty());
    assert_eq!(place.state.position(&lease.unit).await.unwrap(), Some(2_u128.to_be_bytes().to_vec()));
    assert_eq!(shipped_runs(&spool).await, [1, 2]);
}

#[tokio::test]
async fn rows_of_a_fenced_run_are_never_shipped() {
    let place = Place::new().await;
    let (spool, _) = place.open().await;
    let old = place.lease("a").await;
    spool.commit(change(1, &old), &rows(1, "")).await.unwrap();
    place.state.release("a", std::slice::from_ref(&old)).await.unwrap();
    let new = place.lease("b").await;
    assert_eq!(spool.commit(change(2, &old), &rows(2, "")).await.unwrap(), Applied::Fenced);
    assert_eq!(spool.commit(change(3, &new), &rows(3, "")).await.unwrap(), Applied::Now);
    drop(spool);
    let (spool, recovered) = place.open().await;
    assert_eq!((recovered.already, recovered.dropped), (2, 1));
    assert_eq!(shipped_runs(&spool).await, [1, 3]);
}

#[tokio::test]
async fn a_run_that_the_state_database_refuses_never_happened() {
    let place = Place::new().await;
    let (spool, _) = place.open().await;
    let lease = place.lease("a").await;
    sqlx::query("ALTER TABLE positions RENAME TO gone").execute(&place.state.pool()).await.unwrap();
    let refused = spool.commit(change(1, &lease), &rows(1, "")).await;
    assert!(matches!(refused, Err(SpoolError::State(_))), "{refused:?}");
    sqlx::query("ALTER TABLE gone RENAME TO positions").execute(&place.state.pool()).await.unwrap();
    spool.commit(change(2, &lease), &rows(2, "")).await.unwrap();
    drop(spool);
    // The restart must not bring it to life after the run that took its place.
    let (spool, recovered) = place.open().await;
    assert_eq!((recovered.already, recovered.dropped), (1, 1));
    assert_eq!(place.state.position(&lease.unit).await.unwrap(), Some(2_u128.to_be_bytes().to_vec()));
    assert_eq!(shipped_runs(&spool).await, [2]);
}

#[tokio::test]
async fn a_full_spool_makes_commits_wait_until_something_was_shipped() {
    let place = Place::new().await;
    let options = SpoolOptions { segment_bytes: 1, segment_age: Duration::from_secs(600), ..SpoolOptions::new(1000) };
    let (spool, _) = place.open_with(options).await;
    let lease = place.lease("a").await;
    let large = "x".repeat(2000);
    // Larger than the whole spool: passes while it is alone.
    spool.commit(change(1, &lease), &rows(1, &large)).await.unwrap();
    let second = tokio::spawn({
        let (spool, lease) = (spool.clone(), lease.clone());
        async move { spool.commit(change(2, &lease), &rows(2, "")).await }
    });
    while spool.status().waiting == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    // The second may be ready as soon as the first is gone.
    let mut shipped = shipped_runs(&spool).await;
    assert_eq!(shipped.first(), Some(&1));
    assert_eq!(second.await.unwrap().unwrap(), Applied::Now);
    assert_eq!(spool.status().waiting, 0);
    shipped.extend(shipped_runs(&spool).await);
    assert_eq!(shipped, [1, 2]);
}

#[tokio::test]
async fn concurrent_commits_all_happen() {
    let place = Place::new().await;
    let (spool, _) = place.open().await;
    let lease = place.lease("a").await;
    let commits = (1..=100_u128).map(|run| {
        let (spool, lease) = (spool.clone(), lease.clone());
        async move { spool.commit(change(run, &lease), &rows(run, "")).await.unwrap() }
    });
    let applied = futures_util::future::join_all(commits).await;
    assert!(applied.iter().all(|applied| *applied == Applied::Now));
    spool.seal().await;
    let mut runs = shipped_runs(&spool).await;
    runs.sort_unstable();
    assert_eq!(runs, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_hole_in_a_sealed_segment_is_kept_and_reported() {
    let place = Place::new().await;
    let (spool, _) = place.open().await;
    let lease = place.lease("a").await;
    for run in 1..=2 {
        spool.commit(change(run, &lease), &rows(run, "")).await.unwrap();
        spool.seal().await;
    }
    drop(spool);
    let first = &place.segment_files()[0];
    let mut bytes = std::fs::read(first).unwrap();
    bytes[40] ^= 1;
    std::fs::write(first, &bytes).unwrap();
    let (spool, recovered) = place.open().await;
    assert_eq!(recovered.damaged.len(), 1);
    assert_eq!(std::fs::read(&recovered.damaged[0]).unwrap(), bytes);
    assert_eq!(shipped_runs(&spool).await, [2]);
}

#[tokio::test]
async fn a_directory_has_one_owner_and_one_secret() {
    let place = Place::new().await;
    let (spool, _) = place.open().await;
    let lease = place.lease("a").await;
    spool.commit(change(1, &lease), &rows(1, "bob@example.org")).await.unwrap();
    let again = Spool::open(&place.spool_dir(), SpoolOptions::new(1), &place.state).await;
    assert!(matches!(again, Err(SpoolError::InUse(_))));
    let bytes = std::fs::read(&place.segment_files()[0]).unwrap();
    assert!(!bytes.windows(3).any(|part| part == b"bob"), "frames are encrypted");
    drop(spool);

    let other = Place::new().await;
    let url = format!("sqlite://{}", other.dir.path().join("other.db").display());
    let other_state = StateStore::open(&url, &StateSecret::from_bytes([2; 32])).await.unwrap();
    other_state.migrate().await.unwrap();
    loop {
        match Spool::open(&place.spool_dir(), SpoolOptions::new(1), &other_state).await {
            Err(SpoolError::InUse(_)) => tokio::task::yield_now().await,
            Err(SpoolError::Frame { source: FrameError::Secret, .. }) => break,
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("another secret opened the spool"),
        }
    }
}
