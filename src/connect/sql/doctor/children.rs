//! Whether the reads of children can use an index, and children that no read meets.

use super::super::changes::next_statement;
use super::super::plan::{ChildPlan, Order, Plan, table_name};
use super::super::position::{Position, Settled};
use super::super::{Finding, Mapping, SqlReader};
use super::paths::index;
use super::{failed, warning};
use crate::model::mapping::Children;

impl SqlReader {
    /// The reads of one kind of children: by parent, of changes, and of the parents that changed children name.
    pub(super) async fn child_findings(
        &self,
        mapping: &Mapping,
        parents: &Plan,
        children: &Children,
        read: &ChildPlan,
    ) -> Vec<Finding> {
        let name = format!("{} of {}", children.name, mapping.entity);
        let subject = format!("read of {name} by parent");
        let content = &read.content;
        let row = match self.any_row(content).await {
            Ok(Some(row)) => row,
            Ok(None) => {
                let table = table_name(&children.dataset);
                return vec![warning(subject, format!("`{table}` is empty: whether an index is used cannot be told"))];
            }
            Err(error) => return vec![failed(subject, &error)],
        };
        let parent = &row[children.parent];
        let mut findings = vec![self.table_access(&children.dataset).await];
        if let Some(arg) = content.arg(children.parent, parent) {
            let statement = content.by_keys(&[vec![arg]]);
            findings.push(self.path(subject, &statement, || index(content, &content.key)).await);
        }
        if let Some(arg) = parents.arg(children.refers_to, parent) {
            let subject = format!("read of {} by what its {} name", mapping.entity, children.name);
            let statement = parents.by_source(children.refers_to, &[arg]);
            findings.push(self.path(subject, &statement, || index(parents, &[children.refers_to])).await);
        }
        if let Some(moved) = &read.moved {
            findings.extend(self.moved_findings(format!("change read of {name}"), moved).await);
        }
        findings
    }

    async fn moved_findings(&self, subject: String, moved: &Plan) -> Vec<Finding> {
        let Order::Stamp { source, .. } = moved.order else { return Vec::new() };
        let settled = match self.their_time().await {
            Ok((answer, _)) => Settled::Until(answer.now),
            Err(error) => return vec![failed(subject, &error)],
        };
        let Some(statement) = next_statement(moved, &Position::start(0, settled), 1000) else { return Vec::new() };
        let columns: Vec<_> = std::iter::once(source).chain(moved.key.iter().copied()).collect();
        let path = self.path(subject.clone(), &statement, || index(moved, &columns)).await;
        std::iter::once(path).chain(self.unstamped(subject, moved, source).await).collect()
    }
}
