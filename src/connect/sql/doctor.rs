//! What the login can do and how the reads would run.

use super::{Finding, Mapping, SqlReader};
use crate::connect::Severity;

impl SqlReader {
    pub(super) async fn findings(&self, mappings: &[&Mapping]) -> Vec<Finding> {
        let mut findings = vec![self.clock_finding().await];
        for mapping in mappings {
            findings.push(self.shape_finding(mapping).await);
        }
        findings
    }

    async fn clock_finding(&self) -> Finding {
        use crate::connect::Reader;
        match self.clock().await {
            Ok(reading) => Finding {
                severity: Severity::Ok,
                subject: "clock".to_owned(),
                message: format!("{} µs ahead of ours, ± {:?}", reading.offset_micros, reading.uncertainty),
            },
            Err(error) => {
                Finding { severity: Severity::Error, subject: "clock".to_owned(), message: error.to_string() }
            }
        }
    }

    async fn shape_finding(&self, mapping: &Mapping) -> Finding {
        let subject = format!("columns of {}", mapping.entity);
        match self.plan(mapping).await {
            Ok(_) => Finding { severity: Severity::Ok, subject, message: "all there".to_owned() },
            Err(error) => Finding { severity: Severity::Error, subject, message: error.to_string() },
        }
    }
}
