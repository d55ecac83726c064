//! What `doctor` finds: grants, indices, types, watermark.

use plumbline::connect::{Finding, Reader, Severity};
use plumbline::model::{FieldType, Mapping};

use super::bed::{Bed, mapping, open, stamped};

fn thing() -> Mapping {
    stamped(mapping("x", 1, &[("id", FieldType::Integer), ("price", FieldType::Decimal)]), "at")
}

/// The findings about a subject, as `severity: message`.
fn about(findings: &[Finding], subject: &str) -> String {
    let found: Vec<_> = findings
        .iter()
        .filter(|finding| finding.subject.contains(subject))
        .map(|finding| format!("{:?}: {}", finding.severity, finding.message))
        .collect();
    assert!(!found.is_empty(), "nothing about {subject} in {findings:#?}");
    found.join("\n")
}

async fn doctor(reader: &dyn Reader, mapping: &Mapping) -> Vec<Finding> {
    reader.doctor(&[mapping]).await
}

async fn filled(bed: &Bed) {
    let stamp = bed.pick("timestamptz", "datetime(6)", "TEXT");
    bed.run(&format!("CREATE TABLE x (id int, price double precision, at {stamp})")).await;
    bed.run("INSERT INTO x VALUES (1, 1.5, '2026-01-01 00:00:00'), (2, 2.5, '2026-01-01 00:00:01')").await;
}

#[tokio::test]
async fn missing_indices_are_found_and_made_good_by_what_is_suggested() {
    for bed in Bed::each().await {
        filled(&bed).await;
        let reader = bed.reader();
        let before = doctor(&*reader, &thing()).await;
        for subject in ["by-key read", "change read"] {
            let found = about(&before, subject);
            assert!(found.starts_with("Warning: reads the whole table"), "{}: {found}", bed.name());
            let (_, suggestion) = found.split_once("an index: `").unwrap();
            let statement = suggestion.strip_suffix('`').unwrap();
            bed.run(&statement.replacen("x_plumbline", &subject.replace([' ', '-'], "_"), 1)).await;
        }
        let after = doctor(&*reader, &thing()).await;
        for subject in ["by-key read", "change read"] {
            assert_eq!(about(&after, subject), "Ok: uses an index", "{}", bed.name());
        }
    }
}

#[tokio::test]
async fn rows_without_a_stamp_floats_and_empty_tables_are_pointed_out() {
    for bed in Bed::each().await {
        filled(&bed).await;
        bed.run("INSERT INTO x VALUES (3, 3.5, NULL)").await;
        let findings = doctor(&*bed.reader(), &thing()).await;
        assert!(about(&findings, "change read").contains("null"), "{}", bed.name());
        if !matches!(bed, Bed::Sqlite(_)) {
            assert!(about(&findings, "columns").contains("binary float"), "{}", bed.name());
        }
        bed.run("DELETE FROM x").await;
        let findings = doctor(&*bed.reader(), &thing()).await;
        assert!(about(&findings, "by-key read").contains("empty"), "{}", bed.name());
        let mut wrong = thing();
        wrong.sources[1] = plumbline::model::mapping::Source::Path("prize".to_owned());
        let findings = doctor(&*bed.reader(), &wrong).await;
        let found = about(&findings, "columns");
        assert!(found.starts_with("Error") && found.contains("prize"), "{}: {found}", bed.name());
    }
}

#[tokio::test]
async fn a_login_that_may_write_is_told_from_one_that_may_not() {
    for bed in [Bed::postgres().await, Bed::mariadb().await] {
        filled(&bed).await;
        let powerful = doctor(&*bed.reader(), &thing()).await;
        assert!(about(&powerful, "grants").contains("Warning"), "{}: {powerful:#?}", bed.name());
        // Logins belong to the shared server: their names must be this test's own.
        let login = format!("reader_{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
        let url = match &bed {
            Bed::Postgres(database) => {
                bed.run(&format!("CREATE ROLE {login} LOGIN PASSWORD 'secret'; GRANT SELECT ON x TO {login}")).await;
                database.url_as(&login, "secret")
            }
            Bed::Mariadb(database) => {
                bed.run(&format!("CREATE USER {login} IDENTIFIED BY 'secret'")).await;
                bed.run(&format!("GRANT SELECT ON {}.x TO {login}", database.name())).await;
                database.url_as(&login, "secret")
            }
            Bed::Sqlite(_) => unreachable!("not in the list"),
        };
        let mut system = bed.system();
        system.url = url.into();
        let reader = open(&system);
        let findings = doctor(&*reader, &thing()).await;
        assert!(!about(&findings, "grants").contains("Warning"), "{}: {findings:#?}", bed.name());
        if matches!(bed, Bed::Postgres(_)) {
            assert!(about(&findings, "watermark").contains("pg_read_all_stats"), "{findings:#?}");
            bed.run(&format!("GRANT pg_read_all_stats TO {login}; GRANT UPDATE ON x TO {login}")).await;
            let findings = doctor(&*reader, &thing()).await;
            assert_eq!(about(&findings, "watermark"), "Ok: the oldest running transaction");
            assert!(about(&findings, "grants on").contains("UPDATE"), "{findings:#?}");
        }
    }
}

#[tokio::test]
async fn a_login_that_cannot_see_transactions_waits_instead() {
    let bed = Bed::postgres().await;
    let Bed::Postgres(database) = &bed else { unreachable!("made above") };
    filled(&bed).await;
    let login = format!("blind_{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
    bed.run(&format!("CREATE ROLE {login} LOGIN PASSWORD 'secret'; GRANT SELECT ON x TO {login}")).await;
    let mut system = bed.system();
    system.url = database.url_as(&login, "secret").into();
    let reader = open(&system);
    let mut open_transaction = database.pool().begin().await.unwrap();
    sqlx::Executor::execute(&mut *open_transaction, "SELECT 1").await.unwrap();
    let page = reader.changes(&thing(), &Default::default(), 10).await.unwrap();
    let behind = page.window.low.since(page.watermark.unwrap());
    assert!(behind >= std::time::Duration::from_secs(5), "{behind:?}");
}

#[tokio::test]
async fn an_unreachable_system_is_one_finding() {
    let mut system = Bed::sqlite().await.system();
    system.url = "sqlite:///nowhere/at/all.db".to_owned().into();
    let findings = open(&system).doctor(&[&thing()]).await;
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].severity, findings[0].subject.as_str()), (Severity::Error, "connection"));
}
